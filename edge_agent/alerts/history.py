"""Alert history: reads alerts and pending messages beside a running agent, and stores reviews and deletions.

It uses a database connection of its own.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args

from edge_agent.alerts.database import beside, inaccessible, transaction
from edge_agent.alerts.people import day_of, midnight_of, rows_between
from edge_agent.alerts.timeline import read_timeline
from edge_agent.domain import Label, timestamp
from edge_agent.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from edge_agent.alerts.people import PeopleRow
    from edge_agent.alerts.timeline import Timeline

Result = TypeVar("Result")

Review: TypeAlias = Literal["", "with_mask", "without_mask", "mask_worn_incorrectly", "no_face"]
"""What the crop of an alert shows according to its reviewer; empty: not reviewed."""

REVIEWS: tuple[Review, ...] = get_args(Review)
COLUMNS = "message, timeline, later, resolved, review"
MESSAGES_A_PAGE = 500
"""Pending messages read at once: the agent is not blocked, and they need not fit into memory."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One alert. `message` is the published alert, `resolved` the message of its resolution, None while it is open."""

    message: Mapping[str, Any]
    resolved: Mapping[str, Any] | None
    review: Review
    stored_timeline: tuple[str, str] = field(repr=False)
    """Unparsed: lists of alerts do not show it, and parsing takes longer than all the rest."""

    @property
    def id(self) -> str:
        """The id of the alert."""
        return str(self.message["id"])

    @property
    def camera(self) -> str:
        """The camera of the alert."""
        return str(self.message["camera"])

    @property
    def label(self) -> str:
        """The alerted label."""
        return str(self.message["label"])

    @property
    def when(self) -> datetime:
        """Time of the alert, aware UTC."""
        return datetime.fromisoformat(str(self.message["when"]).replace("Z", "+00:00"))

    @property
    def day(self) -> str:
        """The day of the alert, YYYY-MM-DD, in the device's time zone."""
        return day_of(self.when)

    @property
    def is_false_alarm(self) -> bool:
        """Whether the review says that there was no violation; a different violation is no false alarm."""
        return self.review in {"with_mask", "no_face"}

    def timeline(self) -> Timeline:
        """The readings before the alert, and from the alert until its resolution."""
        return read_timeline(*self.stored_timeline)


@dataclass(frozen=True, slots=True)
class DayCount:
    """Number of alerts with a label on a day; `day` is YYYY-MM-DD in the device's time zone."""

    day: str
    label: Label
    count: int


@dataclass(frozen=True, slots=True)
class OutboxContents:
    """The pending messages. `oldest` is the time of the oldest one, None if there is none."""

    waiting: Mapping[str, int] = field(default_factory=dict)
    size_bytes: int = 0
    oldest: str | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def messages(self) -> int:
        """Number of pending messages of all kinds."""
        return sum(self.waiting.values())


class AlertHistory:
    """The alerts of one device. For any thread: the file is opened for each query, as an agent may replace it.

    Every method raises an UnavailableError if the file cannot be used.
    """

    def __init__(self, file: Path, *, only_reads: bool = False) -> None:
        """`file` is the store's; a missing file means no alerts.

        Only the agent creates, sweeps and repairs the file; `only_reads`: no reviews or deletions.
        """
        self.file = file
        self._only_reads = only_reads

    def find(
        self,
        *,
        camera: str = "",
        label: str = "",
        day: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        review: Review | None = None,
        before: str = "",
        limit: int = 50,
    ) -> list[HistoryEntry]:
        """Find entries, newest first; only those older than the entry with the id `before`, if given.

        `since` and `until` (aware, `until` exclusive) refer to the time of the alert. `review`: None for all entries,
        empty for those without a review.
        """
        conditions, values = _conditions(camera=camera, label=label, day=day, review=review)
        for comparison, when in ((">=", since), ("<", until)):
            if when is not None:
                # Both are RFC 3339 in UTC with milliseconds, which sort as text.
                conditions.append(f"json_extract(message, '$.when') {comparison} ?")
                values.append(timestamp(when))
        if before:
            # If that entry was deleted, its id still gives the place: ids sort by time.
            place = "SELECT position FROM alerts WHERE id = ?", "SELECT max(position) + 1 FROM alerts WHERE id < ?"
            conditions.append(f"position < coalesce(({place[0]}), ({place[1]}), 0)")
            values += [before, before]
        query = f"SELECT {COLUMNS} FROM alerts{_where(conditions)} ORDER BY position DESC LIMIT ?"  # noqa: S608
        return self._entries(query, *values, limit)

    def entry(self, alert_id: str) -> HistoryEntry | None:
        """Return one entry, or None."""
        query = f"SELECT {COLUMNS} FROM alerts WHERE id = ?"  # noqa: S608  (constants)
        return next(iter(self._entries(query, alert_id)), None)

    def neighbours(self, alert_id: str) -> tuple[str, str]:
        """The ids of the next newer and next older alert; empty if there is none."""
        place = "(SELECT position FROM alerts WHERE id = ?)"
        newer = f"SELECT id FROM alerts WHERE position > {place} ORDER BY position LIMIT 1"  # noqa: S608  (constants)
        older = f"SELECT id FROM alerts WHERE position < {place} ORDER BY position DESC LIMIT 1"  # noqa: S608
        return self._one(newer, alert_id) or "", self._one(older, alert_id) or ""

    def unreviewed(self) -> int:
        """Number of entries without a review."""
        return self._one("SELECT count(*) FROM alerts WHERE review = ''") or 0

    def days(self, *, camera: str = "", label: str = "", last: int = 30, today: date) -> list[DayCount]:
        """Count alerts by day and label over the last days, including today; days without alerts are omitted."""
        conditions, values = _conditions(camera=camera, label=label)
        first = (today - timedelta(days=last - 1)).isoformat()
        where = _where([*conditions, "day BETWEEN ? AND ?"])
        query = f"SELECT day, label, count(*) FROM alerts{where} GROUP BY day, label ORDER BY day, label"  # noqa: S608
        return [DayCount(*row) for row in self._rows(query, *values, first, today.isoformat())]

    def people(self, *, camera: str = "", first: date | None = None, last: date | None = None) -> list[PeopleRow]:
        """The people counted from day `first` to `last` in the device's time zone; `camera` empty: all cameras."""
        begin = midnight_of(first) if first else None
        end = midnight_of(last + timedelta(days=1)) if last else None
        rows = self._do(lambda database: rows_between(database, begin, end))
        return [row for row in rows or () if camera in ("", row[0])]

    def count(self) -> int:
        """Number of entries."""
        return self._one("SELECT count(*) FROM alerts") or 0

    def is_pending(self, alert_id: str) -> bool:
        """Whether the broker has not acknowledged this alert yet."""
        return bool(self._one("SELECT 1 FROM outbox WHERE key = ?", alert_id))

    def outbox(self) -> OutboxContents:
        """Count the pending messages."""
        return self._do(_outbox) or OutboxContents()

    def pending_messages(self) -> Iterator[dict[str, Any]]:
        """Yield the pending messages, oldest first."""
        last = 0
        query = "SELECT position, message FROM outbox WHERE position > ? ORDER BY position LIMIT ?"

        def read(database: sqlite3.Connection) -> list[tuple[int, dict[str, Any]]]:
            return [(place, json.loads(message)) for place, message in database.execute(query, (last, MESSAGES_A_PAGE))]

        while page := self._do(read):
            yield from (message for _, message in page)
            last = page[-1][0]

    def review(self, alert_id: str, review: Review) -> bool:
        """Store the review of an alert; False if there is no such entry."""
        return self._change("UPDATE alerts SET review = ? WHERE id = ?", (review, alert_id))

    def remove(self, alert_id: str) -> bool:
        """Delete an alert, including its bytes in the file; False if there was none. Its crop is not removed."""
        is_removed = self._change("DELETE FROM alerts WHERE id = ?", (alert_id,))
        # The write-ahead log still contains it.
        self._do(lambda database: database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
        return is_removed

    def _rows(self, query: str, *values: object) -> list[Any]:
        return self._do(lambda database: database.execute(query, values).fetchall()) or []

    def _entries(self, query: str, *values: object) -> list[HistoryEntry]:
        return self._do(lambda database: [_entry(row) for row in database.execute(query, values)]) or []

    def _one(self, query: str, *values: str) -> Any:
        """The first value that a query gives; None if there is none."""
        return next((row[0] for row in self._rows(query, *values)), None)

    def _change(self, statement: str, values: tuple[Any, ...]) -> bool:
        def work(database: sqlite3.Connection) -> bool:
            with transaction(database):
                return database.execute(statement, values).rowcount > 0

        return bool(self._do(work))

    def _do(self, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
        """Run a function on the database, opened for it alone; None if the file does not exist yet."""
        try:
            try:
                return beside(self.file, work, writes=not self._only_reads)
            except sqlite3.OperationalError:
                if not self._only_reads:
                    raise
                # The agent may just have begun or ended writing, which decides how the file is opened.
                return beside(self.file, work)
        # ValueError: a text of a damaged file is no JSON, or no UTF-8.
        except (sqlite3.DatabaseError, ValueError, OSError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> UnavailableError:
        if self._only_reads and isinstance(error, OSError):
            return inaccessible(self.file, error)
        if self._only_reads:
            return UnavailableError(
                f"{self.file}: the alert store cannot be read: {error}; it belongs to the agent's user, and the agent "
                "sets a damaged one, or one of another layout, aside at its next start"
            )
        return UnavailableError(
            f"{self.file}: the history of alerts cannot be used: {error}; it needs a writable folder with free "
            "space: see state_dir"
        )


def _conditions(**wanted: str | None) -> tuple[list[str], list[str]]:
    """SQL conditions and their values. None and, except for the review, an empty text set no condition."""
    asked = {name: value for name, value in wanted.items() if value or (name == "review" and value is not None)}
    return [f"{name} = ?" for name in asked], [str(value) for value in asked.values()]


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _outbox(database: sqlite3.Connection) -> OutboxContents:
    sizes = "SELECT kind, count(*), sum(length(CAST(message AS BLOB))) FROM outbox GROUP BY kind"
    figures = database.execute(sizes).fetchall()
    oldest = database.execute("SELECT message FROM outbox ORDER BY position LIMIT 1").fetchone()
    return OutboxContents(
        waiting={kind: count for kind, count, _ in figures},
        size_bytes=sum(size_bytes for _, _, size_bytes in figures),
        oldest=json.loads(oldest[0]).get("when") if oldest else None,
        dropped=dict(database.execute("SELECT kind, messages FROM dropped").fetchall()),
    )


def _entry(row: tuple[str, str, str, str | None, str]) -> HistoryEntry:
    message, timeline, later, resolved, review = row
    return HistoryEntry(
        message=json.loads(message),
        resolved=json.loads(resolved) if resolved else None,
        review=next((known for known in REVIEWS if known == review), ""),
        stored_timeline=(timeline, later),
    )
