"""Alert history: reads alerts and their resolutions beside a running agent, and stores reviews and deletions.

It uses a database connection of its own.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args

from edge_agent.alerts.database import is_begun, is_written, open_at_rest, open_beside, transaction
from edge_agent.alerts.people import rows_between
from edge_agent.alerts.timeline import read_timeline
from edge_agent.domain import timestamp
from edge_agent.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from edge_agent.alerts.people import PeopleRow
    from edge_agent.alerts.timeline import Timeline

Result = TypeVar("Result")

Review: TypeAlias = Literal["", "with_mask", "without_mask", "mask_worn_incorrectly", "no_face"]
"""What a reviewer has found the crop of an alert to show; empty: not reviewed."""

REVIEWS: tuple[Review, ...] = get_args(Review)
COLUMNS = "message, timeline, later, resolved, review"


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One alert. `message` is the alert as it was published, `resolved` the message of its end, None while it lasts."""

    message: Mapping[str, Any]
    resolved: Mapping[str, Any] | None
    review: Review
    stored_timeline: tuple[str, str] = field(repr=False)
    """As it lies in the file: a page of alerts shows none, and to read it takes longer than all the rest."""

    @property
    def id(self) -> str:
        """The id of the alert."""
        return str(self.message["id"])

    @property
    def camera(self) -> str:
        """The camera that saw it."""
        return str(self.message["camera"])

    @property
    def label(self) -> str:
        """The label that was alerted."""
        return str(self.message["label"])

    @property
    def when(self) -> datetime:
        """When it arose, aware UTC."""
        return datetime.fromisoformat(str(self.message["when"]).replace("Z", "+00:00"))

    @property
    def day(self) -> str:
        """The day of the alert, YYYY-MM-DD, as the clock on the device's wall has it."""
        return self.when.astimezone().date().isoformat()

    @property
    def is_false_alarm(self) -> bool:
        """Whether a reviewer said that it shows no violation; another one than was alerted is none."""
        return self.review in {"with_mask", "no_face"}

    def timeline(self) -> Timeline:
        """Read what led to it, and what came after it until it was resolved."""
        return read_timeline(*self.stored_timeline)


@dataclass(frozen=True, slots=True)
class DayCount:
    """How many alerts with a label a day had; `day` is YYYY-MM-DD as the clock on the device's wall has it."""

    day: str
    label: str
    count: int


class AlertHistory:
    """The alerts of one device. For any thread, one at a time; a thread that must not wait opens its own."""

    def __init__(self, file: Path, *, only_reads: bool = False) -> None:
        """Name the store's file, which need not be there: without one there are no alerts. Opened at first use.

        The agent begins, sweeps and repairs the file; `only_reads`: neither reviews nor deletes.
        """
        self.file = file
        self._only_reads = only_reads
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._inode: int | None = None

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
        """Find entries, newest first; those after the entry `before` (an id) where one is given.

        `since` and `until` (aware) are of the alerts' own time, the end excluded. `review`: None for all of them, empty
        for those without a review.

        Raises:
            UnavailableError: the file cannot be read.
        """
        conditions, values = _conditions(camera=camera, label=label, day=day, review=review)
        for comparison, when in ((">=", since), ("<", until)):
            if when is not None:
                # Both are RFC 3339 in UTC with milliseconds, which sort as text.
                conditions.append(f"json_extract(message, '$.when') {comparison} ?")
                values.append(timestamp(when))
        if before:
            # One that is gone by now had its place among the ids, which sort by time.
            place = "SELECT position FROM alerts WHERE id = ?", "SELECT max(position) + 1 FROM alerts WHERE id < ?"
            conditions.append(f"position < coalesce(({place[0]}), ({place[1]}), 0)")
            values += [before, before]
        query = f"SELECT {COLUMNS} FROM alerts{_where(conditions)} ORDER BY position DESC LIMIT ?"  # noqa: S608
        rows = self._do(lambda database: database.execute(query, (*values, limit)).fetchall())
        return [_entry(row) for row in rows or ()]

    def entry(self, alert_id: str) -> HistoryEntry | None:
        """Give one entry; None where there is none.

        Raises:
            UnavailableError: the file cannot be read.
        """
        query = f"SELECT {COLUMNS} FROM alerts WHERE id = ?"  # noqa: S608  (constants)
        row = self._do(lambda database: database.execute(query, (alert_id,)).fetchone())
        return _entry(row) if row else None

    def neighbours(self, alert_id: str) -> tuple[str, str]:
        """The ids of the alerts just newer and just older than an entry; empty where there is none.

        Raises:
            UnavailableError: the file cannot be read.
        """
        place = "(SELECT position FROM alerts WHERE id = ?)"
        newer = f"SELECT id FROM alerts WHERE position > {place} ORDER BY position LIMIT 1"  # noqa: S608  (constants)
        older = f"SELECT id FROM alerts WHERE position < {place} ORDER BY position DESC LIMIT 1"  # noqa: S608
        return self._first_id(newer, alert_id), self._first_id(older, alert_id)

    def _first_id(self, query: str, value: str) -> str:
        row = self._do(lambda database: database.execute(query, (value,)).fetchone())
        return str(row[0]) if row else ""

    def unreviewed(self) -> int:
        """How many entries no reviewer has looked at.

        Raises:
            UnavailableError: the file cannot be read.
        """
        row = self._do(lambda database: database.execute("SELECT count(*) FROM alerts WHERE review = ''").fetchone())
        return int(row[0]) if row else 0

    def days(self, *, camera: str = "", label: str = "", last: int = 30, today: date) -> list[DayCount]:
        """Count alerts by day and label over the last so many days, today included; days without any are left out.

        Raises:
            UnavailableError: the file cannot be read.
        """
        conditions, values = _conditions(camera=camera, label=label)
        first = (today - timedelta(days=last - 1)).isoformat()
        where = _where([*conditions, "day BETWEEN ? AND ?"])
        query = f"SELECT day, label, count(*) FROM alerts{where} GROUP BY day, label ORDER BY day, label"  # noqa: S608
        rows = self._do(lambda database: database.execute(query, (*values, first, today.isoformat())).fetchall())
        return [DayCount(*row) for row in rows or ()]

    def people(self, *, camera: str = "", first: date, last: date) -> list[PeopleRow]:
        """The people counted on the days from `first` to `last` of the device's clock; `camera` empty: at all.

        Raises:
            UnavailableError: the file cannot be read.
        """
        begin, end = (datetime(day.year, day.month, day.day).astimezone() for day in (first, last + timedelta(days=1)))
        rows = self._do(lambda database: rows_between(database, begin, end))
        return [row for row in rows or () if camera in ("", row[0])]

    def count(self) -> int:
        """How many entries there are.

        Raises:
            UnavailableError: the file cannot be read.
        """
        row = self._do(lambda database: database.execute("SELECT count(*) FROM alerts").fetchone())
        return int(row[0]) if row else 0

    def is_pending(self, alert_id: str) -> bool:
        """Whether the broker has not acknowledged this alert yet.

        Raises:
            UnavailableError: the file cannot be read.
        """
        return bool(
            self._do(lambda database: database.execute("SELECT 1 FROM outbox WHERE key = ?", (alert_id,)).fetchone())
        )

    def review(self, alert_id: str, review: Review) -> bool:
        """Keep what a reviewer said that an alert really shows; False where there is no such entry.

        Raises:
            UnavailableError: the disk takes nothing.
        """
        return self._change("UPDATE alerts SET review = ? WHERE id = ?", (review, alert_id))

    def remove(self, alert_id: str) -> bool:
        """Forget an alert, also in the bytes of the file; False where there was none. Its crop is another's to remove.

        Raises:
            UnavailableError: the disk takes nothing.
        """
        is_removed = self._change("DELETE FROM alerts WHERE id = ?", (alert_id,))
        # The log of the file still has it.
        self._do(lambda database: database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
        return is_removed

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._disconnect()

    def _change(self, statement: str, values: tuple[Any, ...]) -> bool:
        def work(database: sqlite3.Connection) -> bool:
            with transaction(database):
                return database.execute(statement, values).rowcount > 0

        return bool(self._do(work))

    def _do(self, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
        """Do something with the file; None where it was never begun.

        Raises:
            UnavailableError: it cannot be used.
        """
        with self._lock:
            try:
                if self._database is not None and _inode(self.file) != self._inode:
                    # The agent has set it aside and begun a new one.
                    self._disconnect()
                if self._database is None and not is_begun(self.file):
                    return None
                if self._only_reads and not is_written(self.file):
                    # Opening it for writing would create files beside it that belong to the current user.
                    return self._do_at_rest(work)
                return work(self._connected())
            except sqlite3.OperationalError as error:
                self._disconnect()
                if not self._only_reads:
                    raise self._unavailable(error) from error
                try:
                    return self._do_at_rest(work)
                except sqlite3.DatabaseError:
                    raise self._unavailable(error) from error
            except (sqlite3.DatabaseError, OSError) as error:
                self._disconnect()
                raise self._unavailable(error) from error

    def _connected(self) -> sqlite3.Connection:
        if self._database is None:
            self._inode = _inode(self.file)
            self._database = open_beside(self.file, writes=not self._only_reads)
        return self._database

    def _do_at_rest(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Read a file while no agent runs, which may begin to write at any time: so it is opened anew each time."""
        with closing(open_at_rest(self.file)) as database:
            return work(database)

    def _unavailable(self, error: Exception) -> UnavailableError:
        return UnavailableError(
            f"{self.file}: the history of alerts cannot be used: {error}; it needs a writable folder with free "
            "space: see state_dir"
        )

    def _disconnect(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _inode(file: Path) -> int | None:
    """Which file bears this name; None where there is none."""
    try:
        return file.stat().st_ino
    except OSError:
        return None


def _conditions(**wanted: str | None) -> tuple[list[str], list[str]]:
    """What a query asks of columns: None and, but for the review, an empty text ask nothing."""
    asked = {name: value for name, value in wanted.items() if value or (name == "review" and value is not None)}
    return [f"{name} = ?" for name in asked], [str(value) for value in asked.values()]


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _entry(row: tuple[str, str, str, str | None, str]) -> HistoryEntry:
    message, timeline, later, resolved, review = row
    return HistoryEntry(
        message=json.loads(message),
        resolved=json.loads(resolved) if resolved else None,
        review=next((one for one in REVIEWS if one == review), ""),
        stored_timeline=(timeline, later),
    )
