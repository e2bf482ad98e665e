"""Events: queues what has to be posted to webhooks; each webhook has its own position in the queue.

One row per alert, resolution and status, written in the alert's own transaction. A row is deleted once every webhook
has received it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from edge_agent.alerts.database import UNREADABLE, beside, unsynced_transaction
from edge_agent.errors import UnavailableError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edge_agent.alerts.database import Change

Result = TypeVar("Result")

MAX_EVENTS = 20_000
"""Some 12 MB; the oldest events beyond this are dropped."""


@dataclass(frozen=True, slots=True)
class Event:
    """One message for a webhook, as JSON text."""

    position: int
    id: str
    message: str


def event(kind: str, id: str, message: str) -> Change:  # noqa: A002  (the contract's word)
    """Add an event; idempotent."""
    return "INSERT OR IGNORE INTO events (kind, id, message) VALUES (?, ?, ?)", (kind, id, message)


class EventQueue:
    """The events of one webhook, read through its own connection. Owned by one thread."""

    def __init__(self, path: Path, *, webhook: str, kinds: Sequence[str]) -> None:
        """Read events of these kinds from the agent's store at `path`."""
        self._path, self._webhook, self._kinds = path, webhook, tuple(kinds)

    def oldest(self) -> Event | None:
        """The oldest event that the webhook has not received.

        Raises:
            UnavailableError: the store cannot be read.
        """
        query = (
            "SELECT position, id, message FROM events "  # noqa: S608  (marks)
            "WHERE position > (SELECT position FROM webhook_cursors WHERE webhook = ?) "
            f"AND kind IN ({', '.join('?' * len(self._kinds))}) ORDER BY position LIMIT 1"
        )
        row = self._do(lambda database: database.execute(query, (self._webhook, *self._kinds)).fetchone())
        return Event(*row) if row else None

    def take(self, taken: Event) -> None:
        """Mark an event as received; not synced, so that after a power loss it may be posted again.

        Raises:
            UnavailableError: the store cannot be written.
        """

        def mark(database: sqlite3.Connection) -> None:
            with unsynced_transaction(database):
                database.execute(
                    "UPDATE webhook_cursors SET position = max(position, ?) WHERE webhook = ?",
                    (taken.position, self._webhook),
                )
                database.execute("DELETE FROM events WHERE position <= (SELECT min(position) FROM webhook_cursors)")

        self._do(mark, writes=True)

    def _do(self, work: Callable[[sqlite3.Connection], Result], *, writes: bool = False) -> Result | None:
        try:
            return beside(self._path, work, writes=writes)
        except (*UNREADABLE, OSError) as error:
            raise UnavailableError(f"{self._path}: {error}") from error


def begin_webhooks(database: sqlite3.Connection, webhooks: Sequence[str]) -> None:
    """Remove webhooks that are no longer configured; new ones start with the next event."""
    marks = ", ".join("?" * len(webhooks))
    database.execute(f"DELETE FROM webhook_cursors WHERE webhook NOT IN ({marks})", webhooks)  # noqa: S608  (marks)
    (last,) = database.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'").fetchone()
    # A store whose events were damaged numbers the next ones from the last that was salvaged.
    database.execute("UPDATE webhook_cursors SET position = min(position, ?)", (last,))
    database.executemany(
        "INSERT OR IGNORE INTO webhook_cursors VALUES (?, ?)", [(webhook, last) for webhook in webhooks]
    )
    if not webhooks:
        database.execute("DELETE FROM events")
