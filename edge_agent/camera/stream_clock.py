"""Stream clock: estimates when a picture of a network stream was taken.

Packets arrive in bursts; timestamps give the intervals between pictures. Pure: no clock, no I/O.
"""

from __future__ import annotations

# A burst holds pictures back for less; a stamp further behind than this belongs to a clock that runs wrong, or jumped.
LONGEST_DELAY_SECONDS = 0.5
# Clocks of cameras drift by some parts in a million; this follows a thousand times that.
FOLLOWED_FRACTION = 0.01
# A clock that had to be reset this often is unusable.
MOST_SETTINGS = 3


class StreamClock:
    """Maps time stamps to monotonic seconds. Owned by one thread."""

    def __init__(self) -> None:
        """Start without pictures."""
        self._offset_seconds: float | None = None
        self._settings = 0
        self._last_at = float("-inf")

    def taken_at(self, stamp_seconds: float | None, *, arrived_at: float) -> float:
        """Return when a picture was taken, later than the one before and no later than it came.

        That is when it came where stamps are missing, stand still, run backwards or at another pace than time.
        """
        if stamp_seconds is None or self._settings > MOST_SETTINGS:
            self._last_at = arrived_at
            return arrived_at
        offset_seconds = arrived_at - stamp_seconds
        if self._offset_seconds is None:
            self._offset_seconds = offset_seconds
        taken_at = stamp_seconds + self._offset_seconds
        if taken_at > arrived_at:
            # This one came sooner than any before: they were late.
            self._offset_seconds, taken_at = offset_seconds, arrived_at
        elif taken_at <= self._last_at or arrived_at - taken_at > LONGEST_DELAY_SECONDS:
            self._settings += 1
            self._offset_seconds, taken_at = offset_seconds, arrived_at
        else:
            self._offset_seconds += FOLLOWED_FRACTION * (arrived_at - taken_at)
        self._last_at = taken_at
        return taken_at
