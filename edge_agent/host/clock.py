"""Clock: boot id, and whether the system clock is synchronised."""

from __future__ import annotations

import ctypes
import time
import uuid
from pathlib import Path

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")

# adjtimex(2) returns the state of the clock: 0..4 synchronised (3 and 4 around a leap second), 5 TIME_ERROR, -1 failed.
TIME_ERROR = 5
# struct timex has 208 bytes on 64-bit Linux and less on 32-bit; all zero it asks and changes nothing.
TIMEX_BYTES = 512

_PROCESS_ID = str(uuid.uuid4())


def boot_id() -> str:
    """Name this run of the machine; a name for this process only where the kernel has none."""
    try:
        return BOOT_ID_FILE.read_text().strip() or _PROCESS_ID
    except OSError:
        return _PROCESS_ID


def run_id() -> str:
    """Name this process, over reloads of its configuration: another one has another name, also in a container."""
    return _PROCESS_ID


def seconds_since_boot() -> float:
    """Seconds since the machine was started, also while it slept; this clock is never set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def follow_time_zone() -> None:
    """Take note of a time zone that was changed while the process runs: quiet hours and days are those of the wall."""
    time.tzset()


def is_clock_synchronised() -> bool:
    """Ask the kernel whether something (NTP, PTP, GPS) keeps its clock right; False on doubt."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return False
    state = int(adjtimex(ctypes.create_string_buffer(TIMEX_BYTES)))
    return 0 <= state < TIME_ERROR
