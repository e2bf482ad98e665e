"""Inspection: reads the contents of an outbox beside a running agent.

Read-only: creates, repairs and moves nothing.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_agent.alerts.database import files_set_aside, is_begun, open_to_look
from edge_agent.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Contents:
    """Contents of an outbox. `oldest` is the time of the oldest message, None if it is empty."""

    waiting: Mapping[str, int]
    size_bytes: int
    oldest: str | None
    dropped: Mapping[str, int]
    set_aside: tuple[Path, ...]

    @property
    def messages(self) -> int:
        """Number of pending messages of all kinds."""
        return sum(self.waiting.values())


def inspect_outbox(path: Path) -> Contents:
    """Count the pending messages; a missing outbox is empty.

    Raises:
        UnavailableError: it cannot be read.
    """
    set_aside = tuple(files_set_aside(path))
    if not is_begun(path):
        return Contents({}, 0, None, {}, set_aside)
    with _opened(path) as database:
        rows = database.execute("SELECT kind, count(*), sum(length(CAST(message AS BLOB))) FROM outbox GROUP BY kind")
        figures = rows.fetchall()
        oldest = database.execute("SELECT message FROM outbox ORDER BY position LIMIT 1").fetchone()
        dropped = dict(database.execute("SELECT kind, messages FROM dropped").fetchall())
    return Contents(
        {kind: count for kind, count, _ in figures},
        sum(size_bytes for _, _, size_bytes in figures),
        json.loads(oldest[0]).get("when") if oldest else None,
        dropped,
        set_aside,
    )


def waiting_messages(path: Path) -> Iterator[dict[str, Any]]:
    """Yield all pending messages, oldest first, as of the first one.

    Raises:
        UnavailableError: it cannot be read.
    """
    if is_begun(path):
        with _opened(path) as database:
            for (message,) in database.execute("SELECT message FROM outbox ORDER BY position"):
                yield json.loads(message)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(open_to_look(path)) as database:
            yield database
    except sqlite3.DatabaseError as error:
        raise UnavailableError(
            f"{path}: the outbox cannot be read: {error}; it belongs to the agent's user, and the agent sets a damaged "
            "one, or one of another layout, aside at its next start"
        ) from error
