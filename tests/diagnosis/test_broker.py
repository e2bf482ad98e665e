"""Broker checks: find what the agent would run into, and leave no trace at the broker."""

from __future__ import annotations

import json

import pytest

from edge_agent.config.model import Config
from edge_agent.diagnosis.broker import check_broker
from edge_agent.diagnosis.finding import Finding
from edge_agent.errors import UnavailableError
from edge_agent.host.clock import boot_id
from edge_agent.messages.status import Reason, running
from edge_agent.messages.topics import Topics
from edge_agent.mqtt.client import PubAck, open_connection
from edge_agent.mqtt.publication import Publication, status_publication
from edge_agent.wiring import alone_in
from tests.mosquitto import Mosquitto
from tests.mqtt.brokers import StrictBroker, make_certificates
from tests.mqtt.samples import BOOT_ID, DEVICE, WHEN, Listener

EVERYTHING = [
    *("status", "alerts", "resolved", "counts", "telemetry", "crops/+", "snapshots/+", "commands/+/result"),
    *("cameras/+/crop", "cameras/+/violations"),
]
HOME = "homeassistant/device/maskwatch_lobby/config"
USERS = {"door": "secret"}


def a_config(tmp_path, mqtt, **keys):
    return Config.model_validate(
        {
            "device": {"id": DEVICE},
            "state_dir": tmp_path / "state",
            "mqtt": {**mqtt.model_dump(), "publish_crops": True, **keys},
        }
    )


def acl_broker(tmp_path, *denied):
    """A broker with one user who may publish on all topics of the agent except `denied`."""
    (tmp_path / "password").write_text("secret\n")
    written = [f"topic write {topic}" for topic in [*(f"maskwatch/{DEVICE}/{name}" for name in EVERYTHING), HOME]]
    acl = "\n".join(["user door", *(line for line in written if not line.endswith(denied)), ""])
    return Mosquitto(tmp_path / "broker", users=USERS, acl=acl)


def check(tmp_path, broker, **keys):
    mqtt = broker.config(username="door", password_file=tmp_path / "password")
    return check_broker(a_config(tmp_path, mqtt, **keys))


def test_a_broker_that_accepts_everything_is_ok(tmp_path):
    with acl_broker(tmp_path, "none") as broker:
        assert "answers (MQTT 5) and accepts everything" in check(tmp_path, broker)


def test_every_topic_of_the_agent_is_tested_and_denied_ones_are_named(tmp_path):
    own = [f"maskwatch/{DEVICE}/{name}" for name in EVERYTHING]
    with acl_broker(tmp_path, *own, HOME) as broker, pytest.raises(UnavailableError) as expected:
        check(tmp_path, broker)

    named = [*(topic.partition("/+")[0] for topic in own), HOME, "commands/pause/result", "commands/snapshot/result"]
    assert [topic for topic in named if topic not in str(expected.value)] == []


@pytest.mark.parametrize("denied", ["alerts", "counts", "telemetry", "crops/+", HOME])
def test_a_denied_topic_is_reported_alone(tmp_path, denied):
    with acl_broker(tmp_path, denied) as broker, pytest.raises(UnavailableError) as expected:
        check(tmp_path, broker)

    assert str(expected.value).count("Not authorized") == 1
    assert denied.partition("/+")[0] in str(expected.value)


def test_operations_that_the_device_does_not_need_are_not_tested(tmp_path):
    less = {"home_assistant": {"enabled": False}, "telemetry_seconds": 0, "accept_commands": False}
    denied = (HOME, "telemetry", "result", "crops/+", "snapshots/+", "cameras/+/crop")
    with acl_broker(tmp_path, *denied) as broker:
        assert "accepts everything" in check(tmp_path, broker, **less, publish_crops=False)


def test_a_last_will_that_the_broker_refuses_is_named(tmp_path):
    with (
        StrictBroker(("maskwatch/", "homeassistant/"), answer_to_will=None) as broker,
        pytest.raises(UnavailableError, match=f"it refuses a last will on maskwatch/{DEVICE}/status; "),
    ):
        check_broker(a_config(tmp_path, broker.config()))


def test_all_problems_are_found_even_if_the_broker_disconnects_each_time(tmp_path):
    with StrictBroker((f"maskwatch/{DEVICE}/alerts", f"maskwatch/{DEVICE}/status")) as broker:
        with pytest.raises(UnavailableError) as expected:
            check_broker(a_config(tmp_path, broker.config()))

        assert {topic for topic, _ in broker.taken} == {f"maskwatch/{DEVICE}/{name}" for name in ("alerts", "status")}
    for name in (HOME, f"maskwatch/{DEVICE}/counts", "homeassistant/status", f"maskwatch/{DEVICE}/commands/+"):
        assert name in str(expected.value)


@pytest.mark.parametrize("setting", ["retain_available false", "max_qos 0"])
def test_a_broker_without_retained_messages_or_qos_1_is_warned_of(tmp_path, setting):
    with Mosquitto(tmp_path / "limited", settings=setting) as broker:
        found = check_broker(a_config(tmp_path, broker.config()))

    assert isinstance(found, Finding)
    assert found.severity == "warning"


def test_the_check_leaves_an_offline_status_and_sends_only_marked_probes(tmp_path, broker):
    with Listener(broker.port) as listener:
        check_broker(a_config(tmp_path, broker.config()))

        assert json.loads(listener.take("/alerts").payload)["schema"] == "maskwatch.probe/1"
    with Listener(broker.port) as late:
        status = late.take("/status")
        assert status.retain
        assert json.loads(status.payload)["reasons"][0]["code"] == "stopped"
        others = [message.topic for message in late.rest() if message.topic.startswith("maskwatch/")]
        assert {topic.rpartition("/")[2] for topic in others} <= {"violations"}


def publish_status(connection, boot, *reasons):
    status = running(DEVICE, boot_id=boot, reasons=reasons, paused=[], when=WHEN)
    return connection.publish(status_publication(Topics("maskwatch", DEVICE), status))


@pytest.mark.parametrize("is_locked", [True, False], ids=["of this state folder", "of another"])
def test_an_agent_that_is_connected_keeps_its_connection_and_its_status(tmp_path, broker, is_locked):
    config = a_config(tmp_path, broker.config())
    with open_connection(config.mqtt, client_id=f"maskwatch-{DEVICE}", device=DEVICE) as agent:
        if not is_locked:
            publish_status(agent, boot_id())
        with Listener(broker.port) as listener:
            if is_locked:
                with alone_in(config.state):
                    assert "an agent is connected" in str(check_broker(config))
            else:
                assert "an agent is connected" in str(check_broker(config))

            number = agent.publish(Publication("maskwatch/lobby/alerts", b"{}"))
            while PubAck(number, "") not in agent.turn(5.0):
                pass
            statuses = [message for message in listener.rest() if message.topic.endswith("/status")]
            assert [message for message in statuses if not message.retain] == []


def test_doctor_does_not_disconnect_an_agent_identified_by_certificate(tmp_path):
    certificates = make_certificates(tmp_path / "tls")
    named = "require_certificate true\nuse_identity_as_username true\nuse_username_as_clientid true"
    with Mosquitto(tmp_path / "broker", certificates=certificates, settings=named) as broker:
        files = {"cert_file": certificates / "client.pem", "key_file": certificates / "client.key"}
        config = a_config(tmp_path, broker.config(tls=True, ca_file=certificates / "ca.pem", **files))
        assert "accepts everything" in str(check_broker(config))

        with open_connection(config.mqtt, client_id=f"maskwatch-{DEVICE}", device=DEVICE) as agent:
            with alone_in(config.state):
                assert "not tested" in str(check_broker(config))

            number = agent.publish(Publication("maskwatch/lobby/alerts", b"{}"))
            while PubAck(number, "", no_subscribers=True) not in agent.turn(5.0):
                pass


@pytest.mark.parametrize(
    ("boot", "reasons", "expected"),
    [
        (BOOT_ID, [], "another device"),
        (boot_id(), [Reason(code="refused", text="the broker refuses alerts")], "refuses alerts"),
    ],
    ids=["a device of the same name", "what the agent has found"],
)
def test_reasons_in_the_devices_status_are_reported(tmp_path, broker, boot, reasons, expected):
    config = a_config(tmp_path, broker.config())
    with open_connection(config.mqtt, client_id=f"maskwatch-{DEVICE}", device=DEVICE) as agent:
        publish_status(agent, boot, *reasons)
        agent.turn(1.0)
        with pytest.raises(UnavailableError, match=expected):
            check_broker(config)


@pytest.mark.parametrize(
    "payload",
    [
        b"garbage",
        b"[" * 100_000,
        b"[1]",
        b'{"state": "online", "reasons": 5}',
        b'{"state": "online", "reasons": null}',
        b'{"state": [1], "reasons": [[], {"code": [1]}]}',
    ],
)
def test_a_retained_status_that_is_none_is_no_bug(tmp_path, broker, payload):
    with Listener(broker.port) as other:
        other.publish(f"maskwatch/{DEVICE}/status", payload, retain=True)
        other.take("/status")

    assert "accepts everything" in str(check_broker(a_config(tmp_path, broker.config())))
