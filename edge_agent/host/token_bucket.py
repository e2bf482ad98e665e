"""Token bucket: limits the rate of messages, commands, requests and password attempts.

Pure: time is an argument.
"""

from __future__ import annotations


class TokenBucket:
    """A token bucket. Owned by one thread."""

    __slots__ = ("_filled", "_filled_at", "_most", "_per_second")

    def __init__(self, per_second: float, *, burst: float | None = None) -> None:
        """Start full. The bucket holds `burst` tokens; None: one second's worth, at least one."""
        self._per_second = per_second
        self._most = max(1.0, per_second) if burst is None else burst
        self._filled = self._most
        self._filled_at: float | None = None

    def available(self, *, at: float) -> int:
        """Number of tokens now."""
        self._fill(at)
        return int(self._filled)

    def take(self, *, at: float) -> bool:
        """Take one token, if available."""
        self._fill(at)
        if self._filled < 1.0:
            return False
        self._filled -= 1.0
        return True

    def wait_seconds(self, *, at: float) -> float:
        """Time until the next token."""
        self._fill(at)
        return max(0.0, 1.0 - self._filled) / self._per_second

    def _fill(self, at: float) -> None:
        elapsed_seconds = at - self._filled_at if self._filled_at is not None else 0.0
        self._filled = min(self._most, self._filled + elapsed_seconds * self._per_second)
        self._filled_at = at
