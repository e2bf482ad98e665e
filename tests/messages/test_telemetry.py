"""Telemetry message: one JSON object of metrics with units in their names."""

import json
from pathlib import Path

import jsonschema

from tests.mqtt.samples import WHEN, a_message

DOCS = Path(__file__).parents[2] / "docs"


def test_rates_are_rounded():
    message = a_message("telemetry", WHEN).as_json()

    assert message["schema"] == "maskwatch.telemetry/1"
    assert message["when"] == "2025-01-31T12:00:00.123Z"
    assert message["frames_per_second"] == 9.99
    assert message["cameras"]["door"]["frames_per_second"] == {"asked": 10.0, "allowed": 3.33, "reached": 2.99}


def test_each_model_is_named_by_its_hash():
    assert a_message("telemetry").as_json()["models"] == {"faces": None, "masks": {"name": "masks", "sha256": "0" * 64}}


def test_telemetry_matches_its_schema():
    schema = json.loads((DOCS / "telemetry.schema.json").read_text(encoding="utf-8"))

    jsonschema.Draft202012Validator(schema).validate(a_message("telemetry").as_json())
