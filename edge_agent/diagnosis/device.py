"""Device checks: cores, memory, disk, clock, heat, power, packages, outbox."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from edge_agent.alerts.database import files_set_aside
from edge_agent.alerts.history import AlertHistory
from edge_agent.diagnosis.finding import Finding, quoted
from edge_agent.errors import ConfigError, UnavailableError
from edge_agent.host.clock import is_clock_synchronised

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from edge_agent.config.model import Config
    from edge_agent.diagnosis.system import System
    from edge_agent.messages.telemetry import MachineFigures

# Models, OpenCV and the pictures of two cameras; measured at 150 MB with one.
WANTED_MEMORY_BYTES = 200_000_000
# Above this share the outbox will soon drop messages.
NEARLY_FULL_FRACTION = 0.8
MEGABYTE = 1_000_000


def check_device(config: Config, system: System, machine: MachineFigures) -> Iterator[Finding]:
    """Check the state of the machine."""
    yield _threads(config.threads, system.cores)
    yield from _packages(config, system.packages)
    yield from _memory(machine)
    yield from _disk(config, machine)
    yield _clock()
    yield from _heat(machine, hot_celsius=config.governor.hot_celsius)
    yield from _power(machine)
    yield from _outbox(config)
    yield from _set_aside(config.store_file)


def _threads(threads: int, cores: int) -> Finding:
    if threads > cores:
        message = f"threads: {threads} on {cores} cores slows every model down, up to 30 times"
        return Finding("threads", "warning", message, "edge-agent bench")
    return Finding("threads", "ok", f"{threads} of {cores} cores")


def _packages(config: Config, packages: Mapping[str, str]) -> Iterator[Finding]:
    """Check package combinations that install without an error and then fail."""
    pip = f"{sys.executable} -m pip"
    numpy = packages.get("numpy", "")
    if "tflite-runtime" in packages and int(numpy.partition(".")[0] or 0) > 1:
        message = f"tflite-runtime {packages['tflite-runtime']} was built for numpy 1 and fails under numpy {numpy}"
        if config.runtime == "tflite-runtime":
            fix = f"{pip} install 'numpy<2' 'opencv-python-headless<4.12'"
            yield Finding("packages", "wrong", message, fix, ConfigError.exit_code)
        else:
            yield Finding("packages", "warning", message, f"{pip} uninstall tflite-runtime")
    others = [name for name in ("opencv-python", "opencv-contrib-python") if name in packages]
    if others and "opencv-python-headless" in packages:
        yield Finding(
            "packages",
            "warning",
            f"{' and '.join(others)} and opencv-python-headless overwrite each other: which one runs is undefined",
            f"{pip} uninstall {' '.join(others)} opencv-python-headless && {pip} install opencv-python-headless",
        )


def _memory(machine: MachineFigures) -> Iterator[Finding]:
    free_bytes = machine.memory_available_bytes
    if free_bytes is None:
        return
    free = f"{free_bytes / MEGABYTE:.0f} MB"
    if free_bytes < WANTED_MEMORY_BYTES:
        message = f"{free} are available; the agent needs {WANTED_MEMORY_BYTES / MEGABYTE:.0f}"
        yield Finding("memory", "warning", message, "ps -eo rss,args --sort=-rss | head")
    else:
        yield Finding("memory", "ok", f"{free} are available")


def _disk(config: Config, machine: MachineFigures) -> Iterator[Finding]:
    free_bytes, floor_bytes = machine.disk_free_bytes, config.crops.keep_free_bytes
    if free_bytes is None:
        # The agent creates the folder; the outbox check reports if it cannot.
        return
    free = f"{config.state}: {free_bytes / MEGABYTE:.0f} MB are free"
    if free_bytes < floor_bytes:
        message = f"{free}, less than crops.keep_free_bytes ({floor_bytes / MEGABYTE:.0f} MB): crops are not stored"
        yield Finding("disk", "wrong", message, "sudo journalctl --vacuum-size=50M && sudo apt-get clean")
    elif free_bytes < 2 * floor_bytes:
        yield Finding(
            "disk",
            "warning",
            f"{free}; below {floor_bytes / MEGABYTE:.0f} MB crops are not stored",
            "sudo journalctl --vacuum-size=50M && sudo apt-get clean",
        )
    else:
        yield Finding("disk", "ok", free)


def _clock() -> Finding:
    if is_clock_synchronised():
        return Finding("clock", "ok", "is synchronised")
    return Finding(
        "clock",
        "warning",
        "clock not synchronised: certificates may look expired",
        "sudo timedatectl set-ntp true",
    )


def _heat(machine: MachineFigures, *, hot_celsius: float) -> Iterator[Finding]:
    celsius = machine.temperature_celsius
    if celsius is None:
        return
    if celsius >= hot_celsius:
        yield Finding(
            "heat",
            "warning",
            f"{celsius} degrees Celsius: the processor throttles at about {hot_celsius:g}",
            "add a heat sink or a fan, or lower cameras.*.detect_fps",
        )
    else:
        yield Finding("heat", "ok", f"{celsius} degrees Celsius")


def _power(machine: MachineFigures) -> Iterator[Finding]:
    now, since_boot = machine.throttling, machine.throttled_since_boot
    if not now and not since_boot:
        return
    when, flags = ("now", now) if now else ("since it was switched on", since_boot)
    is_power = "under_voltage" in flags
    yield Finding(
        "power",
        "wrong" if is_power and now else "warning",
        f"the board reports {', '.join(flags).replace('_', ' ')} {when}",
        "use the board's official power supply and a short cable" if is_power else "add a heat sink or a fan",
    )


def _outbox(config: Config) -> Iterator[Finding]:
    try:
        contents = AlertHistory(config.store_file, only_reads=True).outbox()
    except (OSError, UnavailableError):
        # Reported by the outbox check.
        return
    max_messages, max_bytes = config.outbox.max_messages, config.outbox.max_bytes
    if (
        contents.messages > NEARLY_FULL_FRACTION * max_messages
        or contents.size_bytes > NEARLY_FULL_FRACTION * max_bytes
    ):
        yield Finding(
            "backlog",
            "warning",
            f"{contents.messages} messages are pending since {contents.oldest}; beyond {max_messages} they are dropped",
            "edge-agent outbox",
        )
    lost = {kind: count for kind, count in contents.dropped.items() if count and kind != "telemetry"}
    if lost:
        dropped = ", ".join(f"{count} of kind {kind}" for kind, count in lost.items())
        yield Finding(
            "backlog",
            "warning",
            f"the outbox was full, and messages were dropped: {dropped}",
            "edge-agent doctor --quick",
        )


def _set_aside(file: Path) -> Iterator[Finding]:
    try:
        files = files_set_aside(file)
    except OSError:
        # As above.
        return
    if files:
        yield Finding(
            "set aside",
            "warning",
            f"the alert store was damaged and recreated {len(files)} times, possibly by a failing SD card",
            f"sudo dmesg --level=err,warn | grep -i mmc; rm {' '.join(map(quoted, files))}",
        )
