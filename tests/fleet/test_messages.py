"""Messages: which can be stored, and their device."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest

from edge_agent.messages.probe import ProbeMessage
from fleet.messages import PoisonError, read
from tests.fleet.samples import alert, resolved


def body(**changes: object) -> bytes:
    return json.dumps({**alert("hall-1").as_json(), **changes}).encode()


def test_a_message_is_read_by_its_topic():
    message = alert("hall-1")

    assert read("maskwatch.hall-1.alerts", message.payload(), prefix="maskwatch") == message


def test_a_prefix_of_several_levels_is_removed():
    message = read("site.maskwatch.hall-1.alerts", body(), prefix="site/maskwatch")

    assert message is not None
    assert message.device == "hall-1"


@pytest.mark.parametrize(
    ("routing_key", "content"),
    [
        ("maskwatch.hall-2.alerts", body()),
        ("maskwatch.hall-1.alerts", b"not JSON"),
        ("maskwatch.hall-1.alerts", b"[" * 100_000),
        ("maskwatch.hall-1.alerts", body(sequence=0)),
        ("maskwatch.hall-1.alerts", body(sequence=2**63)),
        ("maskwatch.hall-1.alerts", body(camera="x" * 64)),
        ("maskwatch.hall-1.alerts", body(surprise=1)),
        # In UTC these are before the first and after the last year of the calendar.
        ("maskwatch.hall-1.alerts", body(when="0001-01-01T00:00:00+14:00")),
        ("maskwatch.hall-1.alerts", body(first_seen="9999-12-31T23:59:59-14:00")),
        ("maskwatch.hall-1.alerts", body(when="2026-01-01T00:00:00")),
        ("maskwatch.hall-1.alerts", body(suppressed=2**60)),
        ("maskwatch.hall-1.resolved", resolved(alert("hall-1")).payload().replace(b": 5.0", b": 1e999")),
        ("maskwatch.hall-1.alerts", body(camera="a\0b")),
        ("maskwatch.hall-1.alerts", body(id="1")),
        ("maskwatch.hall-1.alerts", b'{"device": "\xff"}'),
        ("maskwatch.hall-1.counts", body()),
        ("maskwatch.hall-1.snapshots.1", b""),
        ("maskwatch.hall-1", body()),
        ("maskwatch.hall-1.commands.pause", b"{}"),
        ("maskwatch.hall-1.crops.1", b"JPEG"),
        ("elsewhere.hall-1.alerts", body()),
        ("maskwatch..alerts", body()),
        ("maskwatch.hall-1.crops.0193f5a2-7c00-7000-8000-000000000001", b"x" * 2_000_000),
    ],
)
def test_messages_that_cannot_be_stored_are_invalid(routing_key: str, content: bytes):
    with pytest.raises(PoisonError):
        read(routing_key, content, prefix="maskwatch")


def test_a_backslash_before_u0000_is_text():
    message = read("maskwatch.hall-1.alerts", body(camera="a\\u0000b"), prefix="maskwatch")

    assert message is not None
    assert message.device == "hall-1"


def test_a_probe_of_the_doctor_is_neither_stored_nor_a_dead_letter():
    probe = ProbeMessage(device="hall-1", when=datetime.now(timezone.utc)).payload()

    assert read("maskwatch.hall-1.alerts", probe, prefix="maskwatch") is None
