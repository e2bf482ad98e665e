import json
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest

from edge_agent.delivery.identity import uuid7
from edge_agent.delivery.payload import as_sent
from edge_agent.delivery.signature import Signature
from edge_agent.domain import Crop, Ended
from tests.delivery.samples import BOOT_ID, WHEN, a_message, an_alert

DOCS = Path(__file__).parents[2] / "docs"
CROP = Crop(file="/var/lib/maskwatch/crops/0190.jpg", sha256="a" * 64, size_bytes=8123)


def check(message, kind="alert"):
    schema = json.loads((DOCS / f"{kind}.schema.json").read_text())
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(message)


def an_ended_message(reason="left"):
    track = an_alert().verdict.track
    ended = Ended(track, "without_mask", reason, WHEN, WHEN + timedelta(seconds=12.3456), 12.3456)
    signature = Signature("lobby", BOOT_ID, "masks", "0" * 64)
    return signature.sign_ended(ended, id=uuid7(ended.when), alert=uuid7(WHEN))


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
        "suppressed": 0,
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


@pytest.mark.parametrize(("waited_seconds", "historical"), [(0.0, False), (10.0, False), (10.1, True), (None, True)])
def test_an_alert_that_is_sent_late_is_historical(waited_seconds, historical):
    sent = as_sent(a_message(WHEN), waited_seconds=waited_seconds)

    assert sent["historical"] is historical


@pytest.mark.parametrize("crop", [CROP, None])
def test_the_schema_in_docs_describes_what_is_sent(crop):
    check(as_sent({**a_message(WHEN, crop=crop), "sequence": 1}, waited_seconds=0.0))


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
    message = as_sent({**a_message(WHEN, crop=CROP), "sequence": 1}, waited_seconds=0.0)

    with pytest.raises(jsonschema.ValidationError):
        check({**message, **change})


def test_the_end_of_an_alert_names_it_and_says_why_and_how_long():
    message = an_ended_message("compliant")

    assert message["id"] != message["alert"]
    assert message["reason"] == "compliant"
    assert message["began"] == "2025-01-31T12:00:00.123Z"
    assert message["when"] == "2025-01-31T12:00:12.468Z"
    assert message["duration_seconds"] == 12.346


@pytest.mark.parametrize("reason", ["left", "compliant"])
def test_the_schema_of_ended_messages_describes_what_is_sent(reason):
    check(as_sent({**an_ended_message(reason), "sequence": 1}, waited_seconds=0.0), "ended")


@pytest.mark.parametrize("change", [{"duration_seconds": -1}, {"reason": "bored"}, {"alert": None}, {"surprise": 1}])
def test_the_schema_of_ended_messages_refuses_what_is_never_sent(change):
    message = as_sent({**an_ended_message(), "sequence": 1}, waited_seconds=0.0)

    with pytest.raises(jsonschema.ValidationError):
        check({**message, **change}, "ended")
