"""Alert and resolved messages: content, and schemas that accept nothing else."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from edge_agent.messages.alert import CropFile
from edge_agent.messages.message import is_historical
from tests.mqtt.samples import BOOT_ID, SENDER, WHEN, a_message, an_alert

DOCS = Path(__file__).parents[2] / "docs"
CROP = CropFile(file="/var/lib/maskwatch/crops/0190.jpg", sha256="a" * 64, bytes=8123)


def check(message, kind="alert"):
    schema = json.loads((DOCS / f"{kind}.schema.json").read_text())
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(message)


def test_an_alert_is_described_as_promised():
    message = a_message("alert", WHEN, sequence=17, crop=CROP).as_json()

    assert message == {
        "schema": "maskwatch.alert/1",
        "id": message["id"],
        "device": "lobby",
        "boot_id": BOOT_ID,
        "sequence": 17,
        "camera": "entrance",
        "device_title": "lobby",
        "camera_title": "entrance",
        "label": "without_mask",
        "score": 0.9877,
        "readings": 9,
        "suppressed": 0,
        "first_seen": "2025-01-31T12:00:00.123Z",
        "when": "2025-01-31T12:00:00.123Z",
        "clock_synchronised": True,
        "historical": False,
        "box": [10, 21, 50, 60],
        "frame_size": [640, 480],
        "crop": {"file": "/var/lib/maskwatch/crops/0190.jpg", "sha256": "a" * 64, "bytes": 8123},
        "model": {"name": "masks", "sha256": "0" * 64},
    }


def test_an_alert_without_a_crop_has_a_reason():
    message = a_message("alert", WHEN).as_json()

    assert message["crop"] is None
    assert message["crop_error"] == "the disk is full"


@pytest.mark.parametrize(("waited_seconds", "historical"), [(0.0, False), (10.0, False), (10.1, True), (None, True)])
def test_late_messages_are_historical(waited_seconds, historical):
    assert is_historical(waited_seconds) is historical


@pytest.mark.parametrize("crop", [CROP, None])
def test_alerts_match_their_schema(crop):
    check(a_message("alert", WHEN, crop=crop).as_json())


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
def test_the_schema_of_alerts_rejects_invalid_messages(change):
    message = a_message("alert", WHEN, crop=CROP).as_json()

    with pytest.raises(jsonschema.ValidationError):
        check({**message, **change})


def test_a_resolution_has_its_alert_reason_and_duration():
    message = a_message("resolved", WHEN).as_json()

    assert message["id"] != message["alert"]
    assert message["reason"] == "left"
    assert message["began"] == "2025-01-31T12:00:00.123Z"
    assert message["duration_seconds"] == 12.346


def test_resolutions_match_their_schema():
    check(a_message("resolved", WHEN).as_json(), "resolved")


@pytest.mark.parametrize("change", [{"duration_seconds": -1}, {"reason": "bored"}, {"alert": None}, {"surprise": 1}])
def test_the_schema_of_resolutions_rejects_invalid_messages(change):
    message = a_message("resolved", WHEN).as_json()

    with pytest.raises(jsonschema.ValidationError):
        check({**message, **change}, "resolved")


def test_titles_are_those_of_the_configuration_and_keys_stay():
    sender = replace(SENDER, device_title="Library", camera_titles={"entrance": "Main entrance"})
    message = sender.alert(an_alert(), crop=CROP).as_json()

    assert (message["device"], message["camera"]) == ("lobby", "entrance")
    assert (message["device_title"], message["camera_title"]) == ("Library", "Main entrance")
    check(message)


@pytest.mark.parametrize("kind", ["counts", "telemetry"])
def test_messages_of_the_whole_device_have_the_titles_of_all_cameras(kind):
    assert a_message(kind, WHEN).as_json()["device_title"] == SENDER.device
    sender = replace(SENDER, device_title="Library", camera_titles={"entrance": "Main entrance"})
    message = a_message(kind, WHEN, sender=sender).as_json()

    assert message["device"] == "lobby"
    assert (message["device_title"], message["camera_titles"]) == ("Library", {"entrance": "Main entrance"})
