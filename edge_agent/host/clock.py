"""Clock: boot id, and whether the system clock is synchronised."""

from __future__ import annotations

import ctypes
import time
import uuid
from pathlib import Path

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")

# adjtimex(2) returns the clock state: 0..4 synchronised (3 and 4 around a leap second), 5 TIME_ERROR, -1 failure.
TIME_ERROR = 5
# struct timex has 208 bytes on 64-bit Linux and fewer on 32-bit; all zeros query without changing anything.
TIMEX_BYTES = 512

_PROCESS_ID = str(uuid.uuid4())


def boot_id() -> str:
    """The kernel's boot id, a UUID; an id of this process if the kernel has none."""
    try:
        return BOOT_ID_FILE.read_text().strip() or _PROCESS_ID
    except OSError:
        return _PROCESS_ID


def run_id() -> str:
    """The id of this process, a UUID; unchanged by reloads, different for each process, also in a container."""
    return _PROCESS_ID


def seconds_since_boot() -> float:
    """Seconds since the machine was started, including suspend (CLOCK_BOOTTIME); unaffected by setting the clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def suspended_seconds() -> float:
    """How long the machine was suspended since it was started: the monotonic clock stands still then."""
    return seconds_since_boot() - time.monotonic()


def is_clock_synchronised() -> bool:
    """Whether the kernel considers the clock synchronised (NTP, PTP, GPS); False if unknown."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return False
    state = int(adjtimex(ctypes.create_string_buffer(TIMEX_BYTES)))
    return 0 <= state < TIME_ERROR
