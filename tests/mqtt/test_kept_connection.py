"""Kept connection: what subscribers see when one publisher follows another, with a real broker."""

from __future__ import annotations

import json
import time
import uuid
from datetime import datetime, timezone

import pytest

from edge_agent.errors import UnavailableError
from edge_agent.messages.status import running
from edge_agent.messages.topics import Topics
from edge_agent.mqtt.client import BrokerLimits
from edge_agent.mqtt.kept_connection import KeptConnection
from edge_agent.mqtt.publication import Publication, status_publication
from edge_agent.mqtt.publisher import Publisher
from tests.mqtt.samples import DEVICE, Listener, eventually, put

BOOT_ID = str(uuid.UUID(int=1))


def go_online(connection, device=DEVICE):
    status = running(device, boot_id=BOOT_ID, reasons=[], paused=[], when=datetime.now(timezone.utc))
    number = connection.publish(status_publication(Topics("maskwatch", device), status))
    while not any(getattr(event, "number", None) == number for event in connection.turn(1.0)):
        pass


def reasons_seen(listener):
    """The reason of each status that has arrived; empty for a device that is online."""
    listener.publish("maskwatch/all/status", b'{"reasons": [{"code": "last"}]}')
    seen: list[str] = []
    while seen[-1:] != ["last"]:
        reasons = json.loads(listener.take("/status").payload)["reasons"]
        seen.append(reasons[0]["code"] if reasons else "")
    return seen[:-1]


def use(kept, mqtt, device=DEVICE, limits=None):
    with kept.use(mqtt, device=device, limits=limits or BrokerLimits()) as connection:
        go_online(connection, device)
        return connection


def test_the_same_settings_keep_the_connection_and_its_end_is_a_stop(broker):
    with Listener(broker.port) as listener:
        with KeptConnection() as kept:
            first = use(kept, broker.config())
            assert use(kept, broker.config()) is first
        assert reasons_seen(listener) == ["", "", "stopped"]


@pytest.mark.parametrize(("changed", "device"), [({"keepalive_seconds": 60}, DEVICE), ({}, "renamed")])
def test_changed_settings_end_the_connection_with_a_reload_as_the_reason(broker, changed, device):
    with Listener(broker.port) as listener:
        with KeptConnection() as kept:
            first = use(kept, broker.config())
            assert use(kept, broker.config(**changed), device) is not first
        assert reasons_seen(listener) == ["", "reloaded", "", "stopped"]


@pytest.mark.parametrize("refused", [BrokerLimits(will=False), BrokerLimits(retain=False)])
def test_a_restricted_connection_is_opened_again_without_the_restriction(broker, refused):
    with KeptConnection() as kept:
        use(kept, broker.config(), limits=refused)
        assert use(kept, broker.config()).limits == BrokerLimits()


def test_a_connection_is_not_kept_after_an_error(broker):
    def fail(kept):
        with kept.use(broker.config(), device=DEVICE, limits=BrokerLimits()) as connection:
            go_online(connection)
            raise UnavailableError("it does not acknowledge")

    with Listener(broker.port) as listener:
        with KeptConnection() as kept, pytest.raises(UnavailableError):
            fail(kept)
        assert reasons_seen(listener) == ["", "connection_lost"]
        assert not listener.rest()


def test_an_acknowledgement_for_the_publisher_before_does_not_disturb_the_next(broker, store):
    mqtt = broker.config()
    with KeptConnection() as kept:
        with kept.use(mqtt, device=DEVICE, limits=BrokerLimits()) as first:
            first.publish(Publication("maskwatch/lobby/early", b""))
        publisher = Publisher(store, mqtt, DEVICE, kept=kept)
        with Listener(broker.port) as listener:
            publisher.start()
            message = put(store)
            publisher.wake()
            assert json.loads(listener.take("/alerts").payload) == message
            eventually(lambda: store.count() == 0, "it is acknowledged")
        assert not publisher.state.reason
        publisher.close()
        with kept.use(mqtt, device=DEVICE, limits=BrokerLimits()) as connection:
            assert connection is first


def test_a_publisher_that_is_closed_while_it_connects_does_not_disturb_the_next(broker, store):
    mqtt = broker.config()
    with KeptConnection() as kept, Listener(broker.port) as listener:
        first, second = (Publisher(store, mqtt, DEVICE, kept=kept) for _ in range(2))
        broker.freeze()
        first.start()
        first.close(drain_seconds=0.0)
        assert first.is_alive
        second.start()
        # The second would now wait for the answer to its CONNECT.
        time.sleep(0.5)
        broker.thaw()
        eventually(lambda: not first.is_alive, "the first has ended")
        message = put(store)
        second.wake()
        assert json.loads(listener.take("/alerts").payload) == message
        eventually(lambda: store.count() == 0, "it is acknowledged")
        second.close()
    assert "already connected" not in broker.log_file.read_text()
