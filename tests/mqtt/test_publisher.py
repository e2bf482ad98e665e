"""Publisher: at-least-once delivery, with real and faulty brokers."""

import hashlib
import json
import logging
import os
import select
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections import deque
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from itertools import chain, repeat
from pathlib import Path

import jsonschema
import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from edge_agent.alerts.store import AlertStore
from edge_agent.config.model import MqttConfig
from edge_agent.messages.alert import CropFile
from edge_agent.mqtt.client import Message, open_connection
from edge_agent.mqtt.kept_connection import KeptConnection
from edge_agent.mqtt.publication import Publication
from edge_agent.mqtt.publisher import ROWS_IN_FLIGHT, Publisher, Timing
from edge_agent.mqtt.retained import RetainedNames
from tests.file_sizes import limited_file_size
from tests.mosquitto import Mosquitto, free_port
from tests.mqtt.brokers import (
    FIRST_SUBSCRIPTION_DENIED_5,
    SESSION_TAKEN_OVER_5,
    WELCOME_5,
    Amqtt,
    LocalBroker,
    ScriptedBroker,
    StrictBroker,
    variable_length,
)
from tests.mqtt.samples import BOOT_ID, DEVICE, TIMEOUT_SECONDS, Listener, eventually, properties_of, put

ROOT = Path(__file__).parents[2]
PROBE = b"probe"
IMPATIENT = Timing(
    first_pause_seconds=0.05,
    max_pause_seconds=0.2,
    steady_seconds=0.0,
    refused_pause_seconds=0.2,
    refused_row_seconds=0.5,
)


@contextmanager
def publishing(store, mqtt, timing=IMPATIENT, listen_to=(), retained=None):
    with KeptConnection() as kept:
        publisher = Publisher(store, mqtt, DEVICE, kept=kept, timing=timing, listen_to=listen_to, retained=retained)
        publisher.start()
        try:
            yield publisher
        finally:
            publisher.close()


def take_alert(listener):
    return json.loads(listener.take("/alerts").payload)


def take_heard(publisher, count):
    heard: list[Message] = []

    def is_enough():
        heard.extend(message for message in publisher.received() if message.payload != PROBE)
        return len(heard) >= count

    eventually(is_enough, f"{count} messages are heard")
    return heard


def await_subscription(publisher, topic, person):
    """A connected publisher subscribes a moment later."""

    def is_heard():
        person.publish(Publication(topic, PROBE))
        person.turn(0.1)
        return publisher.received()

    eventually(is_heard, "subscribed")


def a_crop(folder, content=b"a picture"):
    file = folder / "0190.jpg"
    file.write_bytes(content)
    return CropFile(file=str(file), sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def warnings_in(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_waiting_alert_reaches_a_subscriber_and_leaves_the_outbox(broker, store):
    with Listener(broker.port) as listener, publishing(store, broker.config()) as publisher:
        message = put(store)
        publisher.wake()

        assert take_alert(listener) == message
        eventually(lambda: store.count() == 0, "the row is removed")
        eventually(lambda: publisher.state.sent == 1, "the alert is counted")
        eventually(lambda: publisher.state.connected and not publisher.state.reason, "the connection is reported")


def test_received_alerts_match_the_published_schema(broker, store, tmp_path):
    schema = json.loads((ROOT / "docs" / "alert.schema.json").read_text())
    with Listener(broker.port) as listener, publishing(store, broker.config()):
        put(store, crop=a_crop(tmp_path))
        put(store)

        for _ in range(2):
            jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(
                take_alert(listener)
            )


def test_waking_the_publisher_sends_an_alert_at_once(broker, store, monkeypatch):
    monkeypatch.setattr("edge_agent.mqtt.publisher.IDLE_SECONDS", 10 * TIMEOUT_SECONDS)
    with Listener(broker.port) as listener, publishing(store, broker.config()) as publisher:
        eventually(lambda: publisher.state.connected, "connected")
        time.sleep(0.1)

        put(store)
        publisher.wake()

        take_alert(listener)


def test_hundreds_of_alerts_arrive_once_each_oldest_first(broker, store):
    keys = [put(store)["id"] for _ in range(300)]
    with Listener(broker.port) as listener, publishing(store, broker.config(messages_per_second=1000)):
        arrived = [take_alert(listener)["id"] for _ in keys]
        eventually(lambda: store.count() == 0, "all rows are removed")
        assert arrived == keys
        assert not [message for message in listener.rest() if message.topic.endswith("/alerts")]


def test_a_backlog_is_rate_limited_and_overtaken_by_a_new_alert(broker, store):
    for _ in range(500):
        put(store)
    began = time.monotonic()
    with Listener(broker.port) as listener, publishing(store, broker.config(messages_per_second=10)) as publisher:
        arrived = [take_alert(listener)["id"] for _ in range(25)]
        young = put(store)
        publisher.wake()
        while young["id"] not in arrived:
            arrived.append(take_alert(listener)["id"])
        took_seconds = time.monotonic() - began

        assert len(arrived) < 500
        # The token bucket starts with ten.
        assert took_seconds > (len(arrived) - 11) / 10


def test_each_kind_has_its_topic_properties_and_expiry_and_alerts_go_first(broker, store):
    put(store, "telemetry")
    put(store)
    put(store, "resolved")
    with Listener(broker.port) as listener, publishing(store, broker.config(expiry_seconds=3600)):
        messages = [listener.take(topic) for topic in ("/alerts", "/resolved", "/telemetry")]
        eventually(lambda: store.count() == 0, "all rows are removed")

    assert [message.qos for message in messages] == [1, 1, 0]
    assert [properties_of(message).ContentType for message in messages] == ["application/json"] * 3
    assert [dict(properties_of(message).UserProperty) for message in messages] == [
        {"device": DEVICE, "camera": "entrance", "schema": "maskwatch.alert/1"},
        {"device": DEVICE, "camera": "entrance", "schema": "maskwatch.resolved/1"},
        {"device": DEVICE, "schema": "maskwatch.telemetry/1"},
    ]
    # The broker subtracts the time that a message has waited there.
    expiries = [properties_of(message).MessageExpiryInterval for message in messages]
    assert expiries == pytest.approx([3600, 3600, 300], abs=TIMEOUT_SECONDS)


def test_a_topic_denied_by_the_acl_does_not_delay_others(tmp_path, store):
    acl = "topic read #\ntopic write maskwatch/+/status\ntopic write maskwatch/+/alerts\n"
    for _ in range(20):
        put(store, "resolved")
    put(store)
    with Mosquitto(tmp_path / "broker", acl=acl) as broker, publishing(store, broker.config()) as publisher:
        eventually(lambda: store.count("alert") == 0, "the alert is delivered")
        assert store.count("resolved") == 20
        eventually(lambda: "refuses messages on maskwatch/lobby/resolved" in publisher.state.reason, "it is reported")


def test_the_state_recovers_once_the_refused_message_has_left_the_outbox(tmp_path, store):
    acl = "topic read #\ntopic write maskwatch/+/status\n"
    denied = put(store, "resolved")
    with Mosquitto(tmp_path / "broker", acl=acl) as broker, publishing(store, broker.config()) as publisher:
        eventually(lambda: "refuses messages" in publisher.state.reason, "it is reported")

        # As a full outbox does.
        store.remove(denied["id"])

        eventually(lambda: publisher.state.reason == "", "no problem is reported")


def test_refused_snapshots_are_logged_once_for_all_topics(tmp_path, store, caplog):
    acl = "topic read #\ntopic write maskwatch/+/status\n"
    with Mosquitto(tmp_path / "broker", acl=acl) as broker, publishing(store, broker.config()) as publisher:
        eventually(lambda: publisher.state.connected, "the broker is there")
        for number in range(3):
            publisher.publish(Publication(f"maskwatch/lobby/snapshots/{number}", b"picture"))

        eventually(lambda: "refuses maskwatch/lobby/snapshots/+" in caplog.text, "it is reported")
        publisher.close()
        assert caplog.text.count("snapshots/") == 1


def test_alerts_of_an_earlier_boot_are_historical_whatever_their_time(tmp_path, broker):
    path = tmp_path / "alerts.sqlite"
    for boot_id, when in (
        ("an earlier boot", datetime.now(timezone.utc)),
        (BOOT_ID, datetime(2001, 1, 1, tzinfo=timezone.utc)),
    ):
        with closing(AlertStore(path, boot_id=boot_id)) as store:
            put(store, when=when)
    with (
        closing(AlertStore(path, boot_id=BOOT_ID)) as store,
        Listener(broker.port) as listener,
        publishing(store, broker.config()),
    ):
        assert [take_alert(listener)["historical"] for _ in range(2)] == [True, False]


def test_a_broker_that_starts_later_receives_all_alerts(tmp_path, store, caplog):
    caplog.set_level(logging.INFO, "edge_agent")
    broker = Mosquitto(tmp_path / "broker", persistent=True)
    # Subscribed before: once the broker is up, the publisher may connect before a new subscriber does.
    broker.start()
    with Listener(broker.port, session="subscribed before"):
        broker.stop()
    keys = [put(store)["id"] for _ in range(3)]
    with publishing(store, broker.config()) as publisher:
        eventually(lambda: "refused" in publisher.state.reason, "the reason is known")
        time.sleep(0.5)
        assert publisher.state.waiting == 3
        with broker, Listener(broker.port, session="subscribed before") as listener:
            assert [take_alert(listener)["id"] for _ in keys] == keys
            eventually(lambda: publisher.state.reason == "", "no problem is reported")

            # Several attempts failed: one line reports the failure and one the recovery.
            assert len([line for line in warnings_in(caplog) if "no broker listens" in line]) == 1
            assert caplog.text.count("delivering alerts") == 1


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_no_alert_is_lost_while_the_broker_restarts(broker, store, ending, caplog):
    caplog.set_level(logging.INFO, "edge_agent")
    with publishing(store, broker.config()) as publisher:
        for round_ in range(3):
            with Listener(broker.port) as listener:
                keys = {put(store)["id"] for _ in range(5)}
                publisher.wake()
                arrived = {take_alert(listener)["id"] for _ in range(5)}
                while keys - arrived:
                    arrived.add(take_alert(listener)["id"])
                eventually(lambda: store.count() == 0, "all rows are removed")
            getattr(broker, ending)()
            eventually(lambda: not publisher.state.connected, "the loss is noticed")
            put(store)
            publisher.wake()
            broker.start()
            eventually(lambda: store.count() == 0 and publisher.state.reason == "", "delivered after the outage")
            assert caplog.text.count("delivering alerts") == round_ + 2


def test_alerts_of_a_killed_process_are_sent_by_the_next(tmp_path):
    program = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from edge_agent.config.model import MqttConfig
        from edge_agent.alerts.store import AlertStore
        from edge_agent.mqtt.kept_connection import KeptConnection
        from edge_agent.mqtt.publisher import Publisher
        from tests.mqtt.samples import BOOT_ID, DEVICE, put
        store = AlertStore(Path(sys.argv[1]), boot_id=BOOT_ID)
        mqtt = MqttConfig(host="127.0.0.1", port=int(sys.argv[2]))
        publisher = Publisher(store, mqtt, DEVICE, kept=KeptConnection())
        publisher.start()
        for _ in range(3):
            put(store)
            publisher.wake()
        print("three are put", flush=True)
        time.sleep(60)
        """
    )
    broker = Mosquitto(tmp_path / "broker")
    path = tmp_path / "alerts.sqlite"
    command = [sys.executable, "-c", program, str(path), str(broker.port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        assert process.stdout.readline() == "three are put\n"
        process.send_signal(signal.SIGKILL)

    store = AlertStore(path, boot_id=BOOT_ID)
    with broker, Listener(broker.port) as listener, publishing(store, broker.config()):
        alerts = [take_alert(listener) for _ in range(3)]
        eventually(lambda: store.count() == 0, "all rows are removed")

    store.close()
    assert len({alert["id"] for alert in alerts}) == 3
    assert [alert["sequence"] for alert in alerts] == [1, 2, 3]


def test_a_refused_password_is_logged_once_and_retried_until_accepted(tmp_path, store, caplog):
    password_file = tmp_path / "password"
    password_file.write_text("wrong horse\n")
    with Mosquitto(tmp_path / "broker", users={DEVICE: "secret"}) as broker:
        mqtt = broker.config(username=DEVICE, password_file=password_file)
        put(store)
        with publishing(store, mqtt) as publisher:
            eventually(lambda: broker.log_file.read_text().count("not authorised") >= 3, "three attempts")
            assert "wrong password" in publisher.state.reason
            (line,) = warnings_in(caplog)
            assert "horse" not in line

            password_file.write_text("secret\n")

            eventually(lambda: store.count() == 0, "delivered with the right password")


def test_alerts_without_a_subscriber_are_logged_once(broker, store, caplog):
    with publishing(store, broker.config()):
        with Listener(broker.port) as listener:
            put(store)
            take_alert(listener)
        eventually(lambda: store.count() == 0, "delivered to the listener")
        eventually(lambda: "Received DISCONNECT" in broker.log_file.read_text(), "the listener has left")
        assert not warnings_in(caplog)

        for _ in range(2):
            put(store)
        eventually(lambda: store.count() == 0, "delivered without a subscriber")
    (line,) = warnings_in(caplog)
    assert "no subscriber for maskwatch/lobby/alerts" in line


@pytest.mark.parametrize("is_triggered", [False, True], ids=["by itself", "when Home Assistant has started"])
def test_an_alert_without_a_subscriber_is_held_and_resent_as_historical(broker, store, is_triggered):
    pause_seconds = 600.0 if is_triggered else 0.2
    with publishing(
        store,
        broker.config(no_subscribers_hold_seconds=60),
        timing=replace(IMPATIENT, no_subscribers_pause_seconds=pause_seconds),
    ) as publisher:
        sent = put(store)
        publisher.wake()
        eventually(lambda: "maskwatch/lobby/alerts" in broker.log_file.read_text(), "the alert is sent")
        time.sleep(0.1)
        assert store.count() == 1

        with Listener(broker.port) as listener:
            if is_triggered:
                publisher.resend_held()
            assert take_alert(listener) == {**sent, "historical": True}
            eventually(lambda: store.count() == 0, "delivered")
            assert listener.rest() == []


def test_an_alert_without_a_subscriber_is_held_no_longer_than_configured(broker, store):
    timing = replace(IMPATIENT, no_subscribers_pause_seconds=0.1)
    with publishing(store, broker.config(no_subscribers_hold_seconds=0.4), timing=timing) as publisher:
        put(store)
        publisher.wake()
        eventually(lambda: store.count() == 0, "it counts as delivered")

        eventually(lambda: publisher.state.sent == 1, "the alert is counted")
    sent = broker.log_file.read_text().count("Received PUBLISH")
    # At 0, 0.1, 0.3 and 0.4 s, and `offline` at the end; fewer on a busy machine.
    assert 2 <= sent <= 5


def test_the_publisher_waits_for_a_readable_password_file(tmp_path, store, caplog):
    password_file = tmp_path / "password"
    users = {DEVICE: "secret"}
    with Mosquitto(tmp_path / "broker", users=users) as broker:
        mqtt = broker.config(username=DEVICE, password_file=password_file)
        put(store)
        with Listener(broker.port, user=DEVICE, password=users[DEVICE]), publishing(store, mqtt) as publisher:
            eventually(lambda: str(password_file) in publisher.state.reason, "the reason is known")

            password_file.write_text("secret\n")

            eventually(lambda: store.count() == 0, "delivered with the right password")
    assert len(warnings_in(caplog)) == 1


def test_an_alert_denied_by_the_acl_is_kept_and_sent_once_allowed(tmp_path, store, caplog):
    everything = "topic readwrite #\n"
    with Mosquitto(tmp_path / "broker", acl="topic readwrite maskwatch/+/status\ntopic read #\n") as broker:
        keys = [put(store)["id"] for _ in range(12)]
        with publishing(store, broker.config()) as publisher:
            eventually(lambda: broker.log_file.read_text().count("Denied PUBLISH") > 12, "every row was tried")
            assert publisher.state.waiting == 12
            assert publisher.state.sent == 0
            assert publisher.state.connected
            assert "refuses alerts on maskwatch/lobby/alerts (Not authorized)" in publisher.state.reason
            assert len(warnings_in(caplog)) == 1

            broker.allow(everything)
            eventually(lambda: store.count() == 0, "delivered once it is allowed")
            eventually(lambda: publisher.state.reason == "", "recovered")
            assert publisher.state.sent == len(keys)


def test_an_unacknowledged_alert_is_resent_and_stays_in_the_outbox(store, caplog):
    message = put(store)
    timing = replace(IMPATIENT, acknowledge_seconds=0.5)
    with ScriptedBroker(lambda _level: WELCOME_5) as broker, publishing(store, broker.config(), timing) as publisher:
        eventually(lambda: broker.connects >= 3, "the row is sent again on new connections")

        assert store.count() == 1
        assert publisher.state.sent == 0
        assert "does not acknowledge" in publisher.state.reason
        sent = b"".join(broker.received)
        assert sent.count(message["id"].encode()) >= 2
        assert len(warnings_in(caplog)) == 1


def test_a_message_size_limit_below_the_size_of_an_alert_is_reported(tmp_path, store):
    put(store)
    with (
        Mosquitto(tmp_path / "broker", settings="message_size_limit 400") as broker,
        publishing(store, broker.config()) as publisher,
    ):
        eventually(lambda: "message_size_limit" in publisher.state.reason, "the limit is named")


def test_an_alert_above_the_packet_limit_waits_and_the_connection_stays(tmp_path, store):
    put(store)
    with (
        Mosquitto(tmp_path / "broker", settings="max_packet_size 400") as broker,
        Listener(broker.port) as listener,
        publishing(store, broker.config()) as publisher,
    ):
        eventually(lambda: "no more than 400 bytes" in publisher.state.reason, "the limit is named")
        publisher.publish(Publication("maskwatch/lobby/status", b"{}", retain=True))
        assert listener.take("/status").payload == b"{}"
        assert publisher.state.connected
        assert store.count() == 1


def test_an_alert_refused_for_its_size_is_not_reported_as_an_access_problem(store):
    put(store)
    with StrictBroker(("",), largest_bytes=400) as broker, publishing(store, broker.config()) as publisher:
        eventually(lambda: "message_size_limit" in publisher.state.reason, "the limit is named")
        assert "access" not in publisher.state.reason


def test_an_mqtt_3_1_1_broker_receives_alerts(store):
    keys = [put(store)["id"] for _ in range(3)]
    with Amqtt() as broker:
        mqtt = MqttConfig(host="127.0.0.1", port=broker.port)
        with publishing(store, mqtt):
            eventually(lambda: store.count() == 0, f"{keys} are delivered")


def test_crops_are_published_before_their_alert_if_enabled(broker, store, tmp_path):
    message = put(store, crop=a_crop(tmp_path))
    with Listener(broker.port) as listener, publishing(store, broker.config(publish_crops=True)):
        assert listener.take(f"/lobby/crops/{message['id']}").payload == b"a picture"
        assert take_alert(listener)["id"] == message["id"]
        eventually(lambda: store.count() == 0, "the row is removed")


def test_only_the_newest_crop_of_a_camera_is_also_published_on_a_fixed_topic(broker, store, tmp_path):
    crop = a_crop(tmp_path)
    with Listener(broker.port) as listener:
        put(store, when=datetime(2025, 1, 1, tzinfo=timezone.utc), crop=crop)
        with closing(sqlite3.connect(store.path)) as database:
            database.execute("UPDATE outbox SET put_at = put_at - 60")
            database.commit()
        put(store, crop=crop)
        with publishing(store, broker.config(publish_crops=True)):
            take_alert(listener)
            take_alert(listener)
        fixed = [message for message in listener.rest() if message.topic.endswith("/crop")]
    log = broker.log_file.read_text()
    assert log.count("'maskwatch/lobby/cameras/entrance/crop'") == 2  # once in, once out
    assert [message.retain for message in fixed] in ([], [False])


def test_crops_are_not_published_by_default(broker, store, tmp_path):
    put(store, crop=a_crop(tmp_path))
    with Listener(broker.port) as listener:
        with publishing(store, broker.config()):
            take_alert(listener)
        assert not [message for message in listener.rest() if "/crops/" in message.topic]


def test_a_missing_crop_does_not_delay_its_alert(broker, store, tmp_path, caplog):
    crop = a_crop(tmp_path)
    Path(crop.file).unlink()
    put(store, crop=crop)
    with Listener(broker.port) as listener, publishing(store, broker.config(publish_crops=True)):
        alert = take_alert(listener)
    assert alert["crop"] is None
    assert alert["crop_error"] == f"{Path(crop.file).name}: the picture is gone from the disk"
    assert crop.file in caplog.text


def test_an_inaccessible_crop_does_not_delay_its_alert(broker, store, tmp_path, caplog):
    # Whether this file exists cannot be determined, as in a folder without permission or on a failing disk.
    put(store, crop=CropFile(file=str(tmp_path / f"{'x' * 300}.jpg"), sha256="0" * 64, bytes=9))
    with Listener(broker.port) as listener, publishing(store, broker.config(publish_crops=True)):
        alert = take_alert(listener)
    assert alert["crop"] is not None
    assert "alert published without its crop" in caplog.text


def test_a_hanging_disk_does_not_delay_messages_without_crops(broker, store, tmp_path):
    file = tmp_path / "0190.jpg"
    # Reading it blocks until it is written to.
    os.mkfifo(file)
    put(store, crop=CropFile(file=str(file), sha256="0" * 64, bytes=9))
    with Listener(broker.port) as listener, publishing(store, broker.config(publish_crops=True)) as publisher:
        eventually(lambda: publisher.state.connected, "it is connected")
        for text in (b"one", b"another"):
            publisher.publish(Publication("maskwatch/lobby/status", text, retain=True))
            assert listener.take("/status").payload == text
        put(store)
        file.write_bytes(b"a picture")

        assert [take_alert(listener)["sequence"] for _ in range(2)] == [1, 2]
        eventually(lambda: store.count() == 0, "both are removed")


def test_a_crop_too_large_for_the_broker_does_not_delay_its_alert(tmp_path, store, caplog):
    put(store, crop=a_crop(tmp_path, b"x" * 20_000))
    with (
        Mosquitto(tmp_path / "broker", settings="max_packet_size 10000") as broker,
        Listener(broker.port) as listener,
        publishing(store, broker.config(publish_crops=True)),
    ):
        take_alert(listener)
    assert "too large for the broker, whose limit is 10000 bytes" in caplog.text


def test_crops_denied_by_the_acl_do_not_delay_alerts(tmp_path, store, caplog):
    acl = "topic read #\ntopic write maskwatch/+/status\ntopic write maskwatch/+/alerts\n"
    for _ in range(20):
        put(store, crop=a_crop(tmp_path))
    with (
        Mosquitto(tmp_path / "broker", acl=acl) as broker,
        Listener(broker.port),
        publishing(store, broker.config(publish_crops=True)) as publisher,
    ):
        eventually(lambda: store.count() == 0, "alerts are delivered")
        eventually(lambda: not publisher.state.reason, "the connection is reported")
    line, of_the_fixed_topic = warnings_in(caplog)
    assert "cameras/entrance/crop" in of_the_fixed_topic
    assert "refuses crops on maskwatch/lobby/crops/+" in line


def test_publications_carry_their_mqtt_5_properties(broker, store):
    with Listener(broker.port) as listener, publishing(store, broker.config()) as publisher:
        eventually(lambda: publisher.state.connected, "connected")

        publisher.publish(
            Publication(
                "maskwatch/lobby/x", b"{}", expiry_seconds=600, user_properties=(("device", DEVICE), ("camera", "door"))
            )
        )

        message = listener.take("/lobby/x")
        assert message.payload == b"{}"
        assert message.qos == 1
        assert properties_of(message).ContentType == "application/json"
        assert 0 < properties_of(message).MessageExpiryInterval <= 600
        assert properties_of(message).UserProperty == [("device", DEVICE), ("camera", "door")]


def test_a_publication_too_large_for_the_broker_is_dropped_and_the_connection_stays(tmp_path, store, caplog):
    with (
        Mosquitto(tmp_path / "broker", settings="max_packet_size 5000") as small,
        Listener(small.port) as listener,
        publishing(store, small.config()) as publisher,
    ):
        eventually(lambda: publisher.state.connected, "connected")

        publisher.publish(Publication("maskwatch/lobby/x", b"x" * 6000))
        publisher.publish(Publication("maskwatch/lobby/y", b"y"))

        assert listener.take("/lobby/y").payload == b"y"
    assert "5000 bytes" in caplog.text


def test_a_publication_at_qos_0_without_properties_arrives_without_any(broker, store):
    with Listener(broker.port) as listener, publishing(store, broker.config()) as publisher:
        eventually(lambda: publisher.state.connected, "connected")

        publisher.publish(Publication("maskwatch/lobby/x", b"\xff", qos=0, content_type=""))

        message = listener.take("/lobby/x")
        assert message.qos == 0
        assert properties_of(message).json() == {}


def test_an_mqtt_3_1_1_broker_receives_publications_without_properties(store):
    with (
        Amqtt() as broker,
        Listener(broker.port, version=MQTTProtocolVersion.MQTTv311) as listener,
        publishing(store, MqttConfig(host="127.0.0.1", port=broker.port)) as publisher,
    ):
        eventually(lambda: publisher.state.connected, "connected")

        publisher.publish(Publication("maskwatch/lobby/x", b"{}", expiry_seconds=60, user_properties=(("a", "b"),)))

        assert listener.take("/lobby/x").payload == b"{}"


def test_the_last_retained_publication_of_a_topic_is_repeated_at_every_connection(tmp_path, store):
    broker = Mosquitto(tmp_path / "broker")
    with publishing(store, broker.config()) as publisher:
        for word in (b"first", b"last"):
            publisher.publish(Publication("maskwatch/lobby/x", word, retain=True))
        for _ in range(2):
            with broker, Listener(broker.port) as listener:
                assert listener.take("/lobby/x").payload == b"last"


def test_unretained_publications_are_dropped_while_disconnected(tmp_path, store):
    broker = Mosquitto(tmp_path / "broker")
    with publishing(store, broker.config()) as publisher:
        publisher.publish(Publication("maskwatch/lobby/x", b"too early"))
        with broker, Listener(broker.port) as listener:
            eventually(lambda: publisher.state.connected, "connected")
            publisher.publish(Publication("maskwatch/lobby/x", b"in time"))

            assert listener.take("/lobby/x").payload == b"in time"


def test_a_publication_denied_by_the_acl_is_logged_once_and_delays_no_alert(tmp_path, store, caplog):
    acl = "topic read #\ntopic write maskwatch/+/status\ntopic write maskwatch/+/alerts\n"
    with (
        Mosquitto(tmp_path / "broker", acl=acl) as broker,
        Listener(broker.port),
        publishing(store, broker.config()) as publisher,
    ):
        eventually(lambda: publisher.state.connected, "connected")
        for _ in range(3):
            publisher.publish(Publication("maskwatch/lobby/x", b"{}"))
        put(store)
        publisher.wake()

        eventually(lambda: store.count() == 0, "the alert is delivered")
        eventually(lambda: warnings_in(caplog), "the refusal is known")
    (line,) = warnings_in(caplog)
    assert "refuses maskwatch/lobby/x (Not authorized)" in line


def test_retained_commands_are_recognised_as_such_also_while_connected(broker, store):
    topic = "maskwatch/lobby/commands/pause"
    with publishing(store, broker.config(), listen_to=["maskwatch/lobby/commands/+"]) as publisher:
        eventually(lambda: publisher.state.connected, "connected")
        with open_connection(broker.config(), client_id="a person") as person:
            await_subscription(publisher, topic, person)
            for payload in (b"{}", b""):
                person.publish(Publication(topic, payload, retain=True))

            assert take_heard(publisher, 2) == [Message(topic, payload, retain=True) for payload in (b"{}", b"")]


def test_received_messages_arrive_in_order_and_once_also_after_reconnecting(broker, store):
    with publishing(store, broker.config(), listen_to=["maskwatch/lobby/commands/+"]) as publisher:
        for _ in range(2):
            eventually(lambda: publisher.state.connected, "connected")
            with open_connection(broker.config(), client_id="a person") as person:
                await_subscription(publisher, "maskwatch/lobby/commands/pause", person)
                for word in (b"1", b"2"):
                    person.publish(Publication("maskwatch/lobby/commands/pause", word))
                person.publish(Publication("maskwatch/lobby/other", b"3"))

            assert take_heard(publisher, 2) == [
                Message("maskwatch/lobby/commands/pause", word) for word in (b"1", b"2")
            ]
            assert publisher.received() == []
            broker.kill()
            eventually(lambda: not publisher.state.connected, "the loss is noticed")
            broker.start()


def test_alerts_are_sent_although_the_subscription_is_denied(store, caplog):
    def answers(_level):
        return WELCOME_5 + FIRST_SUBSCRIPTION_DENIED_5

    put(store)
    with ScriptedBroker(answers) as broker, publishing(store, broker.config(), listen_to=["x"]):
        eventually(lambda: b"maskwatch/lobby/alerts" in b"".join(broker.received), "the alert is on its way")
    assert "cannot subscribe to x" in caplog.text


def test_closing_sends_pending_messages_and_goes_offline(broker, store):
    with Listener(broker.port) as listener:
        with KeptConnection() as kept:
            publisher = Publisher(store, broker.config(), DEVICE, kept=kept)
            publisher.start()
            for _ in range(50):
                put(store)

            publisher.close(drain_seconds=TIMEOUT_SECONDS)

        assert store.count() == 0
        assert json.loads(listener.take("/status").payload)["state"] == "offline"


def test_closing_ends_within_the_given_drain_time(store):
    put(store)
    with ScriptedBroker(lambda _level: WELCOME_5) as broker, KeptConnection() as kept:
        publisher = Publisher(store, broker.config(), DEVICE, kept=kept)
        publisher.start()
        eventually(lambda: bool(broker.received), "the alert is on its way")
        began = time.monotonic()

        publisher.close(drain_seconds=2.0)

        # It would wait for an acknowledgement that never comes.
        assert time.monotonic() - began < TIMEOUT_SECONDS
        assert store.count() == 1


def test_closing_does_not_wait_for_an_unreachable_broker(store):
    publisher = Publisher(store, MqttConfig(host="127.0.0.1", port=free_port()), DEVICE, kept=KeptConnection())
    put(store)
    publisher.start()
    eventually(lambda: "refused" in publisher.state.reason, "the broker is found to be away")
    began = time.monotonic()

    publisher.close(drain_seconds=2 * TIMEOUT_SECONDS)

    assert time.monotonic() - began < TIMEOUT_SECONDS


def test_an_acknowledged_alert_is_not_resent_while_a_full_disk_keeps_its_row(broker, store):
    put(store)
    with Listener(broker.port) as listener:
        with ExitStack() as stack:
            with limited_file_size(0):
                publisher = stack.enter_context(publishing(store, broker.config()))
                take_alert(listener)
                eventually(lambda: store.write_error, "the disk is found to be full")
                time.sleep(1.5)
                assert publisher.state.connected
                # The store reports its disk; the broker refuses nothing.
                assert publisher.state.reason == ""
            eventually(lambda: store.count() == 0, "the row is removed when the disk has room")
        assert not [message for message in listener.rest() if message.topic.endswith("/alerts")]


class SlowBroker(LocalBroker):
    """Accepts everything at once and acknowledges one message at a time, in order, with a pause before each."""

    def __init__(self, *pauses_seconds: float) -> None:
        """Pauses before the first acknowledgements; the last one applies to all others."""
        super().__init__()
        self._pauses_seconds = pauses_seconds
        self.connects = 0
        self.in_flight_at_answers: list[int] = []
        self._is_over = threading.Event()

    def __exit__(self, *_):
        self._is_over.set()
        super().__exit__()

    def _serve(self, connected):
        self.connects += 1
        waiting: deque[bytes] = deque()
        threading.Thread(target=self._answer, args=[connected, waiting], daemon=True).start()
        # A client may disconnect at any time, also in the middle of a packet.
        with connected, suppress(OSError, IndexError), connected.makefile("rb") as stream:
            while kind := stream.read(1):
                packet = stream.read(variable_length(stream))
                if kind[0] == 0x10:
                    connected.sendall(WELCOME_5)
                elif kind[0] & 0xF6 == 0x32:
                    topic_bytes = int.from_bytes(packet[:2], "big")
                    waiting.append(packet[2 + topic_bytes : 4 + topic_bytes])

    def _answer(self, connected, waiting):
        with suppress(OSError):
            for pause_seconds in chain(self._pauses_seconds, repeat(self._pauses_seconds[-1])):
                while not waiting:
                    if self._is_over.wait(0.005):
                        return
                time.sleep(pause_seconds)
                self.in_flight_at_answers.append(len(waiting))
                connected.sendall(b"\x40\x02" + waiting.popleft())


def test_the_in_flight_window_grows_with_acknowledgements(store):
    for _ in range(30):
        put(store)
    # One pause is so long that even a busy machine fills the in-flight window.
    with SlowBroker(*[0.05] * 15, 2.0, 0.05) as broker, publishing(store, broker.config()):
        eventually(lambda: store.count() == 0, "everything is acknowledged")

    assert broker.in_flight_at_answers[0] == 1
    assert max(broker.in_flight_at_answers) == ROWS_IN_FLIGHT


def test_a_slow_broker_stays_connected_and_gets_one_message_at_a_time(store):
    for _ in range(25):
        put(store)
    with (
        SlowBroker(*[0.01] * 15, 0.5) as broker,
        publishing(store, broker.config(), timing=replace(IMPATIENT, acknowledge_seconds=3.0, slow_seconds=0.3)),
    ):
        eventually(lambda: store.count() == 0, "everything is acknowledged")

    # Eight are acknowledged one after the other within 4 s; a timeout of 3 s for each would have closed the connection.
    assert broker.connects == 1
    assert broker.in_flight_at_answers[-2:] == [1, 1]


def test_the_timeout_grows_with_the_time_to_acknowledge(store):
    for _ in range(2):
        put(store)
    # The second takes longer than that.
    timing = replace(IMPATIENT, acknowledge_seconds=4.0, slow_seconds=0.2)
    with SlowBroker(2.0, 4.5) as broker, publishing(store, broker.config(), timing=timing):
        eventually(lambda: store.count() == 0, "both are acknowledged")

    assert broker.connects == 1


def test_telemetry_older_than_its_expiry_is_dropped_on_the_device(broker, tmp_path):
    file = tmp_path / "old.sqlite"
    with closing(AlertStore(file, boot_id="another start of the machine")) as before:
        put(before, "telemetry")
    with closing(AlertStore(file, boot_id=BOOT_ID)) as store:
        young = put(store, "telemetry")
        with Listener(broker.port) as listener, publishing(store, broker.config()):
            eventually(lambda: store.count() == 0, "both are gone")

            assert json.loads(listener.take("/telemetry").payload)["id"] == young["id"]
            assert not [message for message in listener.rest() if message.topic.endswith("/telemetry")]


def test_the_first_reconnection_after_an_outage_has_jitter(tmp_path, store, monkeypatch):
    limits: list[float] = []

    def uniform(_low: float, high: float) -> float:
        limits.append(high)
        return 0.0

    monkeypatch.setattr("edge_agent.mqtt.publisher.random.uniform", uniform)
    with (
        Mosquitto(tmp_path / "broker") as broker,
        publishing(store, broker.config(reconnect_spread_seconds=17.0)) as publisher,
    ):
        eventually(lambda: publisher.state.connected, "connected")
        broker.stop()
        eventually(lambda: not publisher.state.connected, "lost")
        broker.start()
        eventually(lambda: publisher.state.connected, "connected again")

    assert 17.0 in limits


def test_messages_still_pending_at_the_end_are_logged(store, caplog):
    caplog.set_level(logging.INFO)
    put(store)
    with publishing(store, MqttConfig(host="127.0.0.1", port=free_port())):
        pass

    assert caplog.messages[-1] == "pending messages kept in the outbox: 1"


HOME = "homeassistant/device/maskwatch_lobby/config"
COUNT = "maskwatch/lobby/cameras/entrance/violations"
BIRTH, COMMANDS, STATUS = "homeassistant/status", "maskwatch/lobby/commands/+", "maskwatch/lobby/status"
HANGING_UP = replace(IMPATIENT, steady_seconds=60.0)


def introduce(publisher):
    """Publish what the agent publishes at its start."""
    publisher.publish(Publication(STATUS, b"{}", retain=True))
    publisher.publish(Publication(HOME, b"{}", retain=True))
    publisher.publish(Publication(COUNT, b"{}", retain=True))


@pytest.mark.parametrize(
    ("a_broker", "listen_to", "left_out"),
    [
        (lambda: StrictBroker(("maskwatch/lobby/",)), [BIRTH, COMMANDS], {BIRTH, HOME}),
        (lambda: StrictBroker(("maskwatch/lobby/alerts", STATUS)), [COMMANDS], {COMMANDS, HOME, COUNT}),
        (lambda: StrictBroker(("maskwatch/lobby/",), takes_retained=False), [], {"retained messages", HOME}),
        (lambda: StrictBroker(("maskwatch/lobby/alerts", STATUS, HOME)), [], {COUNT}),
        (
            lambda: StrictBroker(("maskwatch/lobby/alerts",)),
            [BIRTH],
            {BIRTH, "retained messages", "status", HOME, COUNT},
        ),
    ],
)
def test_optional_features_that_the_broker_hangs_up_on_are_left_out(store, caplog, a_broker, listen_to, left_out):
    put(store)
    with (
        a_broker() as strict,
        publishing(store, strict.config(), timing=HANGING_UP, listen_to=listen_to) as publisher,
    ):
        introduce(publisher)
        eventually(lambda: set(publisher.state.left_out) == left_out, f"{left_out} are left out")
        eventually(lambda: store.count() == 0, "the alert is sent")
        eventually(lambda: publisher.state.connected and not publisher.state.reason, "no problem is reported")

        # One more loss: the earlier ones were explained and are no sign of another device with this name.
        strict.hang_up()
        eventually(lambda: not publisher.state.connected, "the loss is noticed")
        eventually(lambda: publisher.state.connected and not publisher.state.reason, "recovered")
        assert not publisher.state.has_namesake

    assert ("maskwatch/lobby/alerts", False) in strict.taken
    assert len([line for line in warnings_in(caplog) if "no longer sending" in line]) == len(left_out)


@pytest.mark.parametrize("answer", [b"\x20\x03\x00\x87\x00", None])
def test_alerts_are_delivered_without_a_refused_last_will(store, caplog, answer):
    put(store)
    with (
        StrictBroker(("maskwatch/lobby/",), answer_to_will=answer) as strict,
        publishing(store, strict.config(), timing=HANGING_UP) as publisher,
    ):
        eventually(lambda: store.count() == 0, "the alert is sent")
        assert publisher.state.left_out == ("last will",)
        strict.hang_up()
        eventually(lambda: not publisher.state.connected, "the loss is noticed")
        eventually(lambda: publisher.state.connected and not publisher.state.reason, "recovered")

    assert len([line for line in warnings_in(caplog) if "last will" in line]) == 1


@pytest.mark.parametrize(
    ("settings", "left_out"),
    [("retain_available false", {"retained messages"}), ("max_qos 0", {"acknowledgement (QoS 1)"})],
)
def test_alerts_are_delivered_without_retained_messages_or_qos_1(tmp_path, store, settings, left_out):
    put(store)
    with (
        Mosquitto(tmp_path / "limited", settings=settings) as limited,
        Listener(limited.port) as listener,
        publishing(store, limited.config()) as publisher,
    ):
        introduce(publisher)
        take_alert(listener)
        eventually(lambda: store.count() == 0, "the alert is sent")

        assert set(publisher.state.left_out) == left_out


@pytest.mark.parametrize("level", [5, 4], ids=["MQTT 5", "MQTT 3.1.1"])
def test_an_oversized_incoming_message_is_discarded_without_buffering(tmp_path, broker, level):
    program = textwrap.dedent(
        """
        import sys, time
        from dataclasses import replace
        from pathlib import Path
        from edge_agent.config.model import MqttConfig
        from edge_agent.alerts.store import AlertStore
        from edge_agent.mqtt import client
        from edge_agent.mqtt.kept_connection import KeptConnection
        from edge_agent.mqtt.publisher import Publisher
        from tests.mqtt.samples import BOOT_ID, DEVICE, put
        if sys.argv[3] == "4":
            opened = client.Connection
            def open_old(mqtt, *, limits, **named):
                return opened(mqtt, limits=replace(limits, mqtt_5=False), **named)
            client.Connection = open_old
        store = AlertStore(Path(sys.argv[1]), boot_id=BOOT_ID)
        mqtt = MqttConfig(host="127.0.0.1", port=int(sys.argv[2]))
        topics = ["maskwatch/lobby/commands/+"]
        publisher = Publisher(store, mqtt, DEVICE, kept=KeptConnection(), listen_to=topics)
        publisher.start()
        heard = []
        while not any(message.payload == b"last" for message in heard):
            heard += publisher.received()
            time.sleep(0.05)
        put(store)
        publisher.wake()
        while store.count():
            time.sleep(0.05)
        # Not by getrusage, which counts the process that started this one.
        (peak,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
        print(peak.split()[1], [len(message.payload) for message in heard], flush=True)
        publisher.close()
        """
    )
    topic = "maskwatch/lobby/commands/pause"
    command = [sys.executable, "-c", program, str(tmp_path / "alerts.sqlite"), str(broker.port), str(level)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (
        Listener(broker.port, topic="maskwatch/lobby/alerts") as person,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process,
    ):
        person.publish(topic, bytes(64_000_000), retain=True)
        assert process.stdout
        while not select.select([process.stdout], [], [], 0.5)[0]:
            assert process.poll() is None
            person.publish(topic, b"last")
        peak_kb, _, heard = process.stdout.readline().partition(" ")

    assert {int(size) for size in heard.strip("[]\n").split(",")} == {4}
    # As much as without the message (about 80 MB), and not 64 MB more.
    assert int(peak_kb) < 120_000


def test_a_duplicate_device_name_is_reported_if_the_broker_only_hangs_up(tmp_path, store, caplog):
    """Mosquitto gives no reason in MQTT 3.1.1, and old versions give none at all."""
    with Mosquitto(tmp_path / "broker") as broker, publishing(store, broker.config()) as publisher:
        for _ in range(5):
            eventually(lambda: publisher.state.connected, "connected")
            broker.kill()
            eventually(lambda: not publisher.state.connected, "the loss is noticed")
            broker.start()
        eventually(lambda: "device.id" in caplog.text, "it is reported")
        assert publisher.state.has_namesake


def test_a_duplicate_device_name_is_reported_if_the_broker_gives_the_reason(store):
    with (
        ScriptedBroker(lambda _level: WELCOME_5 + SESSION_TAKEN_OVER_5) as broker,
        publishing(store, broker.config()) as publisher,
    ):
        eventually(lambda: publisher.state.has_namesake, "it is reported")


@pytest.mark.parametrize(("refused", "steady_seconds"), [("counts", 10.0), ("telemetry", 0.0)])
def test_a_kind_of_message_that_the_broker_hangs_up_on_is_left_out(store, refused, steady_seconds):
    """Telemetry is sent at QoS 0, without an acknowledgement, and on a connection that had worked."""
    topics = {f"maskwatch/lobby/{name}" for name in ("alerts", "status", "resolved", "counts", "telemetry")}
    denied = f"maskwatch/lobby/{refused}"
    timing = replace(HANGING_UP, steady_seconds=steady_seconds)
    with (
        StrictBroker(tuple(topics - {denied})) as strict,
        publishing(store, strict.config(), timing=timing) as publisher,
    ):

        def is_left_out():
            # A message sent at QoS 0 leaves the outbox.
            if publisher.state.connected and not store.count():
                put(store, refused)
                publisher.wake()
            return publisher.state.left_out == (denied,)

        eventually(is_left_out, "it is left out")
        put(store, "alert")
        publisher.wake()
        eventually(lambda: ("maskwatch/lobby/alerts", False) in strict.taken, "the alert is sent")


def test_retained_messages_of_an_old_device_name_are_cleared_once(tmp_path, broker, store):
    file = tmp_path / "retained.json"
    RetainedNames(file, current=["maskwatch/old/status", "homeassistant/device/old/config"])
    with Listener(broker.port) as before:
        before.publish("maskwatch/old/status", b"{}", retain=True)
        before.take("/old/status")
    retained = RetainedNames(file, current=[STATUS])

    with publishing(store, broker.config(), retained=retained):
        eventually(lambda: not retained.stale, "both are cleared")

    with Listener(broker.port) as after:
        # Retained messages arrive first.
        after.publish("nothing", b"")
        after.take("nothing")
        assert [message.topic for message in after.rest()] == []
    eventually(lambda: RetainedNames(file, current=[STATUS]).stale == [], "the file knows it")


def test_retained_messages_that_another_user_must_clear_are_logged_once_with_the_command(tmp_path, store, caplog):
    retained = RetainedNames(tmp_path / "retained.json", current=["maskwatch/old/status"])
    retained = RetainedNames(tmp_path / "retained.json", current=[STATUS])
    with (
        StrictBroker((STATUS,)) as strict,
        publishing(store, strict.config(), timing=HANGING_UP, retained=retained) as publisher,
    ):
        eventually(lambda: not retained.stale, "it is given up")

    assert publisher.state.left_out == ()
    assert "mosquitto_pub -r -n -t maskwatch/old/status" in caplog.text
