"""The example configuration of mosquitto does what its comments state, in a real mosquitto."""

from __future__ import annotations

import re
import ssl
import subprocess
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_agent.config.model import Config
from edge_agent.messages.message import KINDS
from edge_agent.messages.topics import Topics
from edge_agent.mqtt.client import Message, PubAck, open_connection
from edge_agent.mqtt.homeassistant import birth_topic, discovery
from edge_agent.mqtt.publication import Publication
from tests.mosquitto import Mosquitto
from tests.mqtt.samples import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.config.model import MqttConfig
    from edge_agent.mqtt.client import Connection

EXAMPLE = Path(__file__).parents[2] / "deploy" / "mosquitto"
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
USERS = ("server", "bridge", "front-door", "back-door", "homeassistant", "reader")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Path:
    """An authority and a certificate for every user, created as in the README."""
    folder: Path = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", *CURVE, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority")
    for name in USERS:
        (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
        openssl("req", *CURVE, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext")
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signing)
    (folder / "bridge-ca.pem").write_bytes((folder / "ca.pem").read_bytes())
    return folder


class ExampleBroker(Mosquitto):
    """mosquitto with the example included as on Debian; only paths, port and address of the bridge are the test's."""

    def __init__(self, folder: Path, certificates: Path, *, bridge_to: int) -> None:
        super().__init__(folder)
        settings = (EXAMPLE / "maskwatch.conf").read_text(encoding="utf-8")
        for pattern, real in (
            (r"^listener 8883$", f"listener {self.port} 127.0.0.1\nuser root"),
            (r"/etc/mosquitto/certs", str(certificates)),
            (r"/etc/mosquitto/maskwatch\.acl", str(EXAMPLE / "maskwatch.acl")),
            (r"broker\.example\.org:8883", f"127.0.0.1:{bridge_to}"),
        ):
            settings, count = re.subn(pattern, real, settings, flags=re.MULTILINE)
            assert count, f"{pattern} is not in the example"
        included = folder / "conf.d"
        included.mkdir()
        (included / "maskwatch.conf").write_text(settings, encoding="utf-8")
        # Debian's mosquitto.conf; mosquitto does not start with a key that is set twice.
        debian = f"persistence true\npersistence_location {folder}/\ninclude_dir {included}\n"
        self._settings_file.write_text(debian, encoding="utf-8")


@pytest.fixture
def second_broker(tmp_path, certificates) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "second", certificates=certificates) as running:
        yield running


@pytest.fixture
def broker(tmp_path, certificates, second_broker) -> Iterator[Mosquitto]:
    with ExampleBroker(tmp_path / "first", certificates, bridge_to=second_broker.port) as running:
        yield running


def mqtt_of(name: str, broker: Mosquitto, certificates: Path) -> MqttConfig:
    return broker.config(
        tls=True,
        ca_file=certificates / "ca.pem",
        cert_file=certificates / f"{name}.pem",
        key_file=certificates / f"{name}.key",
    )


def refusals(broker: Mosquitto, certificates: Path, name: str, *topics: str) -> dict[str, str]:
    """Publish on each topic as a user, and return the broker's refusals: empty if it accepts."""
    answers = {}
    with open_connection(mqtt_of(name, broker, certificates), client_id=f"test-{uuid.uuid4().hex}") as connection:
        for topic in topics:
            answers[topic] = answered(connection, connection.publish(Publication(topic, b"{}"))).refusal
    return answers


def answered(connection: Connection, number: int) -> PubAck:
    """Wait for the answer to a publication."""
    while True:
        for event in connection.turn(5.0):
            if isinstance(event, PubAck) and event.number == number:
                return event


def test_a_device_writes_its_own_topics(broker, certificates):
    topics = Topics("maskwatch", "front-door")
    own = [
        *(topics.status, *map(topics.of_kind, KINDS)),
        *(topics.crop("1"), topics.last_crop("entrance"), topics.violations("entrance"), topics.snapshot("1")),
        topics.result("pause"),
    ]

    assert set(refusals(broker, certificates, "front-door", *own).values()) == {""}


@pytest.mark.parametrize(
    "topic",
    [
        "maskwatch/back-door/alerts",
        "maskwatch/back-door/status",
        "maskwatch/back-door/commands/pause",
        "maskwatch/front-door/commands/pause",
        "homeassistant/status",
        "homeassistant/device/maskwatch_back-door/config",
        "anything",
    ],
)
def test_a_device_writes_nothing_else(broker, certificates, topic):
    assert refusals(broker, certificates, "front-door", topic) == {topic: "Not authorized"}


def test_a_device_may_describe_itself_to_home_assistant(broker, certificates):
    config = Config.model_validate({"device": {"id": "front-door"}})
    topic = discovery(config, version="0", has_temperature=True).topic

    assert refusals(broker, certificates, "front-door", topic) == {topic: ""}
    assert birth_topic(config) == "homeassistant/status"


def test_a_device_receives_only_its_own_commands(broker, certificates):
    with (
        open_connection(mqtt_of("front-door", broker, certificates), client_id="front") as front,
        open_connection(mqtt_of("back-door", broker, certificates), client_id="back") as back,
    ):
        front.subscribe("maskwatch/front-door/commands/+")
        # mosquitto grants any subscription, but delivers only permitted messages.
        back.subscribe("maskwatch/+/commands/+")
        topics = ("maskwatch/front-door/commands/pause", "maskwatch/back-door/commands/resume")
        assert set(refusals(broker, certificates, "homeassistant", *topics).values()) == {""}

        assert received_topics(front, 1) == [topics[0]]
        assert received_topics(back, 1) == [topics[1]]
        assert received_topics(back, 0) == []


def received_topics(connection, count: int) -> list[str]:
    """The topics of the next `count` messages; with 0, of all that arrive within half a second."""
    topics: list[str] = []
    while len(topics) < count or not count:
        events = connection.turn(0.5 if not count else 5.0)
        topics += [event.topic for event in events if isinstance(event, Message)]
        if not count and not events:
            return topics
    return topics


def test_a_device_cannot_take_over_the_connection_of_another(broker, certificates):
    alerts = "maskwatch/front-door/alerts"
    with open_connection(mqtt_of("front-door", broker, certificates), client_id="maskwatch-front-door") as front:
        with open_connection(mqtt_of("back-door", broker, certificates), client_id="maskwatch-front-door") as back:
            back.publish(Publication("maskwatch/back-door/alerts", b"{}"))
            assert not [event for event in back.turn(5.0) if isinstance(event, PubAck) and event.refusal]
        number = front.publish(Publication(alerts, b"{}"))

        assert answered(front, number) == PubAck(number, "")


def test_clients_without_a_certificate_are_rejected(broker, certificates):
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    client.tls_set_context(context)
    answers: list[object] = []
    client.on_connect = lambda *arguments: answers.append(arguments[3])
    with ExitStack() as stack:
        stack.callback(lambda: client.socket() and client.socket().close())  # type: ignore[union-attr]
        try:
            client.connect("127.0.0.1", broker.port)
            for _ in range(20):
                client.loop(0.1)
        except (ssl.SSLError, OSError):
            pass
    assert answers == []


def test_the_bridge_forwards_alerts_and_no_telemetry(broker, second_broker, certificates):
    mqtt = second_broker.config(tls=True, ca_file=certificates / "ca.pem")
    eventually(lambda: "maskwatch-bridge" in second_broker.log_file.read_text(), "the bridge is there")
    with open_connection(mqtt, client_id="far") as far:
        far.subscribe("maskwatch/#")
        topics = ("maskwatch/front-door/telemetry", "maskwatch/front-door/alerts")
        refusals(broker, certificates, "front-door", *topics)

        assert received_topics(far, 1) == ["maskwatch/front-door/alerts"]
        assert received_topics(far, 0) == []


def test_alerts_wait_for_an_unavailable_second_broker(broker, second_broker, certificates):
    mqtt = second_broker.config(tls=True, ca_file=certificates / "ca.pem")
    eventually(lambda: "maskwatch-bridge" in second_broker.log_file.read_text(), "the bridge is there")
    second_broker.kill()

    refusals(broker, certificates, "front-door", "maskwatch/front-door/alerts")

    second_broker.start()
    with open_connection(mqtt, client_id="far") as far:
        far.subscribe("maskwatch/#")
        assert received_topics(far, 1) == ["maskwatch/front-door/alerts"]
