"""Host stats: temperature, throttling, memory, disk, uptime."""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.host.disk import LastKnown, existing
from edge_agent.messages.telemetry import MachineFigures

if TYPE_CHECKING:
    from edge_agent.messages.telemetry import Throttling, ThrottlingReason

# The throttling state of a Raspberry Pi's firmware, as of `vcgencmd get_throttled`.
THROTTLED_FILE = "sys/devices/platform/soc/soc:firmware/get_throttled"
# The lower bits are the current state; the same bits 16 positions higher cover the time since power-on.
THROTTLING_BITS: dict[int, ThrottlingReason] = {
    0: "under_voltage",
    1: "frequency_capped",
    2: "throttled",
    3: "soft_temperature_limit",
}
SINCE_BOOT_SHIFT = 16
# Some of the other thermal zones (PMIC-Die of a Jetson) always report 100 degrees.
ZONES_WANTED = ("cpu", "soc", "pkg")
KIBIBYTE = 1024


class HostStats:
    """Reads /sys and /proc below `root`."""

    def __init__(self, folder: Path, *, root: Path = Path("/")) -> None:
        """Free disk space is that of the disk of `folder`, which need not exist yet."""
        self._disk_free_bytes: LastKnown[int | None] = LastKnown(partial(_disk_free_bytes, folder), before=None)
        self._root = root

    def read(self) -> MachineFigures:
        """Read the current state; takes a millisecond, and 0.2 s while the disk hangs."""
        now, since_boot = self._throttling()
        return MachineFigures(
            temperature_celsius=self._temperature_celsius(),
            throttling=now,
            throttled_since_boot=since_boot,
            memory_bytes=bytes_in(self._read("proc/self/status"), "VmRSS"),
            memory_available_bytes=bytes_in(self._read("proc/meminfo"), "MemAvailable"),
            disk_free_bytes=self._disk_free_bytes.get(),
            uptime_seconds=_number(self._read("proc/uptime").partition(" ")[0]),
        )

    def _temperature_celsius(self) -> float | None:
        zones = sorted((self._root / "sys/class/thermal").glob("thermal_zone*"))
        kinds = {zone: self._read(f"sys/class/thermal/{zone.name}/type").lower() for zone in zones}
        for wanted in ZONES_WANTED:
            for zone, kind in kinds.items():
                millidegrees = _number(self._read(f"sys/class/thermal/{zone.name}/temp"))
                if wanted in kind and millidegrees is not None:
                    return round(millidegrees / 1000, 1)
        return None

    def _throttling(self) -> tuple[Throttling, Throttling]:
        try:
            bits = int(self._read(THROTTLED_FILE), 16)
        except ValueError:
            return (), ()
        return _named(bits), _named(bits >> SINCE_BOOT_SHIFT)

    def _read(self, file: str) -> str:
        try:
            return (self._root / file).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            # The machine has no such file, or its sensor does not respond.
            return ""


def bytes_in(text: str, key: str) -> int | None:
    """A size in kB of /proc/meminfo or /proc/PID/status; None if the kernel does not state it."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * KIBIBYTE
    return None


def _named(bits: int) -> Throttling:
    return tuple(name for bit, name in THROTTLING_BITS.items() if bits >> bit & 1)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def has_free_inodes(folder: Path) -> bool:
    """Whether the disk of `folder`, which need not exist yet, has free inodes; True if it does not count them."""
    try:
        status = os.statvfs(existing(folder))
    except OSError:
        return True
    return status.f_files == 0 or status.f_favail > 0


def _disk_free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(existing(folder)).free
    except OSError:
        return None
