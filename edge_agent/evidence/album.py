"""Album: which alerts were there, and what is known of each?

Kept beside the outbox and longer: what led to an alert, how it ended, and what a person said that it really shows. It
never holds an alert up: what the disk does not take waits in memory, and a damaged file is set aside.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args

from edge_agent.durable import make_folder
from edge_agent.errors import UnavailableError
from edge_agent.evidence.album_file import (
    COLUMNS,
    course_text,
    is_begun,
    open_file,
    open_to_read,
    points_text,
    read_course,
)
from edge_agent.evidence.retention import step_of_clock
from edge_agent.sqlite_file import is_damage, set_aside, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from edge_agent.evidence.album_file import StoredEntry
    from edge_agent.evidence.course import Course, CoursePoint

Result = TypeVar("Result")

Truth: TypeAlias = Literal["", "with_mask", "without_mask", "mask_worn_incorrectly", "no_face"]
"""What a person said that the picture of an alert really shows; empty: nobody has said."""

TRUTHS: tuple[Truth, ...] = get_args(Truth)
MOST_ENTRIES = 100_000
"""Some 200 MB; a device that alerts three thousand times a day reaches it within evidence.keep_days."""
LOCK_SECONDS = 5.0
"""A person who waits for an answer has that patience; the agent's thread has not, and need not wait."""
MOST_HELD = 1000
"""A few MB in memory; a disk that takes nothing for so many alerts is somebody's to mend."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AlbumEntry:
    """One alert. `message` is the alert as it was published, `ended` the message of its end, None while it lasts."""

    message: Mapping[str, Any]
    ended: Mapping[str, Any] | None
    truth: Truth
    stored_course: tuple[str, str] = field(repr=False)
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
        return _when(self.message)

    @property
    def course(self) -> tuple[CoursePoint, ...]:
        """What led to it, and what came after it until its end."""
        return self._course().points

    @property
    def violation_nats(self) -> float:
        """Evidence from which on a person was a violation."""
        return self._course().violation_nats

    @property
    def compliant_nats(self) -> float:
        """Evidence, negative, down from which a person was compliant."""
        return self._course().compliant_nats

    @property
    def face_in_crop(self) -> tuple[int, int, int, int]:
        """Where the face lies in the picture that was kept, in its pixels as x1, y1, x2, y2."""
        return self._course().face_in_crop

    @property
    def day(self) -> str:
        """The day of the alert, YYYY-MM-DD, as the clock on the device's wall has it."""
        return self.when.astimezone().date().isoformat()

    @property
    def is_false_alarm(self) -> bool:
        """Whether a person said that it shows something else."""
        return self.truth not in ("", self.label)

    def _course(self) -> Course:
        return read_course(*self.stored_course)


@dataclass(frozen=True, slots=True)
class DayCount:
    """How many alerts with a label a day had; `day` is YYYY-MM-DD as the clock on the device's wall has it."""

    day: str
    label: str
    count: int


class Album:
    """The alerts of one device. For any thread, one at a time; whoever must not wait for another opens its own."""

    def __init__(
        self, file: Path, *, keep_days: float, only_reads: bool = False, lock_seconds: float = LOCK_SECONDS
    ) -> None:
        """Name the file, which need not be there. Opened at first use, so this never fails.

        Entries older than `keep_days` go at a sweep. `only_reads`: begin nothing, change nothing, set nothing aside.
        Whoever else writes at that moment is waited for up to `lock_seconds`.
        """
        self.file = file
        self._keep_days, self._only_reads, self._lock_seconds = keep_days, only_reads, lock_seconds
        self._lock = threading.Lock()
        self._held: deque[tuple[str, tuple[Any, ...]]] = deque(maxlen=MOST_HELD)
        self._trouble, self._is_stuck = "", False
        self._last_sweep: tuple[float, datetime] | None = None
        self._database: sqlite3.Connection | None = None
        self._inode: int | None = None

    def put(self, message: Mapping[str, Any], course: Course, *, now: datetime) -> None:
        """Keep an alert, numbered as the outbox has it. Never fails: where the disk takes nothing, memory keeps it."""
        when = _when(message)
        columns = "id, camera, label, day, kept_when, message, course"
        values = (message["id"], message["camera"], message["label"], when.astimezone().date().isoformat(),
                  now.timestamp(), json.dumps(message), course_text(course))  # fmt: skip
        # A second time it is the same alert.
        self._hold(f"INSERT OR IGNORE INTO alerts ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608

    def end(self, alert_id: str, message: Mapping[str, Any], later: Iterable[CoursePoint] = ()) -> None:
        """Keep how an alert ended, and what was read since. Never fails, like `put`."""
        values = (json.dumps(message), points_text(later), alert_id)
        self._hold("UPDATE alerts SET ended = ?, later = ? WHERE id = ?", values)

    def keep_held(self) -> None:
        """Try again to bring to the disk what it has not taken; does nothing where nothing is held."""
        with self._lock:
            if self._held:
                self._keep_held()

    def sweep(self, *, at: float, now: datetime) -> int:
        """Remove entries that are too old or too many, and give how many; a clock that was set makes none older.

        Where the disk does not let us, nothing goes until the next sweep.
        """
        with self._lock:
            return self._try_disk(lambda database: self._sweep(database, at=at, now=now)) or 0

    def find(
        self,
        *,
        camera: str = "",
        label: str = "",
        day: str = "",
        truth: Truth | None = None,
        before: str = "",
        limit: int = 50,
    ) -> list[AlbumEntry]:
        """Find entries, newest first; those after the entry `before` (an id) where one is given.

        `truth`: None for all of them, empty for those that nobody has judged.

        Raises:
            UnavailableError: the file cannot be read.
        """
        conditions, values = _conditions(camera=camera, label=label, day=day, truth=truth)
        if before:
            # One that is gone by now had its place among the ids, which sort by time.
            place = "SELECT position FROM alerts WHERE id = ?", "SELECT max(position) + 1 FROM alerts WHERE id < ?"
            conditions.append(f"position < coalesce(({place[0]}), ({place[1]}), 0)")
            values += [before, before]
        query = f"SELECT {COLUMNS} FROM alerts{_where(conditions)} ORDER BY position DESC LIMIT ?"  # noqa: S608
        rows = self._read(lambda database: database.execute(query, (*values, limit)).fetchall())
        return [_entry(row) for row in rows or ()]

    def entry(self, alert_id: str) -> AlbumEntry | None:
        """Give one entry; None where there is none.

        Raises:
            UnavailableError: the file cannot be read.
        """
        query = f"SELECT {COLUMNS} FROM alerts WHERE id = ?"  # noqa: S608  (constants)
        row = self._read(lambda database: database.execute(query, (alert_id,)).fetchone())
        return _entry(row) if row else None

    def days(self, *, camera: str = "", label: str = "", last: int = 30, today: date) -> list[DayCount]:
        """Count alerts by day and label over the last so many days, today included; days without any are left out.

        Raises:
            UnavailableError: the file cannot be read.
        """
        conditions, values = _conditions(camera=camera, label=label)
        first = (today - timedelta(days=last - 1)).isoformat()
        where = _where([*conditions, "day BETWEEN ? AND ?"])
        query = f"SELECT day, label, count(*) FROM alerts{where} GROUP BY day, label ORDER BY day, label"  # noqa: S608
        rows = self._read(lambda database: database.execute(query, (*values, first, today.isoformat())).fetchall())
        return [DayCount(*row) for row in rows or ()]

    def count(self) -> int:
        """How many entries there are.

        Raises:
            UnavailableError: the file cannot be read.
        """
        row = self._read(lambda database: database.execute("SELECT count(*) FROM alerts").fetchone())
        return int(row[0]) if row else 0

    def say_truth(self, alert_id: str, truth: Truth) -> bool:
        """Keep what a person said that an alert really shows; False where there is no such entry.

        Raises:
            UnavailableError: the disk takes nothing.
        """
        return self._change("UPDATE alerts SET truth = ? WHERE id = ?", (truth, alert_id)) > 0

    def remove(self, alert_id: str) -> bool:
        """Forget an alert, also in the bytes of the file; False where there was none. Its crop is another's to remove.

        Raises:
            UnavailableError: the disk takes nothing.
        """
        is_removed = self._change("DELETE FROM alerts WHERE id = ?", (alert_id,)) > 0
        with self._lock:
            # The log of the file still has it.
            self._try_disk(lambda database: database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
        return is_removed

    def close(self) -> None:
        """Close the file; what could never be brought to the disk is lost and said."""
        with self._lock:
            if self._held:
                self._keep_held()
            if self._held:
                log.warning("%s: %d changes are lost: %s", self.file, len(self._held), self._trouble)
            self._disconnect()

    def _hold(self, statement: str, values: tuple[Any, ...]) -> None:
        with self._lock:
            self._held.append((statement, values))
            self._keep_held()

    def _keep_held(self) -> None:
        """In order: an end changes an alert that was put before it."""
        is_kept = self._try_disk(lambda database: _write(database, self._held)) is not None
        if is_kept:
            self._held.clear()
        if self._is_stuck and is_kept:
            log.info("%s: the album takes alerts again", self.file)
        elif not self._is_stuck and not is_kept:
            log.error("%s; alerts are sent all the same", self._trouble)
        self._is_stuck = not is_kept

    def _change(self, statement: str, values: tuple[Any, ...]) -> int:
        with self._lock:
            changed = self._try_disk(lambda database: _write(database, [(statement, values)]))
            if changed is None:
                raise UnavailableError(self._trouble)
            return changed

    def _read(self, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
        """Read something; None where the file was never begun and is only to be read."""
        with self._lock:
            if self._only_reads and self._database is None and not is_begun(self.file):
                return None
            found = self._try_disk(lambda database: (work(database),))
            if found is None:
                raise UnavailableError(self._trouble)
            return found[0]

    def _sweep(self, database: sqlite3.Connection, *, at: float, now: datetime) -> int:
        last, elapsed = self._last_swept(database, at=at)
        step = step_of_clock(now, last=last, elapsed=elapsed) if last is not None else timedelta()
        oldest = (now - timedelta(days=self._keep_days)).timestamp()
        with transaction(database):
            if step:
                database.execute("UPDATE alerts SET kept_when = kept_when + ?", (step.total_seconds(),))
            removed = database.execute("DELETE FROM alerts WHERE kept_when < ?", (oldest,)).rowcount
            (count,) = database.execute("SELECT count(*) FROM alerts").fetchone()
            surplus = "SELECT position FROM alerts ORDER BY position LIMIT ?"
            removed += database.execute(
                f"DELETE FROM alerts WHERE position IN ({surplus})",  # noqa: S608  (a constant)
                (max(0, count - MOST_ENTRIES),),
            ).rowcount
            database.execute("INSERT OR REPLACE INTO last_sweep VALUES (1, ?)", (now.timestamp(),))
        self._last_sweep = (at, now)
        return removed

    def _last_swept(self, database: sqlite3.Connection, *, at: float) -> tuple[datetime | None, timedelta | None]:
        """When it was swept last by the clock, and what passed since where this process measured it."""
        if self._last_sweep is not None:
            last_at, last_now = self._last_sweep
            return last_now, timedelta(seconds=at - last_at)
        row = database.execute("SELECT swept_when FROM last_sweep").fetchone()
        return (datetime.fromtimestamp(row[0], timezone.utc) if row else None), None

    def _try_disk(self, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
        """Do something with the file; None where that is not possible for now, and the trouble says why."""
        for _ in range(2):
            try:
                return work(self._connected())
            except (sqlite3.DatabaseError, OSError) as error:
                reason = str(error.strerror) if isinstance(error, OSError) else str(error)
                self._disconnect()
                if self._only_reads or not is_damage(error):
                    self._note_trouble(reason)
                    return None
                self._set_aside(reason)
        self._note_trouble("damaged, and again or still so when it was begun anew: the disk is failing")
        return None

    def _connected(self) -> sqlite3.Connection:
        if self._database is not None and self._is_another_file():
            # Another thread or process has set it aside and begun a new one.
            self._disconnect()
        if self._database is None:
            if not self._only_reads:
                make_folder(self.file.parent)
            self._inode = _inode(self.file)
            opener = open_to_read if self._only_reads else open_file
            self._database = opener(self.file, lock_seconds=self._lock_seconds)
            self._inode = _inode(self.file)
        return self._database

    def _is_another_file(self) -> bool:
        return _inode(self.file) != self._inode

    def _disconnect(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _set_aside(self, finding: str) -> None:
        if self._is_another_file():
            # Somebody else has been quicker.
            return
        try:
            aside = set_aside(self.file, when=datetime.now(timezone.utc))
        except OSError:
            return
        log.error(
            "%s: the album was damaged (%s) and a new one is begun; 'sqlite3 %s .recover' may still read the old one",
            self.file,
            finding,
            aside,
        )

    def _note_trouble(self, reason: str) -> None:
        self._trouble = (
            f"{self.file}: the album of alerts cannot be used: {reason}; it needs a writable folder with free space: "
            "see state_folder"
        )


def _write(database: sqlite3.Connection, statements: Iterable[tuple[str, Sequence[Any]]]) -> int:
    """Do all of them or none, and give how many rows they changed."""
    with transaction(database):
        return sum(database.execute(statement, values).rowcount for statement, values in statements)


def _inode(file: Path) -> int | None:
    """Which file bears this name; None where there is none."""
    try:
        return file.stat().st_ino
    except OSError:
        return None


def _conditions(**wanted: str | None) -> tuple[list[str], list[str]]:
    """What a query asks of columns: None and, but for the truth, an empty text ask nothing."""
    asked = {name: value for name, value in wanted.items() if value or (name == "truth" and value is not None)}
    return [f"{name} = ?" for name in asked], [str(value) for value in asked.values()]


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _when(message: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(str(message["when"]).replace("Z", "+00:00"))


def _entry(row: StoredEntry) -> AlbumEntry:
    message, course, later, ended, truth = row
    return AlbumEntry(
        message=json.loads(message),
        ended=json.loads(ended) if ended else None,
        truth=next((one for one in TRUTHS if one == truth), ""),
        stored_course=(course, later),
    )
