"""The interfaces of docs/stability.md change only with `make freeze`: additions whenever, others in a major version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the API is not installed: make test")
pytest.importorskip("tqdm", reason="the workstation's side is not installed: make test")
pytest.importorskip("pika", reason="the servers' side is not installed: make test")

from tests.promises.stability import broken, promised

FROZEN = Path(__file__).parent / "frozen.json"


@pytest.fixture(scope="module")
def now():
    return promised()


def test_no_promised_interface_is_missing(now):
    gone = broken(json.loads(FROZEN.read_text(encoding="utf-8")), now)

    assert not gone, f"renamed or removed; before 1.0, and in a major version, 'make freeze' and CHANGELOG.md: {gone}"


def test_every_promised_interface_is_frozen(now):
    new = broken(now, json.loads(FROZEN.read_text(encoding="utf-8")))

    assert not new, f"new: 'make freeze' protects them from now on: {new}"


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ("configuration", "config.yaml.mqtt.topic_prefix"),
        ("configuration", "config.yaml.faces.detector = yunet"),
        ("configuration", "config.yaml.cameras{}.rules.min_face_px"),
        ("topics", "maskwatch/{device}/alerts"),
        ("messages", "alert.boot_id is always there"),
        ("messages", "alert.label = without_mask"),
        ("options", "edge-agent replay --json"),
        ("options", "edge-convert convert --calibration"),
        ("statuses", "ConfigError 78"),
        ("configuration", "fleet.yaml.web.silent_seconds"),
        ("options", "edge-agent config --show-secrets"),
        ("options", "maskwatch-fleet web --role = operator"),
        ("api", "GET /api/v1/alerts"),
        ("api", "GET /api/v1/counts ?by = hour"),
        ("api", "PUT /api/v1/alerts/{alert_id}/review < application/json.review = no_face"),
        ("api", "GET /api/v1/alerts > application/json.next is always there"),
        ("api of the fleet", "GET /api/v1/alerts ?device"),
    ],
)
def test_a_missing_interface_of_each_kind_is_detected(now, part, line):
    without = {**now, part: [one for one in now[part] if one != line]}

    assert broken(now, without) == [f"{part}: {line}"]
    assert broken(without, now) == []
