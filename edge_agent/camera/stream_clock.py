"""Stream clock: estimates when a picture of a network stream was taken.

Packets arrive in bursts; timestamps give the intervals between pictures. Pure: no clock, no I/O.
"""

from __future__ import annotations

# Bursts delay pictures by less; a time stamp further behind means that the camera's clock jumped or has a wrong rate.
MAX_DELAY_SECONDS = 0.5
# Fraction by which the offset follows each picture: camera clocks drift by some ppm, a thousandth of what this follows.
FOLLOWED_FRACTION = 0.01
# A clock that had to be reset this often is unusable.
MAX_SETTINGS = 3


class StreamClock:
    """Maps time stamps to monotonic seconds. Owned by one thread."""

    def __init__(self) -> None:
        """Start without pictures."""
        self._offset_seconds: float | None = None
        self._settings = 0
        self._last_at = float("-inf")

    def taken_at(self, stamp_seconds: float | None, *, arrived_at: float) -> float:
        """Return the monotonic time of a picture, later than the previous one and not later than `arrived_at`.

        That is `arrived_at` itself if time stamps are missing, constant, decreasing, or run at a wrong rate.
        """
        if stamp_seconds is None or self._settings > MAX_SETTINGS:
            self._last_at = arrived_at
            return arrived_at
        offset_seconds = arrived_at - stamp_seconds
        if self._offset_seconds is None:
            self._offset_seconds = offset_seconds
        taken_at = stamp_seconds + self._offset_seconds
        if taken_at > arrived_at:
            # Less delayed than all before: the offset was too large.
            self._offset_seconds, taken_at = offset_seconds, arrived_at
        elif taken_at <= self._last_at or arrived_at - taken_at > MAX_DELAY_SECONDS:
            self._settings += 1
            self._offset_seconds, taken_at = offset_seconds, arrived_at
        else:
            self._offset_seconds += FOLLOWED_FRACTION * (arrived_at - taken_at)
        self._last_at = taken_at
        return taken_at
