"""Disconnects: why does the broker end connections?

RabbitMQ, AWS IoT and HiveMQ disconnect on operations that a client may not do, in the order of sending. Others give no
reason when a client with the same id connects, or for a message above their size limit. Pure: time is an argument.
"""

from __future__ import annotations

from collections import deque

# Disconnects in a row after the same operation from which that operation is left out.
MAX_HANG_UPS = 2
# Connection losses within the window that a working network does not explain.
FREQUENT_LOSSES = 4
FREQUENT_SECONDS = 120.0
# A broker that disconnects because of an unacknowledged message does so within a round trip.
HANG_UP_SECONDS = 1.0


class Disconnects:
    """Remembers the connection losses. Owned by the publisher's thread."""

    def __init__(self, *, steady_seconds: float) -> None:
        """A connection that lasted for `steady_seconds` was not ended because of what was sent at its beginning."""
        self._steady_seconds = steady_seconds
        self._connected_at: float | None = None
        self._lost_at: deque[float] = deque(maxlen=FREQUENT_LOSSES)
        self._suspect, self._hang_ups = "", 0
        self._is_careful = False

    def begin(self) -> None:
        """Note an attempt: a broker that does not answer has not disconnected because of a message."""
        self._connected_at = None

    def connected(self, *, at: float) -> None:
        """Note a connection."""
        self._connected_at = at
        self._is_careful = bool(self._suspect)

    def lasts_seconds(self, *, at: float) -> float:
        """How long the connection has lasted; 0 if the last attempt failed."""
        return 0.0 if self._connected_at is None else at - self._connected_at

    def is_steady(self, *, at: float) -> bool:
        """Whether the last attempt succeeded, and the connection has lasted."""
        return self._connected_at is not None and self.lasts_seconds(at=at) >= self._steady_seconds

    def accepted(self, feature: str) -> None:
        """Note an acknowledged message: the broker does not disconnect because of it."""
        if feature == self._suspect:
            self._suspect, self._hang_ups = "", 0

    def recovered(self) -> None:
        """Note that everything sent was acknowledged."""
        self._is_careful = False

    def wait_seconds(self, sent_at: float, *, at: float) -> float:
        """Time to wait for the acknowledgement of the newest message before sending the next.

        After a loss of several unacknowledged messages it would not be known which is to blame.
        """
        return sent_at + HANG_UP_SECONDS - at if self._is_careful else 0.0

    def lost(self, *, at: float) -> bool:
        """Note a loss, and return whether they are too frequent for a working network."""
        if self._connected_at is None:
            return False
        self._lost_at.append(at)
        return len(self._lost_at) == FREQUENT_LOSSES and at - self._lost_at[0] <= FREQUENT_SECONDS

    def find_cause(self, operation: str, *, unanswered: tuple[str, float] | None, at: float) -> tuple[str, bool]:
        """Return what the broker may have disconnected on, and whether it did so repeatedly; empty if that is unknown.

        `operation` is the first without an answer; only soon after connecting it may be the cause. `unanswered` is one
        that never gets an answer, with its time, if all others have theirs.
        """
        if self._connected_at is None:
            return "", False
        suspect = "" if self.lasts_seconds(at=at) > self._steady_seconds else operation
        if not suspect and unanswered is not None and at - unanswered[1] <= HANG_UP_SECONDS:
            suspect = unanswered[0]
        self._hang_ups = self._hang_ups + 1 if suspect == self._suspect else 1
        self._suspect = suspect
        if not suspect or self._hang_ups < MAX_HANG_UPS:
            return suspect, False
        # These losses are explained, and no sign of another device with the same name.
        for _ in range(min(self._hang_ups, len(self._lost_at))):
            self._lost_at.pop()
        self._suspect, self._hang_ups = "", 0
        return suspect, True
