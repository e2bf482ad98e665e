"""Status message: state and reasons, and the last will."""

import json
from pathlib import Path

import jsonschema
import pytest

from edge_agent.messages.status import Reason, offline, running
from tests.mqtt.samples import BOOT_ID, DEVICE, WHEN

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "status.schema.json").read_text(encoding="utf-8"))
HOT = Reason(code="hot", text="the processor is hot")


def content(status):
    message = json.loads(status.payload())
    jsonschema.validate(message, SCHEMA)
    return message


def test_a_device_without_a_reason_is_online_and_with_one_degraded():
    assert content(running(DEVICE, boot_id=BOOT_ID, reasons=[], paused=[], when=WHEN))["state"] == "online"

    message = content(running(DEVICE, boot_id=BOOT_ID, reasons=[HOT], paused=["door"], when=WHEN))
    assert message["state"] == "degraded"
    assert message["reasons"] == [{"code": "hot", "text": "the processor is hot"}]
    assert message["paused"] == ["door"]


def test_a_stopped_device_is_distinguished_from_a_lost_one():
    assert content(offline(DEVICE, "stopped", boot_id=BOOT_ID, when=WHEN))["reasons"][0]["code"] == "stopped"

    will = content(offline(DEVICE, "connection_lost", boot_id=BOOT_ID))
    assert will["reasons"][0]["code"] == "connection_lost"
    # It is made at the connection and published at its end: only the broker knows when.
    assert will["when"] is None


@pytest.mark.parametrize(
    "change", [{"state": "well"}, {"state": "degraded"}, {"reasons": [{"code": "sad", "text": "x"}]}, {"surprise": 1}]
)
def test_the_schema_rejects_invalid_statuses(change):
    message = content(running(DEVICE, boot_id=BOOT_ID, reasons=[], paused=[], when=WHEN))

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**message, **change}, SCHEMA)
