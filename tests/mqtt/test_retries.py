"""Retries: refused and held messages wait, and no longer than they have to."""

from __future__ import annotations

import threading

import pytest

from edge_agent.alerts.store import Row
from edge_agent.mqtt.retries import DROPPED_SECONDS, Retries

ALERT = Row("a", "alert", {}, waited_seconds=0.0)


@pytest.fixture
def retries() -> Retries:
    return Retries(refused_kind_seconds=10.0, refused_row_seconds=60.0, first_hold_seconds=2.0, hold_seconds=30.0)


def test_a_refused_message_waits_longer_than_its_kind(retries):
    retries.refuse(ALERT, at=100.0)

    assert retries.waiting(at=109.0) == ({"a"}, {"alert"})
    assert retries.waiting(at=111.0) == ({"a"}, set())
    assert retries.waiting(at=161.0) == (set(), set())
    assert retries.has_refused
    retries.forget(["a"])
    assert not retries.has_refused


def test_a_refused_message_that_was_dropped_from_the_outbox_is_forgotten(retries):
    retries.refuse(ALERT, at=100.0)
    retries.waiting(at=221.0)

    assert not retries.has_refused


def test_a_held_message_waits_twice_as_long_each_time_up_to_its_end(retries):
    assert retries.hold(ALERT, at=100.0)
    assert retries.waiting(at=101.9)[0] == {"a"}
    assert retries.waiting(at=102.1)[0] == set()
    assert retries.is_held("a")
    assert retries.hold(ALERT, at=102.1)
    assert retries.waiting(at=106.0)[0] == {"a"}
    assert not retries.hold(ALERT, at=130.1)


def test_a_new_subscriber_releases_held_messages(retries):
    retries.hold(ALERT, at=100.0)
    retries.release()

    assert retries.waiting(at=100.5)[0] == set()
    assert retries.is_held("a")


def test_a_subscriber_that_appears_at_any_moment_is_not_missed(retries, monkeypatch):
    class SetOnceItWasRead(threading.Event):
        def is_set(self) -> bool:
            was_set = super().is_set()
            self.set()
            return was_set

    monkeypatch.setattr(retries, "_is_released", SetOnceItWasRead())
    retries.hold(ALERT, at=100.0)
    retries.waiting(at=100.1)

    assert retries.waiting(at=100.2)[0] == set()


def test_a_held_message_that_was_dropped_from_the_outbox_is_forgotten(retries):
    retries.hold(ALERT, at=100.0)
    retries.waiting(at=131.0 + DROPPED_SECONDS)

    assert not retries.is_held("a")
