"""Backoff: delay before the next attempt."""

from __future__ import annotations

import random

STEADY_SECONDS = 10.0
"""A loss within this time after a recovery counts as the same one: delays keep growing."""


class Backoff:
    """Delays that double from the first to the maximum, each shortened at random by up to a half.

    The jitter keeps many devices from reconnecting to a restarted broker or recorder in the same second.
    """

    def __init__(self, *, first_seconds: float, max_seconds: float) -> None:
        self._first_seconds = first_seconds
        self._max_seconds = max_seconds
        self._next_seconds = first_seconds

    def take(self, *, well_seconds: float = 0.0) -> float:
        """Return the next delay in seconds; after having worked for STEADY_SECONDS, the first again."""
        if well_seconds >= STEADY_SECONDS:
            self.reset()
        pause = self._next_seconds * random.uniform(0.5, 1.0)  # noqa: S311  (not a secret)
        self._next_seconds = min(self._next_seconds * 2, self._max_seconds)
        return pause

    def reset(self) -> None:
        """Start again with the first delay."""
        self._next_seconds = self._first_seconds
