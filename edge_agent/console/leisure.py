"""Leisure: how much time does the watching leave to the console?

A thread of low priority slows the watching all the same: it keeps a core until its slice is over, and Python's lock
until it is asked for. So whoever works for the console works no larger share of the time than the watching leaves.
`make proof-console` measures what that saves.

Pure: time comes in as `at`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_agent.domain import Outcome

WINDOW_SECONDS = 0.5
"""Over some frames it is steady, and a person who comes into view makes it follow at once."""
STALE_SECONDS = 2.0
"""Without a frame for so long, a camera is away and the watching has time."""
LEAST_SHARE = 0.05
"""A page goes on moving, slowly, also where frames are looked at as fast as they can be."""
LONGEST_REST_SECONDS = 1.0


class Leisure:
    """What the watching does with its time. Its thread calls `saw`, any other `rest_seconds`: one value passes."""

    def __init__(self) -> None:
        """Until a frame was seen, there is all the time."""
        self._began_at: float | None = None
        self._busy_seconds = 0.0
        self._share = (1.0, float("-inf"))

    def saw(self, outcome: Outcome, *, at: float) -> None:
        """Take note of how long a frame took."""
        self._busy_seconds += sum(outcome.stage_seconds.values())
        began_at = self._began_at
        if began_at is None or at - began_at > STALE_SECONDS:
            self._began_at, self._busy_seconds = at, 0.0
        elif at - began_at >= WINDOW_SECONDS:
            self._share = (max(LEAST_SHARE, 1.0 - self._busy_seconds / (at - began_at)), at)
            self._began_at, self._busy_seconds = at, 0.0

    def rest_seconds(self, worked_seconds: float, *, at: float) -> float:
        """How long to rest after so much work."""
        share, told_at = self._share
        if at - told_at > STALE_SECONDS:
            return 0.0
        return min(worked_seconds * (1.0 - share) / share, LONGEST_REST_SECONDS)
