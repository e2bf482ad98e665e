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
# Section 6.2, method 2: ids of the same millisecond, or after the clock was set back, increase by a random step.
MAX_STEP = 1 << 32
MAX_AHEAD_MS = 86_400_000
"""Ids further ahead of the clock, a day, were made while it was wrong; later ones follow the clock again."""

_lock = threading.Lock()
_last = 0
"""The last id without version and variant; a step that exceeds the random bits counts the milliseconds up."""


def uuid7(when: datetime) -> str:
    """A new UUID version 7 (RFC 9562), which sorts by time.

    It is larger than all before it in this process, unless the clock was set back by more than a day since.
    """
    global _last  # noqa: PLW0603  (the last id of the process)
    with _lock:
        bits = _at_random(when)
        if _last - bits < MAX_AHEAD_MS << RANDOM_BITS:
            bits = max(bits, _last + 1 + secrets.randbelow(MAX_STEP))
        _last = bits
    return _as_uuid(bits)


def _at_random(when: datetime) -> int:
    return max(0, int(when.timestamp() * 1000)) << RANDOM_BITS | secrets.randbits(RANDOM_BITS)


def _as_uuid(bits: int) -> str:
    """Insert the version after the milliseconds, and the variant before the last 62 bits."""
    high, low = bits >> LOW_BITS, bits & ((1 << LOW_BITS) - 1)
    return str(uuid.UUID(int=(high >> 12) << 80 | 0x7 << 76 | (high & 0xFFF) << 64 | 0b10 << 62 | low))
