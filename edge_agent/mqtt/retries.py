"""Retries: which messages wait before they are sent again, because the broker refused them or had no subscriber.

Time is an argument.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_agent.alerts.store import Row
    from edge_agent.messages.message import Kind

# A row not sent again for this long after its time has been dropped from the full outbox.
DROPPED_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class _Held:
    """A message that the broker accepted without a matching subscriber."""

    since: float
    pause_seconds: float
    until: float


class Retries:
    """The waiting messages. Owned by the publisher's thread; `release` is for any."""

    def __init__(
        self, *, refused_kind_seconds: float, refused_row_seconds: float, first_hold_seconds: float, hold_seconds: float
    ) -> None:
        """After a refusal the row waits, and for less its whole kind; a held row waits twice as long each time."""
        self._refused_kind_seconds, self._refused_row_seconds = refused_kind_seconds, refused_row_seconds
        self._first_hold_seconds, self._hold_seconds = first_hold_seconds, hold_seconds
        self._refused_kinds: dict[Kind, float] = {}
        self._refused: dict[str, float] = {}
        self._held: dict[str, _Held] = {}
        self._is_released = threading.Event()

    @property
    def has_refused(self) -> bool:
        """Whether the broker has refused a message and not accepted it since."""
        return bool(self._refused)

    def is_held(self, key: str) -> bool:
        """Whether a message is being sent again for lack of a subscriber."""
        return key in self._held

    def refuse(self, row: Row, *, at: float) -> None:
        """Note a refused message."""
        self._refused_kinds[row.kind] = at + self._refused_kind_seconds
        self._refused[row.key] = at + self._refused_row_seconds

    def hold(self, row: Row, *, at: float) -> bool:
        """Send an accepted message again later; False if it was held for long enough."""
        before = self._held.get(row.key) or _Held(at, self._first_hold_seconds / 2, at)
        end = before.since + self._hold_seconds
        if at >= end:
            return False
        pause_seconds = before.pause_seconds * 2
        self._held[row.key] = _Held(before.since, pause_seconds, min(at + pause_seconds, end))
        return True

    def release(self) -> None:
        """Send held messages at once, because a subscriber has appeared."""
        self._is_released.set()

    def forget(self, keys: Iterable[str]) -> None:
        """Forget delivered messages."""
        for key in keys:
            self._refused.pop(key, None)
            self._held.pop(key, None)

    def waiting(self, *, at: float) -> tuple[set[str], set[Kind]]:
        """The keys of the messages, and the kinds, that are not to be sent now.

        Forgets what has been dropped from the full outbox: pending rows have been sent again by now.
        """
        released_at = float("inf")
        if self._is_released.is_set():
            # Not cleared unseen: another subscriber may appear at any moment.
            self._is_released.clear()
            released_at = at
        self._refused = {key: until for key, until in self._refused.items() if at < until + self._refused_row_seconds}
        self._held = {
            key: _Held(held.since, held.pause_seconds, min(held.until, released_at))
            for key, held in self._held.items()
            if at < held.since + self._hold_seconds + DROPPED_SECONDS
        }
        refused = {key for key, until in self._refused.items() if at < until}
        held = {key for key, held in self._held.items() if at < held.until}
        return refused | held, {kind for kind, until in self._refused_kinds.items() if at < until}
