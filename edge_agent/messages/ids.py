"""Ids: unique and sortable by time."""

from __future__ import annotations

import secrets
import threading
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

# RFC 9562 section 5.7: 48 bits of milliseconds, then 74 random bits around version and variant.
RANDOM_BITS = 74
LOW_BITS = 62
# Section 6.2, method 2: ids of the same millisecond increase by a random step.
LARGEST_STEP = 1 << 32


class _Uuid7Source:
    """Stores the last id, so that the next one is larger. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._milliseconds = -1
        self._tail = 0

    def take(self, when: datetime) -> str:
        milliseconds = max(0, int(when.timestamp() * 1000))
        with self._lock:
            if milliseconds > self._milliseconds:
                self._milliseconds = milliseconds
                # The top bit is zero, to leave room for increments.
                self._tail = secrets.randbits(RANDOM_BITS - 1)
            else:
                # The same millisecond, or the clock was set back: order matters more than the time.
                self._tail += 1 + secrets.randbelow(LARGEST_STEP)
                if self._tail >> RANDOM_BITS:
                    self._milliseconds += 1
                    self._tail = secrets.randbits(RANDOM_BITS - 1)
            return _layout(self._milliseconds, self._tail)


def _layout(milliseconds: int, tail: int) -> str:
    high, low = tail >> LOW_BITS, tail & ((1 << LOW_BITS) - 1)
    value = (milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low
    return str(uuid.UUID(int=value))


_SOURCE = _Uuid7Source()


def uuid7(when: datetime) -> str:
    """A new UUID version 7 (RFC 9562), which sorts by time, larger than all before it in this process."""
    return _SOURCE.take(when)
