"""The unit file and the code agree."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from edge_agent.config import CameraConfig
from edge_agent.errors import ConfigError, ModelError, UnavailableError
from edge_agent.systemd import FEED_SECONDS
from edge_agent.wiring import DRAIN_SECONDS

UNIT_FILE = Path(__file__).parents[2] / "deploy" / "edge-agent.service"


@pytest.fixture
def service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT_FILE, encoding="utf-8")
    return unit["Service"]


def test_only_what_a_person_must_mend_keeps_the_service_down(service):
    kept_down = set(service["RestartPreventExitStatus"].split())

    assert kept_down == {str(ConfigError.exit_code), str(ModelError.exit_code)}
    assert str(UnavailableError.exit_code) not in kept_down


def test_the_watchdog_is_more_patient_than_the_camera_and_the_feeding(service):
    seconds = float(service["WatchdogSec"])

    assert seconds > 2 * FEED_SECONDS
    assert seconds > 2 * CameraConfig().silence_seconds


def test_stopping_has_time_to_drain(service):
    assert float(service["TimeoutStopSec"]) > DRAIN_SECONDS + 2


def test_the_agent_tells_when_it_is_ready_and_reloads_by_the_signal_it_knows(service):
    assert service["Type"] == "notify"
    assert service["ExecReload"].startswith("/bin/kill -HUP")
    assert " run " in service["ExecStart"]
