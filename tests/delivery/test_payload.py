import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import jsonschema
import pytest

from edge_agent.delivery.payload import as_sent, timestamp
from edge_agent.domain import Crop
from tests.delivery.samples import BOOT_ID, WHEN, a_message

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "alert.schema.json").read_text())
CROP = Crop(file="/var/lib/maskwatch/crops/0190.jpg", sha256="a" * 64, size_bytes=8123)


def check(message):
    jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(message)


def test_an_alert_is_described_as_promised():
    message = a_message(WHEN, crop=CROP)

    assert message == {
        "schema": "maskwatch.alert/1",
        "id": message["id"],
        "device": "lobby",
        "boot_id": BOOT_ID,
        "camera": "entrance",
        "label": "without_mask",
        "score": 0.9877,
        "readings": 9,
        "first_seen": "2025-01-31T12:00:00.123Z",
        "when": "2025-01-31T12:00:00.123Z",
        "clock_synchronised": True,
        "box": [10, 21, 50, 60],
        "frame_size": [640, 480],
        "crop": {"file": "/var/lib/maskwatch/crops/0190.jpg", "sha256": "a" * 64, "bytes": 8123},
        "model": {"name": "masks", "sha256": "0" * 64},
    }


def test_an_alert_without_a_crop_says_why():
    message = a_message(WHEN)

    assert message["crop"] is None
    assert message["crop_error"] == "the disk is full"


@pytest.mark.parametrize(("late_seconds", "historical"), [(0, False), (10, False), (10.1, True), (-3600, False)])
def test_an_alert_that_is_sent_late_is_historical(late_seconds, historical):
    sent = as_sent(a_message(WHEN), now=WHEN + timedelta(seconds=late_seconds))

    assert sent["historical"] is historical


def test_times_are_written_in_utc_with_milliseconds():
    india = timezone(timedelta(hours=5, minutes=30))

    assert timestamp(datetime(2025, 1, 1, 5, 30, tzinfo=india)) == "2025-01-01T00:00:00.000Z"


@pytest.mark.parametrize("crop", [CROP, None])
def test_the_schema_in_docs_describes_what_is_sent(crop):
    check(as_sent({**a_message(WHEN, crop=crop), "sequence": 1}, now=WHEN))


@pytest.mark.parametrize(
    "change",
    [
        {"score": 1.2},
        {"sequence": 0},
        {"when": "2025-01-31T12:00:00+00:00"},
        {"crop": None},
        {"crop_error": "though there is one"},
        {"id": "17"},
        {"surprise": 1},
    ],
)
def test_the_schema_in_docs_refuses_what_is_never_sent(change):
    message = as_sent({**a_message(WHEN, crop=CROP), "sequence": 1}, now=WHEN)

    with pytest.raises(jsonschema.ValidationError):
        check({**message, **change})
