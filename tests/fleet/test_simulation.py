"""Simulation: distinguishes lost messages from delivered ones, with real engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.errors import ConfigError
from edge_agent.messages.message import Message
from edge_agent.mqtt import publisher
from fleet.commands import simulate
from fleet.messages import read
from fleet.simulation.device import (
    FORGOTTEN_SECONDS,
    PATIENCE_ANSWERS,
    PATIENCE_SECONDS,
    SLOW_SECONDS,
    WINDOW,
    Brokers,
    Device,
    Totals,
)
from fleet.simulation.ledger import Ledger, balance
from fleet.simulation.simulation import Load, Simulation
from fleet.store import store
from tests.fleet.samples import alert

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg


def device() -> Device:
    made = Device(
        "sim0-0", Brokers((("127.0.0.1", 1),)), ledger=Ledger(), totals=Totals(), messages_per_second=10_000.0
    )
    made.is_connected = True
    return made


def test_the_ledger_reports_missing_messages_and_gaps(connection: psycopg.Connection, tmp_path: Path):
    kept, lost, last = (alert("sim0-0", sequence=number) for number in (1, 2, 3))
    with connection.transaction():
        store(connection, [kept, last], site_of=lambda _: "sim0")
    ledger = Ledger(tmp_path / "ledger")
    for one in (kept, lost, last):
        ledger.note(one.id, one.device)
    ledger.close()

    found = balance(connection, ledger.ids, ledger.devices)

    assert (found.acknowledged, found.missing, found.twice, found.gaps) == (3, 1, 0, 1)
    assert not found.is_even
    assert (tmp_path / "ledger").read_text().split()[0] == kept.id


def test_messages_of_a_simulated_device_match_the_schemas():
    one = device()
    made = one.raise_alert()
    one.resolve(made, after_seconds=1.0)

    for message in one._outbox:
        topic = "alerts" if message is made else "resolved"
        assert isinstance(read(f"maskwatch.sim0-0.{topic}", message.payload(), prefix="maskwatch"), Message)


def test_a_simulated_device_has_the_timeouts_of_a_real_one():
    real = publisher.Timing()

    assert (publisher.ROWS_IN_FLIGHT, real.slow_seconds) == (WINDOW, SLOW_SECONDS)
    assert publisher.TIMEOUT_FACTOR == PATIENCE_ANSWERS
    assert (real.acknowledge_seconds, real.forgotten_seconds) == (PATIENCE_SECONDS, FORGOTTEN_SECONDS)


def test_more_devices_than_the_limit_of_open_files_are_rejected(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("resource.getrlimit", lambda _: (100, 1000))

    with pytest.raises(ConfigError, match="--prefix"):
        Simulation(Load(1000), Brokers((("127.0.0.1", 1),)), Ledger())


def acknowledge_all(one: Device, *, at: float) -> None:
    for number in list(one._in_flight):
        one.acknowledged(number, refusal=False, at=at)


def test_a_slow_broker_gets_one_message_at_a_time_and_a_longer_timeout():
    one = device()
    for _ in range(100):
        one.raise_alert()
    for turn in range(4):
        one.pump(at=100.0 + turn)
        assert len(one._in_flight) == min(2**turn, WINDOW)
        acknowledge_all(one, at=100.0 + turn)

    one.pump(at=104.0)
    acknowledge_all(one, at=104.0 + 2 * SLOW_SECONDS)
    one.pump(at=114.0)

    assert len(one._in_flight) == 1
    assert not one.has_timed_out(at=114.0 + PATIENCE_ANSWERS * 2 * SLOW_SECONDS)
    assert one.has_timed_out(at=115.0 + PATIENCE_ANSWERS * 2 * SLOW_SECONDS)


def test_messages_in_flight_at_a_connection_loss_are_sent_again_in_order():
    one = device()
    one._window = WINDOW
    made = [one.raise_alert() for _ in range(3)]
    one.pump(at=100.0)

    one.lost()

    assert list(one._outbox) == made
    assert one.waiting == 3


def test_a_message_being_sent_at_a_connection_loss_is_sent_again(monkeypatch: pytest.MonkeyPatch):
    one = device()
    one._window = WINDOW
    made = [one.raise_alert() for _ in range(3)]
    publish, sent = one.client.publish, 0

    def lose_the_second(*arguments: Any, **keys: Any) -> Any:
        nonlocal sent
        sent += 1
        if sent == 2:
            # paho writes immediately, and reports a lost connection from within publish().
            one.lost()
        return publish(*arguments, **keys)

    monkeypatch.setattr(one.client, "publish", lose_the_second)

    one.pump(at=100.0)

    assert len(one._outbox) == len(made)
    assert all(alert in one._outbox for alert in made)
    assert not one._in_flight


def test_a_hostname_without_a_port_is_refused():
    with pytest.raises(Exception, match="HOST:PORT"):
        simulate._address("localhost")
