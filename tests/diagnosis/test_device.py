"""Device checks: cores, memory, disk, heat, power, packages, pending messages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_agent.alerts.store import AlertStore
from edge_agent.config.model import Config
from edge_agent.diagnosis.device import check_device
from edge_agent.diagnosis.system import System
from tests.mqtt.samples import put
from tests.values import a_machine

PI = System("Raspberry Pi 4", "Debian", "6.1", "aarch64", 4, "3.11.2", {"numpy": "2.2.6", "ai-edge-litert": "2.3.0"})
WELL = a_machine(memory_available_bytes=2_000_000_000)


def problems(tmp_path, *, machine=None, packages=None, **keys):
    """Findings that are not ok, by check; without the clock, which is that of the test machine."""
    config = Config(state_dir=tmp_path, **keys)
    system = replace(PI, packages={**PI.packages, **(packages or {})})
    found = check_device(config, system, WELL.model_copy(update=machine))
    return {finding.check: finding for finding in found if finding.severity != "ok" and finding.check != "clock"}


def test_a_healthy_device_has_no_findings(tmp_path):
    assert problems(tmp_path) == {}


def test_a_machine_without_sensors_has_no_findings(tmp_path):
    without_sensors = {"temperature_celsius": None, "memory_available_bytes": None, "disk_free_bytes": None}

    assert problems(tmp_path, machine=without_sensors) == {}


@pytest.mark.parametrize(
    ("machine", "check", "severity"),
    [
        ({"temperature_celsius": 81.0}, "heat", "warning"),
        ({"memory_available_bytes": 60_000_000}, "memory", "warning"),
        ({"disk_free_bytes": 50_000_000}, "disk", "wrong"),
        ({"disk_free_bytes": 150_000_000}, "disk", "warning"),
        ({"throttling": ("under_voltage",), "throttled_since_boot": ("under_voltage",)}, "power", "wrong"),
        ({"throttled_since_boot": ("under_voltage",)}, "power", "warning"),
        ({"throttling": ("soft_temperature_limit",)}, "power", "warning"),
    ],
)
def test_each_problem_of_the_machine_has_a_fix(tmp_path, machine, check, severity):
    found = problems(tmp_path, machine=machine)

    assert list(found) == [check]
    assert found[check].severity == severity
    assert found[check].fix


def test_more_threads_than_cores_are_warned_of(tmp_path):
    assert "threads" not in problems(tmp_path, threads=4)
    assert "5 on 4 cores" in problems(tmp_path, threads=5)["threads"].message


@pytest.mark.parametrize(
    ("runtime", "severity", "fix"),
    [("auto", "warning", "uninstall tflite-runtime"), ("tflite-runtime", "wrong", "install 'numpy<2'")],
)
def test_tflite_runtime_with_numpy_2_is_reported(tmp_path, runtime, severity, fix):
    found = problems(tmp_path, packages={"tflite-runtime": "2.14.0"}, runtime=runtime)

    assert found["packages"].severity == severity
    assert fix in found["packages"].fix
    assert problems(tmp_path, packages={"tflite-runtime": "2.14.0", "numpy": "1.26.4"}) == {}


def test_two_packages_of_opencv_are_reported(tmp_path):
    found = problems(tmp_path, packages={"opencv-python": "4.11", "opencv-python-headless": "4.11"})

    assert "opencv-python and" in found["packages"].message


def test_a_nearly_full_or_damaged_outbox_is_reported(tmp_path):
    outbox = AlertStore(tmp_path / "alerts.sqlite", boot_id="boot", max_messages=10)
    for _ in range(9):
        put(outbox, "telemetry")
    outbox.close()
    (tmp_path / "alerts.sqlite.damaged-1").touch()

    found = problems(tmp_path, outbox={"max_messages": 10})

    assert set(found) == {"backlog", "set aside"}
    assert "9 messages are pending since 20" in found["backlog"].message
    assert "alerts.sqlite.damaged-1" in found["set aside"].fix


def test_a_damaged_store_is_reported(tmp_path):
    (tmp_path / "alerts.sqlite.damaged-1").touch()

    assert "the alert store was damaged and recreated 1 times" in problems(tmp_path)["set aside"].message
