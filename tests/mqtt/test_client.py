"""MQTT client: one connection, with real and faulty brokers."""

import base64
import hashlib
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.config.model import MqttConfig
from edge_agent.errors import ConfigError, UnavailableError
from edge_agent.messages.status import running
from edge_agent.messages.topics import Topics
from edge_agent.mqtt.client import BrokerLimits, Connection, Message, PubAck, open_connection
from edge_agent.mqtt.kept_connection import KeptConnection
from edge_agent.mqtt.publication import Publication, status_publication
from edge_agent.mqtt.tls import tls_context
from tests.mosquitto import Mosquitto, free_port
from tests.mqtt.brokers import (
    FIRST_SUBSCRIPTION_DENIED_5,
    SESSION_TAKEN_OVER_5,
    UNACCEPTABLE_VERSION_311,
    WELCOME_5,
    WELCOME_311,
    Amqtt,
    ScriptedBroker,
    StrictBroker,
    make_certificates,
)
from tests.mqtt.samples import BOOT_ID, DEVICE, TIMEOUT_SECONDS, WHEN, Listener, eventually, properties_of

# The TLS handshake fails inside paho, which leaves the socket to the garbage collector.
leaves_a_socket = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


def status_of(listener):
    return json.loads(listener.take("/lobby/status").payload)


def turn_until(connection, kind, *, seconds=5.0):
    while True:
        for event in connection.turn(seconds):
            if isinstance(event, kind):
                return event


def describe(mqtt):
    with open_connection(mqtt, client_id="one") as connection:
        return f"{connection.address} answers ({connection.protocol})"


def test_a_broker_that_answers_is_described_in_one_line(broker):
    assert describe(broker.config()) == f"127.0.0.1:{broker.port} answers (MQTT 5)"


def test_falls_back_to_mqtt_3_1_1_when_the_broker_hangs_up_on_mqtt_5():
    with Amqtt() as broker:
        mqtt = MqttConfig(host="127.0.0.1", port=broker.port)

        assert describe(mqtt) == f"127.0.0.1:{broker.port} answers (MQTT 3.1.1)"

        with open_connection(mqtt, client_id="one", device=DEVICE) as connection:
            number = connection.publish(Publication("maskwatch/lobby/alerts", b"{}"))
            assert turn_until(connection, PubAck) == PubAck(number, "")


@pytest.mark.parametrize("is_secured", [False, True], ids=["ws", "wss"])
def test_messages_of_any_size_pass_over_a_websocket(tmp_path, is_secured):
    certificates = make_certificates(tmp_path / "tls") if is_secured else None
    keys = {"tls": True, "ca_file": tmp_path / "tls" / "ca.pem", "alpn": "mqtt"} if is_secured else {}
    with Mosquitto(tmp_path / "broker", websockets=True, certificates=certificates) as broker:
        mqtt = broker.config(transport="websockets", websocket_headers={"Authorization": "Bearer secret"}, **keys)
        with (
            open_connection(mqtt, client_id="one", device=DEVICE) as one,
            open_connection(mqtt, client_id="two") as two,
        ):
            two.subscribe("maskwatch/lobby/alerts")
            for payload in (b"{}", b"x" * 100_000, b"last"):
                number = one.publish(Publication("maskwatch/lobby/alerts", payload))
                assert turn_until(one, PubAck) == PubAck(number, "")
                assert turn_until(two, Message).payload == payload


def test_an_oversized_websocket_frame_is_discarded_without_buffering():
    """mosquitto sends 40 kB a second over a WebSocket; this broker does not wait."""
    topic = b"\x00\x05" + b"pause"
    large = b"\x30" + encoded_length(20_000_007) + topic + bytes(20_000_000)
    small = b"\x30" + encoded_length(11) + topic + b"last"
    frames = b"".join(b"\x82\x7f" + struct.pack("!Q", len(part)) + part for part in (WELCOME_311, large, small))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connected, _ = server.accept()
            with connected:
                (key,) = re.findall(rb"Sec-WebSocket-Key: (\S+)", connected.recv(4096))
                accept = base64.b64encode(
                    hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
                )
                head = b"HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept
                connected.sendall(head + b"\r\n\r\n")
                connected.sendall(frames)
                while connected.recv(4096):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        mqtt = MqttConfig(host="127.0.0.1", port=server.getsockname()[1], transport="websockets")
        tracemalloc.start()
        with closing(Connection(mqtt, client_id="one", limits=BrokerLimits(mqtt_5=False))) as connection:
            assert turn_until(connection, Message).payload == b"last"
        held_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        thread.join()

    assert held_bytes < 10_000_000


def encoded_length(length):
    """Seven bits a byte, the lowest first (MQTT 3.1.1, section 2.2.3)."""
    encoded = bytearray()
    while length:
        encoded.append(length & 127 | (128 if length > 127 else 0))
        length >>= 7
    return bytes(encoded)


def test_a_port_or_path_without_a_websocket_is_reported(broker):
    with pytest.raises(UnavailableError, match=r"no WebSocket at /mqtt; check .*mqtt\.websocket_path"):
        describe(broker.config(transport="websockets"))


def test_the_websocket_handshake_uses_the_configured_path_and_headers():
    requests = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take():
            connected, _ = server.accept()
            with connected:
                requests.append(connected.recv(4096).decode())

        thread = threading.Thread(target=take)
        thread.start()
        mqtt = MqttConfig(
            host="127.0.0.1",
            port=server.getsockname()[1],
            transport="websockets",
            websocket_path="/ws?key=1",
            websocket_headers={"Authorization": "Bearer secret"},
        )
        with pytest.raises(UnavailableError, match="no WebSocket"):
            describe(mqtt)
        thread.join()

    assert requests[0].startswith("GET /ws?key=1 HTTP/1.1\r\n")
    assert "\r\nAuthorization: Bearer secret\r\n" in requests[0]


def test_the_configured_alpn_protocol_is_offered_in_tls(tmp_path):
    certificates = make_certificates(tmp_path / "tls")
    chosen = []
    with ScriptedBroker(lambda _level: WELCOME_5, certificates=certificates, alpn=["other", "x-mqtt"]) as broker:
        describe(broker.config(tls=True, ca_file=certificates / "ca.pem", alpn="x-mqtt"))
        chosen += broker.chosen

    assert chosen == ["x-mqtt"]


@pytest.mark.parametrize(("configured", "sent"), [("", "maskwatch-lobby"), ("thing-7", "thing-7")])
def test_the_client_id_is_the_configured_one_or_derived_from_the_device(broker, configured, sent):
    mqtt = broker.config(client_id=configured)
    with KeptConnection() as kept, kept.use(mqtt, device="lobby", limits=BrokerLimits()):
        pass

    assert f" as {sent} (" in broker.log_file.read_text()


def test_a_slow_connack_does_not_cause_a_fallback_to_mqtt_3_1_1():
    def answer_slowly(_level):
        time.sleep(1.5)
        return WELCOME_5

    with ScriptedBroker(answer_slowly) as broker:
        assert describe(broker.config()).endswith("answers (MQTT 5)")


def test_falls_back_to_mqtt_3_1_1_when_the_broker_refuses_the_version():
    with ScriptedBroker(lambda level: UNACCEPTABLE_VERSION_311 if level == 5 else WELCOME_311) as broker:
        assert describe(broker.config()).endswith("answers (MQTT 3.1.1)")


def test_the_status_is_retained_and_goes_offline_at_the_end(broker):
    with open_connection(broker.config(), client_id="one", device=DEVICE) as connection:
        connection.publish(
            status_publication(
                Topics("maskwatch", DEVICE), running(DEVICE, boot_id=BOOT_ID, reasons=[], paused=[], when=WHEN)
            )
        )
        with Listener(broker.port) as early:
            assert status_of(early)["state"] == "online"

    with Listener(broker.port) as late:
        message = late.take("/lobby/status")
        assert message.retain
        assert json.loads(message.payload)["state"] == "offline"
        assert json.loads(message.payload)["reasons"][0]["code"] == "stopped"


def test_the_last_will_sets_a_vanished_device_offline(broker):
    program = textwrap.dedent(
        """
        import sys, time
        from edge_agent.config.model import MqttConfig
        from edge_agent.mqtt.client import open_connection
        from edge_agent.mqtt.publication import Publication
        mqtt = MqttConfig(host="127.0.0.1", port=int(sys.argv[1]))
        connection = open_connection(mqtt, client_id="one", device="lobby")
        connection.publish(Publication("maskwatch/lobby/here", b""))
        connection.turn(5.0)
        time.sleep(60)
        """
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with (
        Listener(broker.port) as listener,
        subprocess.Popen([sys.executable, "-c", program, str(broker.port)], env=environment) as process,
    ):
        listener.take("/lobby/here")

        process.kill()

        status = status_of(listener)
        assert status["state"] == "offline"
        assert status["reasons"][0]["code"] == "connection_lost"
        assert status["when"] is None


def test_a_connection_that_is_given_up_does_not_say_that_the_agent_was_stopped(broker):
    def give_up():
        raise UnavailableError("the broker does not acknowledge alerts")

    with Listener(broker.port) as listener:
        with (
            pytest.raises(UnavailableError, match="does not acknowledge"),
            open_connection(broker.config(), client_id="one", device=DEVICE),
        ):
            give_up()

        assert status_of(listener)["reasons"][0]["code"] == "connection_lost"


def test_a_lost_connection_is_detected_at_once(broker):
    connection = open_connection(broker.config(), client_id="one")
    broker.kill()

    with pytest.raises(UnavailableError, match="connection is lost"):
        turn_until(connection, Message)
    connection.close()


def test_a_second_device_with_the_same_name_is_reported():
    with ScriptedBroker(lambda _level: WELCOME_5 + SESSION_TAKEN_OVER_5) as broker:
        connection = open_connection(broker.config(), client_id="same")

        with pytest.raises(UnavailableError, match=r"give every device its own device\.id"):
            turn_until(connection, Message)
        connection.close()


def test_a_publication_denied_by_the_acl_is_acknowledged_with_the_reason(tmp_path):
    with (
        Mosquitto(tmp_path, acl="topic read #\n") as broker,
        open_connection(broker.config(), client_id="one") as connection,
    ):
        number = connection.publish(Publication("maskwatch/lobby/alerts", b"{}"))

        puback = turn_until(connection, PubAck)

    assert (puback.number, puback.refusal) == (number, "Not authorized")
    assert "write access" in puback.advice


@pytest.mark.parametrize(
    ("code", "remedy"), [(0x80, "log"), (0x83, "queue"), (0x90, "mqtt.topic_prefix"), (0x97, "quota")]
)
def test_a_refused_publication_is_acknowledged_with_the_remedy(code, remedy):
    with (
        StrictBroker(("",), largest_bytes=0, refusal=code) as broker,
        open_connection(broker.config(), client_id="one") as connection,
    ):
        connection.publish(Publication("maskwatch/lobby/alerts", b"{}"))

        assert remedy in turn_until(connection, PubAck).advice


def test_a_last_will_denied_by_the_acl_does_not_prevent_publishing(tmp_path):
    with (
        Mosquitto(tmp_path, acl="topic readwrite maskwatch/lobby/alerts\n") as broker,
        open_connection(broker.config(), client_id="one", device=DEVICE) as connection,
    ):
        number = connection.publish(Publication("maskwatch/lobby/alerts", b"{}"))
        assert turn_until(connection, PubAck) == PubAck(number, "", no_subscribers=True)


def test_the_limits_stated_by_the_broker_are_used(tmp_path):
    with (
        Mosquitto(tmp_path, settings="max_packet_size 5000") as broker,
        open_connection(broker.config(), client_id="one") as connection,
    ):
        assert connection.max_packet_bytes == 5000


def test_no_more_messages_are_in_flight_than_the_broker_permits():
    receive_maximum_3 = b"\x20\x06\x00\x00\x03\x21\x00\x03"
    with ScriptedBroker(lambda _level: receive_maximum_3) as broker:
        with open_connection(broker.config(), client_id="one", device=DEVICE) as connection:
            for name in ("first", "second", "third", "fourth"):
                connection.publish(Publication(name, b""))
            connection.turn(0.1)
        eventually(lambda: b'"offline"' in b"".join(broker.received), "the status has the third place")

        received = b"".join(broker.received)
        assert [name in received for name in (b"first", b"second", b"third", b"fourth")] == [True, True, False, False]


def test_response_topic_and_correlation_data_are_received_and_sent(broker):
    with open_connection(broker.config(), client_id="one") as connection, Listener(broker.port) as listener:
        connection.subscribe("ask/+")
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic, properties.CorrelationData = "answer/here", b"17"
        listener.publish("ask/time", b"?", properties=properties)
        assert turn_until(connection, Message) == Message(
            "ask/time", b"?", response_topic="answer/here", correlation_data=b"17"
        )

        connection.publish(Publication("answer/here", b"noon", correlation_data=b"17", expiry_seconds=60))

        answer = listener.take("answer/here")
        assert properties_of(answer).CorrelationData == b"17"
        assert properties_of(answer).ContentType == "application/json"


def test_retained_messages_are_distinguished_from_new_ones(broker):
    with open_connection(broker.config(), client_id="one") as connection:
        connection.publish(Publication("kept", b"old", retain=True))
        turn_until(connection, PubAck)
        connection.subscribe("kept")
        assert turn_until(connection, Message).retain

        connection.publish(Publication("kept", b"new", retain=True))

        assert not turn_until(connection, Message).retain


def test_a_denied_subscription_is_reported_with_the_remedy():
    with (
        ScriptedBroker(lambda _level: WELCOME_5 + FIRST_SUBSCRIPTION_DENIED_5) as broker,
        open_connection(broker.config(), client_id="one") as connection,
        pytest.raises(UnavailableError, match=r"does not let a client without a user read a/b .*read access"),
    ):
        connection.subscribe("a/b")


def test_an_empty_suback_is_an_error():
    with (
        ScriptedBroker(lambda _level: WELCOME_5 + b"\x90\x03\x00\x01\x00") as broker,
        open_connection(broker.config(), client_id="one") as connection,
        pytest.raises(UnavailableError, match="subscription of a/b"),
    ):
        connection.subscribe("a/b")


def test_a_topic_that_is_not_utf_8_is_ignored_and_logged_once(caplog):
    # Two at QoS 1, with packet identifiers 7 and 8, and a valid one.
    foreign = b"".join(b"\x32\x08\x00\x02\xff\xfe\x00" + number + b"\x00x" for number in (b"\7", b"\x08"))
    with (
        ScriptedBroker(lambda _level: WELCOME_5 + foreign + b"\x30\x05\x00\x01a\x00x") as broker,
        open_connection(broker.config(), client_id="one") as connection,
    ):
        assert turn_until(connection, Message).topic == "a"
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        # Acknowledged, so that it does not come again.
        acknowledged = b"\x40\x02\x00\7\x40\x02\x00\x08"
        eventually(lambda: acknowledged in b"".join(broker.received), "both are acknowledged")


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"\x40\x01\x00", id="half a number"),
        pytest.param(b"\x30\x00", id="a publication of nothing"),
        pytest.param(b"\x30\x04\x00\x09a\x00", id="a topic beyond the end"),
        pytest.param(b"\x30\x06\x00\x01a\x02\x7f\x00", id="an unknown property"),
        pytest.param(b"\x90\x01\x00", id="a subscription without a number"),
        pytest.param(b"\x30\xff\xff\xff\xff\x7f", id="a length of five bytes"),
    ],
)
def test_a_malformed_packet_only_ends_the_connection(packet):
    with (
        ScriptedBroker(lambda _level: WELCOME_5 + packet) as broker,
        open_connection(broker.config(), client_id="one", device=DEVICE) as connection,
    ):
        for _ in range(2):
            with pytest.raises(UnavailableError, match=f"127.0.0.1:{broker.config().port}: "):
                turn_until(connection, Message)
        assert connection.is_lost


# What `edge-agent doctor` reports for each problem.


def test_an_unknown_host_name_is_reported():
    with pytest.raises(UnavailableError, match=r"broker\.invalid:1883: unknown host name; check mqtt\.host"):
        describe(MqttConfig(host="broker.invalid"))


def test_a_port_without_a_listener_is_reported():
    with pytest.raises(UnavailableError, match=r"refused: no broker listens there; is it running"):
        describe(MqttConfig(host="127.0.0.1", port=free_port()))


def test_a_listener_that_never_answers_is_reported():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="does not answer; is it a broker"):
            describe(MqttConfig(host="127.0.0.1", port=port))
        assert time.monotonic() - began < TIMEOUT_SECONDS


def test_a_listener_that_hangs_up_is_reported():
    with (
        ScriptedBroker(lambda _level: b"") as broker,
        pytest.raises(UnavailableError, match=r"closes the connection without an MQTT answer; check mqtt\.port"),
    ):
        describe(broker.config())


def test_a_wrong_password_is_reported(tmp_path):
    (tmp_path / "password").write_text("wrong horse\n")
    with Mosquitto(tmp_path / "broker", users={"lobby": "secret"}) as broker:
        mqtt = broker.config(username="lobby", password_file=tmp_path / "password")
        with pytest.raises(UnavailableError, match=r"user 'lobby' has a wrong password.*mqtt\.password_file") as raised:
            describe(mqtt)
    assert "horse" not in str(raised.value)


def test_return_code_4_is_reported_as_wrong_credentials():
    with (
        ScriptedBroker(lambda _level: b"\x20\x03\x00\x86\x00") as broker,
        pytest.raises(UnavailableError, match=r"wrong user or password.*mqtt\.username"),
    ):
        describe(broker.config())


@pytest.mark.parametrize(
    ("code", "remedy"), [(0x85, "mqtt.client_id"), (0x89, "retries"), (0x9D, "mqtt.host"), (0x83, "log")]
)
def test_a_refused_connection_is_reported_with_the_remedy(code, remedy):
    with (
        ScriptedBroker(lambda _level: bytes([0x20, 3, 0, code, 0])) as broker,
        pytest.raises(UnavailableError, match=f"refuses the connection: .*; .*{remedy}"),
    ):
        describe(broker.config())


def test_a_packet_limit_below_the_size_of_the_status_is_reported(tmp_path):
    with (
        Mosquitto(tmp_path, settings="message_size_limit 50") as broker,
        pytest.raises(UnavailableError, match=r"Packet too large; .*message_size_limit"),
        open_connection(broker.config(), client_id="one", device=DEVICE),
    ):
        pass


def test_missing_credentials_are_reported(tmp_path):
    with (
        Mosquitto(tmp_path, users={"lobby": "secret"}) as broker,
        pytest.raises(UnavailableError, match=r"asks for a user; set mqtt\.username"),
    ):
        describe(broker.config())


def test_the_password_file_is_read_for_each_connection(tmp_path):
    password_file = tmp_path / "password"
    with Mosquitto(tmp_path / "broker", users={"lobby": "pässword with spaces "}) as broker:
        mqtt = broker.config(username="lobby", password_file=password_file)
        password_file.write_text("not yet\n")
        with pytest.raises(UnavailableError):
            describe(mqtt)

        password_file.write_text("pässword with spaces \r\nsecond line\n", encoding="utf-8")

        assert "answers" in describe(mqtt)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "No such file"), (b"\n", "first line is empty"), (b"", "first line is empty"), (b"\xff\xfe", "not UTF-8")],
)
def test_an_unusable_password_file_is_reported(tmp_path, content, complaint):
    password_file = tmp_path / "password"
    if content is not None:
        password_file.write_bytes(content)
    mqtt = MqttConfig(host="127.0.0.1", port=free_port(), username="lobby", password_file=password_file)

    with pytest.raises(ConfigError, match=f"{password_file}: .*{complaint}"):
        describe(mqtt)


def test_tls_connects_with_the_right_authority(tmp_path):
    certificates = make_certificates(tmp_path / "tls")
    with Mosquitto(tmp_path / "broker", certificates=certificates) as broker:
        mqtt = broker.config(tls=True, ca_file=certificates / "ca.pem")

        with open_connection(mqtt, client_id="one", device=DEVICE) as connection:
            connection.subscribe("maskwatch/#")
            sent = bytes(range(256)) * 200
            connection.publish(Publication("maskwatch/lobby/crops/1", sent))
            received = turn_until(connection, Message)
            assert received == Message("maskwatch/lobby/crops/1", sent)


def test_packets_buffered_by_tls_are_delivered_at_once(tmp_path):
    certificates = make_certificates(tmp_path / "tls")
    with ScriptedBroker(lambda _level: WELCOME_5 + SESSION_TAKEN_OVER_5, certificates=certificates) as broker:
        mqtt = broker.config(tls=True, ca_file=certificates / "ca.pem")
        connection = open_connection(mqtt, client_id="same")
        began = time.monotonic()

        with pytest.raises(UnavailableError, match=r"device\.id"):
            turn_until(connection, Message, seconds=2 * TIMEOUT_SECONDS)

        assert time.monotonic() - began < TIMEOUT_SECONDS
        connection.close()


def test_tls_connects_with_a_client_certificate(tmp_path):
    certificates = make_certificates(tmp_path / "tls")
    with Mosquitto(tmp_path / "broker", certificates=certificates, settings="require_certificate true") as broker:
        having = broker.config(
            tls=True,
            ca_file=certificates / "ca.pem",
            cert_file=certificates / "client.pem",
            key_file=certificates / "client.key",
        )
        assert "answers" in describe(having)


def test_a_missing_client_certificate_is_reported(tmp_path):
    certificates = make_certificates(tmp_path / "tls")
    with (
        Mosquitto(tmp_path / "broker", certificates=certificates, settings="require_certificate true") as broker,
        pytest.raises(UnavailableError, match=r"CERTIFICATE_REQUIRED\); .*set mqtt\.cert_file"),
    ):
        describe(broker.config(tls=True, ca_file=certificates / "ca.pem"))


# With TLS 1.3 the refusal arrives after the handshake.
@leaves_a_socket
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(("days", "reason"), [(-1, "CERTIFICATE_EXPIRED"), (2, "UNKNOWN_CA")])
def test_an_expired_or_untrusted_client_certificate_is_reported(tmp_path, version, days, reason):
    certificates = make_certificates(tmp_path / "tls")
    own = make_certificates(tmp_path / "own", days=days, authority=certificates if days < 0 else None)
    with ScriptedBroker(lambda _level: WELCOME_5, certificates=certificates, asks_for_certificate=version) as broker:
        mqtt = broker.config(
            tls=True, ca_file=certificates / "ca.pem", cert_file=own / "client.pem", key_file=own / "client.key"
        )

        with pytest.raises(UnavailableError, match=rf"{reason}\); .* refuses .*mqtt\.cert_file"):
            describe(mqtt)


@leaves_a_socket
def test_an_untrusted_authority_is_reported(tmp_path):
    certificates = make_certificates(tmp_path / "tls")
    others = make_certificates(tmp_path / "others")
    with (
        Mosquitto(tmp_path / "broker", certificates=certificates) as broker,
        pytest.raises(UnavailableError, match=r"certificate is not trusted: .*mqtt\.ca_file"),
    ):
        describe(broker.config(tls=True, ca_file=others / "ca.pem"))


@leaves_a_socket
def test_a_certificate_for_another_name_is_reported(tmp_path):
    certificates = make_certificates(tmp_path / "tls", name="DNS:broker.example")
    with (
        Mosquitto(tmp_path / "broker", certificates=certificates) as broker,
        pytest.raises(UnavailableError, match=r"certificate is not trusted: .*127\.0\.0\.1"),
    ):
        describe(broker.config(tls=True, ca_file=certificates / "ca.pem"))


@leaves_a_socket
def test_an_expired_certificate_is_reported(tmp_path):
    certificates = make_certificates(tmp_path / "tls", days=-1)
    with (
        Mosquitto(tmp_path / "broker", certificates=certificates) as broker,
        pytest.raises(UnavailableError, match=r"certificate is not trusted: .*clock of this device"),
    ):
        describe(broker.config(tls=True, ca_file=certificates / "ca.pem"))


@leaves_a_socket
def test_a_certificate_with_only_a_common_name_is_reported(tmp_path):
    certificates = make_certificates(tmp_path / "tls", name="")
    with (
        Mosquitto(tmp_path / "broker", certificates=certificates) as broker,
        pytest.raises(UnavailableError, match=r"certificate is not trusted: .*mqtt\.host .*subjectAltName"),
    ):
        describe(broker.config(tls=True, ca_file=certificates / "ca.pem", host="localhost"))


@leaves_a_socket
def test_tls_on_a_plain_port_is_reported(broker, tmp_path):
    certificates = make_certificates(tmp_path / "tls")
    with pytest.raises(UnavailableError, match=r"no TLS connection .* is mqtt\.port the broker's port for TLS\?"):
        describe(broker.config(tls=True, ca_file=certificates / "ca.pem"))


def test_a_plain_connection_to_a_tls_port_is_reported(tmp_path):
    certificates = make_certificates(tmp_path / "tls")
    with (
        Mosquitto(tmp_path / "broker", certificates=certificates) as broker,
        pytest.raises(UnavailableError, match=r"mqtt\.tls"),
    ):
        describe(broker.config())


@pytest.mark.parametrize("key", ["ca_file", "cert_file"])
def test_an_unusable_certificate_file_is_reported(tmp_path, key):
    certificates = make_certificates(tmp_path / "tls")
    files = {"ca_file": certificates / "ca.pem", "cert_file": certificates / "client.pem"}
    files[key].write_text("no certificate")
    mqtt = MqttConfig(host="127.0.0.1", port=free_port(), tls=True, key_file=certificates / "client.key", **files)

    with pytest.raises(ConfigError, match=f"{files[key]}.*mqtt.{key}"):
        describe(mqtt)


def test_the_passphrase_of_a_key_is_read_from_its_file_and_never_prompted_for(tmp_path):
    certificates = make_certificates(tmp_path / "tls")
    key, password = tmp_path / "client.key", tmp_path / "passphrase"
    command = ["openssl", "pkey", "-aes128", "-passout", "pass:s3cret", "-in", certificates / "client.key", "-out", key]
    subprocess.run(command, check=True, capture_output=True)
    password.write_text("s3cret\n", encoding="utf-8-sig")
    keys = {"cert_file": certificates / "client.pem", "key_file": key, "tls": True}

    tls_context(MqttConfig(**keys, key_password_file=password))
    with pytest.raises(ConfigError, match=r"client\.key: has a passphrase; .*key_password_file"):
        tls_context(MqttConfig(**keys))
    password.write_text("another\n")
    with pytest.raises(ConfigError, match=r"client\.key: its passphrase is not that in .*passphrase;") as raised:
        tls_context(MqttConfig(**keys, key_password_file=password))
    assert "another" not in str(raised.value)
