"""Governor: reduces the rate on heat and overload, logs it once, and does not oscillate."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from edge_agent.config.model import Config, GovernorConfig
from edge_agent.governor import CHECK_SECONDS, COOLED_CELSIUS, FASTER_SECONDS, SLOWER_SECONDS, Governor
from edge_agent.host.stats import THROTTLED_FILE, HostStats
from edge_agent.vision.frame_rate import FrameRate

if TYPE_CHECKING:
    from pathlib import Path


class Computer:
    """A governor of a camera at 16 frames a second, on a machine whose /sys is a folder."""

    def __init__(self, root: Path, **keys: float) -> None:
        self.root = root
        self.rate = FrameRate(16)
        self.at = 0.0
        self.governor = Governor(
            GovernorConfig.model_validate(keys),
            machine=HostStats(root, root=root),
            rates={"door": self.rate},
            min_per_second=2.0,
            at=self.at,
        )
        self.is_heated_to(50)
        self.write(THROTTLED_FILE, "0")

    def write(self, name: str, content: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(content)

    def is_heated_to(self, celsius: float) -> None:
        self.write("sys/class/thermal/thermal_zone0/type", "cpu-thermal")
        self.write("sys/class/thermal/thermal_zone0/temp", str(round(celsius * 1000)))

    def frames_per_second(self) -> float:
        """Count the frames that are wanted in ten seconds of a camera with 64 a second."""
        return sum(self.rate.wants(self.at + number / 64) for number in range(640)) / 10

    def passes(self, seconds: float, *, busy_fraction: float = 0.2) -> float:
        """Let time pass, and return the frame rate at its end."""
        until = self.at + seconds
        while self.at < until:
            self.at += CHECK_SECONDS
            self.governor.record_work("door", busy_fraction * CHECK_SECONDS)
            # Another that has little to do.
            self.governor.record_work("yard", 0.01)
            self.governor.govern(at=self.at)
        return round(self.frames_per_second())


@pytest.fixture
def computer(tmp_path):
    return Computer(tmp_path)


def test_a_cool_and_idle_machine_analyses_at_the_configured_rate(computer):
    assert computer.passes(10_000) == 16
    assert computer.governor.reason == ""


def test_heat_halves_the_frame_rate_step_by_step_down_to_the_minimum(computer):
    computer.is_heated_to(80)

    assert [computer.passes(SLOWER_SECONDS) for _ in range(5)] == [8, 4, 2, 2, 2]
    assert computer.governor.reason == "the processor was 80 degrees Celsius or hotter"


def test_current_flags_of_the_firmware_slow_down_and_are_named(computer):
    computer.write(THROTTLED_FILE, "50005")

    assert computer.passes(SLOWER_SECONDS) == 8
    assert computer.governor.reason == "the processor is throttled (under_voltage, throttled)"


def test_past_flags_of_the_firmware_do_not_slow_down(computer):
    computer.write(THROTTLED_FILE, "50000")

    assert computer.passes(1000) == 16


def test_a_saturated_worker_slows_down(computer):
    assert computer.passes(SLOWER_SECONDS, busy_fraction=0.97) == 8
    assert computer.governor.reason == "CPU saturated"


def test_after_cooling_the_frame_rate_recovers_step_by_step(computer):
    computer.is_heated_to(85)
    assert computer.passes(2 * SLOWER_SECONDS) == 4
    computer.is_heated_to(80 - COOLED_CELSIUS - 1)

    assert computer.passes(FASTER_SECONDS - 2 * CHECK_SECONDS) == 4
    assert computer.passes(2 * CHECK_SECONDS) == 8
    assert computer.governor.reason != ""
    assert computer.passes(FASTER_SECONDS) == 16
    assert computer.governor.reason == ""


def test_a_machine_barely_cooled_or_without_spare_time_stays_slow(computer):
    computer.is_heated_to(85)
    computer.passes(SLOWER_SECONDS)

    computer.is_heated_to(80 - COOLED_CELSIUS)
    assert computer.passes(1000) == 8
    computer.is_heated_to(50)
    assert computer.passes(1000, busy_fraction=0.5) == 8
    assert computer.passes(1000) == 16


def test_a_single_bad_value_changes_nothing(computer):
    computer.is_heated_to(85)

    assert computer.passes(CHECK_SECONDS) == 16


def test_a_reduction_is_logged_once_at_its_start_and_once_at_its_end(computer, caplog):
    with caplog.at_level(logging.INFO):
        computer.is_heated_to(85)
        computer.passes(1000)
        computer.is_heated_to(50)
        computer.passes(1000)

    assert [record.getMessage() for record in caplog.records] == [
        "reducing detection rate: the processor was 80 degrees Celsius or hotter",
        "detection rate restored",
    ]


def test_a_disabled_governor_does_nothing(tmp_path):
    computer = Computer(tmp_path, enabled=False)
    computer.is_heated_to(100)

    assert computer.passes(1000, busy_fraction=1.0) == 16


def test_a_machine_without_a_temperature_is_governed_by_its_load(tmp_path):
    computer = Computer(tmp_path)
    (tmp_path / "sys/class/thermal/thermal_zone0/temp").unlink()

    assert computer.passes(SLOWER_SECONDS, busy_fraction=1.0) == 8
    assert computer.passes(1000) == 16


def test_the_slowest_rate_keeps_tracks_between_frames():
    config = Config.model_validate(
        {"tracking": {"lost_timeout_seconds": 0.2}, "governor": {"min_detect_fps": 1}, "cameras": {"door": {}}}
    )

    assert config.min_detect_fps == 5.0
