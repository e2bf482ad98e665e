"""Backoff: delay before the next attempt."""

from __future__ import annotations

import random


class Backoff:
    """Backoff that double from the first to the longest, each shortened at random by up to a half.

    The jitter keeps a hundred devices from coming back to a restarted broker in the same second.
    """

    def __init__(self, *, first_seconds: float, longest_seconds: float) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._next_seconds = first_seconds

    def take(self) -> float:
        """Give the next pause in seconds."""
        pause = self._next_seconds * random.uniform(0.5, 1.0)  # noqa: S311  (nothing secret about it)
        self._next_seconds = min(self._next_seconds * 2, self._longest_seconds)
        return pause

    def reset(self) -> None:
        """Begin again with the first pause."""
        self._next_seconds = self._first_seconds
