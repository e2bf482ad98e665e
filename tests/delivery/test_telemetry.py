"""Telemetry is one JSON object of figures, each with its unit in its name."""

from edge_agent.delivery.telemetry import CameraFigures, Telemetry, telemetry_message
from tests.delivery.samples import BOOT_ID, DEVICE, WHEN


def a_message():
    telemetry = Telemetry(
        counts={"frames": 10, "looked": 5, "faces": 3, "readings": 2, "alerts": 1},
        alerts_today=4,
        frames_per_second=9.98765,
        latencies_ms={"faces": {"p50": 1.0, "p95": 2.0, "p99": 3.0}},
        cameras=[
            CameraFigures(
                "door",
                is_open=True,
                paused=False,
                frames=10,
                dropped=2,
                reopened=1,
                asked_per_second=10.0,
                allowed_per_second=10 / 3,
                reached_per_second=2.98765,
            )
        ],
        outbox={"rows": 0},
        machine={"temperature_celsius": None},
        uptime_seconds=61.7,
        versions={"maskwatch": "0.1.0"},
    )
    return telemetry_message(telemetry, device=DEVICE, boot_id=BOOT_ID, clock_synchronised=True, when=WHEN)


def test_figures_are_given_as_they_are_and_rounded_to_what_they_are_good_for():
    message = a_message()

    assert message["schema"] == "maskwatch.telemetry/1"
    assert message["when"] == "2025-01-31T12:00:00.123Z"
    assert message["frames_per_second"] == 9.99
    assert message["uptime_seconds"] == 62
    assert message["counts"]["frames"] == 10


def test_cameras_are_found_by_their_names():
    assert a_message()["cameras"] == {
        "door": {
            "open": True,
            "paused": False,
            "frames": 10,
            "dropped": 2,
            "reopened": 1,
            "frames_per_second": {"asked": 10.0, "allowed": 3.33, "reached": 2.99},
        }
    }
