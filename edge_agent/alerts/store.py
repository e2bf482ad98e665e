"""Alert store: holds the alert history and the messages that no broker has acknowledged yet.

History, outbox and counters share one file, so that an alert costs one transaction and one sync. If the disk accepts no
writes, messages are buffered in memory and still delivered; a damaged file is set aside and its rows are salvaged. The
agent never refuses to start detecting.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections import Counter, deque
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from edge_agent.alerts.database import (
    LOCK_SECONDS,
    OUTBOX_COLUMNS,
    UNREADABLE,
    check_pages,
    identity,
    is_damage,
    is_lock,
    open_database,
    replace_file,
    salvage,
    salvaged,
    transaction,
    unsynced_transaction,
)
from edge_agent.alerts.events import MAX_EVENTS, begin_webhooks, event
from edge_agent.alerts.people import (
    ADD_PEOPLE,
    beginning_of,
    day_of,
    following,
    grouped,
    merged,
    row_of,
    rows_between,
    unsent_periods,
)
from edge_agent.alerts.retention import step_of_clock
from edge_agent.errors import UnavailableError
from edge_agent.host.atomic_files import make_folder
from edge_agent.host.clock import seconds_since_boot
from edge_agent.messages.alert import with_crop_name
from edge_agent.messages.message import ALERTS_AND_RESOLVED, KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from edge_agent.alerts.database import Change, FileIdentity, OutboxRow
    from edge_agent.alerts.people import PeopleRow
    from edge_agent.domain import Person
    from edge_agent.messages.counts import CountedPeriod, PeopleCounts
    from edge_agent.messages.message import Kind, QueuedMessage

Result = TypeVar("Result")

FIRST_TO_GO: tuple[Kind, ...] = ("telemetry", "counts", "resolved", "alert")
"""The order in which kinds are dropped from a full outbox, oldest message first: old telemetry matters least."""
HISTORY = "history"
"""Name under which dropped history entries are counted, besides the kinds of messages."""
MAX_BUFFERED = 1000
"""About 1 MB of alerts in memory; a disk that stays unwritable for that long needs repair."""
MAX_ENTRIES = 100_000
"""Some 200 MB; a device with three thousand alerts a day reaches it within crops.keep_days."""
LOCKED_PAUSE = 6
"""After a lock timeout the file is not tried for this many times the timeout, 30 s: the lock may never be released."""
CHECK_SECONDS = 86_400.0
"""Interval of the integrity check of the history, which also runs after the start; it takes seconds on a full card."""
ROOM_AGAIN_FRACTION = 0.9
"""A full outbox has room again below this fraction of its limits; hysteresis logs one line per outage, not per row."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """One pending message. `waited_seconds` is None if it was stored before the machine started."""

    key: str
    kind: Kind
    message: dict[str, Any]
    waited_seconds: float | None


@dataclass(frozen=True, slots=True)
class _Day:
    """What was counted on a day, YYYY-MM-DD, in the device's time zone."""

    name: str = ""
    alerts: int = 0
    people: tuple[PeopleRow, ...] = ()


class AlertStore:
    """The agent's own connection, the only one that creates and salvages the file and assigns sequence numbers.

    The recorder's thread writes and sweeps, those of the publisher's outbox read and remove; counts, sequence numbers
    and `write_error` are for any thread and touch neither the disk nor its lock.
    """

    def __init__(
        self,
        path: Path,
        *,
        boot_id: str,
        max_messages: int = 20_000,
        max_bytes: int = 50_000_000,
        webhooks: Sequence[str] | None = None,
        lock_seconds: float = LOCK_SECONDS,
    ) -> None:
        """Open or create the store with limits for the number and size of pending messages.

        Events are also kept for each of `webhooks`, by name; None leaves those as they are. `lock_seconds` is the
        timeout for locks of other processes. Never fails: if the disk is unusable, `write_error` gives the reason.
        """
        self.path = path
        self._boot_id = boot_id
        self._max_messages, self._max_bytes = max_messages, max_bytes
        self._webhooks = webhooks
        self._lock_seconds = lock_seconds
        self._locked_until = float("-inf")
        self._lock = threading.Lock()
        # Only this process assigns numbers and positions; the disk stores them for the next one.
        self._sequence_lock = threading.Lock()
        self._sequence: Counter[str] = Counter()
        self._position = 0
        self._rows: Counter[str] = Counter()
        self._bytes = 0
        self._dropped: Counter[str] = Counter()
        self._dropped_unsaved: Counter[str] = Counter()
        self._dropped_since_full = 0
        self._buffered: dict[str, OutboxRow] = {}
        self._buffered_history: deque[Change] = deque()
        self._buffered_people: list[PeopleRow] = []
        self._people: list[PeopleRow] = []
        """Since the start, all hours combined."""
        self._buffered_alerts: Counter[str] = Counter()
        """By day."""
        self._today = _Day()
        self._last_sweep: tuple[float, datetime] | None = None
        self._checked_at = float("-inf")
        self.write_error = ""
        """Why messages are buffered in memory only; empty if they are not."""
        self.damage = ""
        """The damage found since the start, and where the damaged file was set aside; empty if none."""
        self.is_closed = False
        self._database: sqlite3.Connection | None = None
        self._identity: FileIdentity = None, None
        with self._lock:
            self._try_disk(lambda _database: None)

    def last_sequences(self) -> dict[str, int]:
        """The sequence number of the last message of each kind since boot; kinds without messages are omitted."""
        return {kind: self._sequence[kind] for kind in KINDS if self._sequence[kind]}

    def next_sequence(self, kind: Kind) -> int:
        """Assign the next sequence number of a kind; for any thread, never waits for the disk."""
        with self._sequence_lock:
            self._sequence[kind] += 1
            return self._sequence[kind]

    def put(self, message: QueuedMessage, *history: Change, since: float | None = None) -> None:
        """Store a message with its `next_sequence`, and changes of the history, in one transaction.

        It has been waiting since `since`, in `seconds_since_boot`, or from now on. Durable when this returns, unless
        there is `write_error`.
        """
        crop = getattr(message, "crop", None)
        content = message.as_json()
        text = json.dumps(content)
        with self._lock:
            self._position += 1
            self._buffered[message.id] = (
                self._position,
                message.kind,
                message.id,
                self._boot_id,
                seconds_since_boot() if since is None else since,
                crop.file if crop else None,
                text,
            )
            self._buffered_history += history
            if self._webhooks and message.kind in ALERTS_AND_RESOLVED:
                self._buffered_history.append(event(message.kind, message.id, json.dumps(with_crop_name(content))))
            self._go_on_numbering([(message.kind, message.sequence)])
            self._rows[message.kind] += 1
            self._bytes += len(text)
            if message.kind == "alert":
                self._follow_day(message.when)
                self._buffered_alerts[self._today.name] += 1
                self._today = replace(self._today, alerts=self._today.alerts + 1)
            self._write_buffered()

    def put_event(self, kind: str, id: str, message: str) -> None:  # noqa: A002  (the word of the contract)
        """Store a message, JSON text, for the webhooks only. Durable as with `put`."""
        if self._webhooks:
            self.change_history(event(kind, id, message))

    def change_history(self, change: Change) -> None:
        """Store a change that comes with no message. Durable as with `put`."""
        with self._lock:
            self._buffered_history.append(change)
            self._write_buffered()

    def count_person(self, person: Person) -> None:
        """Count a person who has left. Durable when this returns, unless there is a write error."""
        with self._lock:
            self._follow_day(person.when)
            row = row_of(person)
            self._buffered_people = merged([*self._buffered_people, row])
            self._people = merged([*self._people, (row[0], 0, *row[2:])])
            self._today = replace(self._today, people=tuple(merged([*self._today.people, row])))
            self._write_buffered()

    def follow_clock(self, *, now: datetime) -> None:
        """Give `people_today` and `alerts_today` the figures of the day of `now`."""
        with self._lock:
            self._follow_day(now)

    def people(self) -> dict[str, PeopleCounts]:
        """Counts of people who have left since this store was opened, by camera."""
        return grouped(self._people, "camera")

    def people_today(self, *, when: datetime) -> dict[str, PeopleCounts]:
        """Counts of people who have left since midnight in the device's time zone, by camera; across restarts."""
        return grouped(self._figures_of(when).people, "camera")

    def unsent_counts(self, *, cameras: Sequence[str], since: datetime | None, now: datetime) -> list[CountedPeriod]:
        """The completed hours and days not in the outbox yet; none while the disk cannot be read."""
        with self._lock:
            found = self._try_disk(lambda database: unsent_periods(database, cameras=cameras, since=since, now=now))
        return found or []

    def write_buffered(self) -> None:
        """Retry writing what is buffered in memory, and check that the file still exists."""
        with self._lock:
            if self._is_buffering:
                self._write_buffered()
            else:
                self._try_disk(lambda _database: None)

    def waiting(self, limit: int, *, after: int = 0, kinds: Iterable[Kind] = KINDS) -> list[Row]:
        """Return the oldest messages of these kinds with a position beyond `after`."""
        wanted = tuple(kinds)
        query = (
            f"SELECT {OUTBOX_COLUMNS} FROM outbox WHERE position > ? AND kind IN ({', '.join('?' * len(wanted))}) "  # noqa: S608
            "ORDER BY position LIMIT ?"
        )
        with self._lock:
            rows = self._try_disk(lambda database: database.execute(query, (after, *wanted, limit)).fetchall()) or []
            rows += [row for row in self._buffered.values() if row[0] > after and row[1] in wanted]
        return [self._as_row(row) for row in sorted(rows)[:limit]]

    def remove(self, *keys: str) -> None:
        """Remove acknowledged messages by the keys of their rows.

        Not synced to disk: after a power loss they may be sent again.

        Raises:
            UnavailableError: the disk is full or read-only; messages on it remain pending.
        """
        with self._lock:
            buffered = [self._buffered.pop(key) for key in keys if key in self._buffered]
            for row in buffered:
                self._count_out(row[1], len(row[-1]))
            if len(buffered) < len(keys):
                removed = self._try_disk(lambda database: _delete(database, keys))
                if removed is None:
                    raise UnavailableError(self.write_error)
                for kind, size_bytes in removed:
                    self._count_out(kind, size_bytes)
                if removed and not self._is_buffering:
                    self._note_write_error("")
            self._note_room()

    def purge(self, *kinds: Kind) -> int:
        """Delete all messages of these kinds and return their number; not counted as dropped.

        Raises:
            UnavailableError: the disk is full or read-only.
        """
        keys = [row.key for row in self.waiting(self._max_messages + MAX_BUFFERED, kinds=kinds)]
        self.remove(*keys)
        return len(keys)

    def last_position(self) -> int:
        """The position of the newest message; later messages get higher positions."""
        return self._position

    def count(self, *kinds: Kind) -> int:
        """Number of pending messages of these kinds, or of all."""
        return sum(self._rows[kind] for kind in kinds or KINDS)

    def size_bytes(self) -> int:
        """Total size of the pending messages."""
        return self._bytes

    def dropped(self) -> dict[str, int]:
        """Number of messages of each kind, and history changes, dropped because of a limit so far."""
        return {name: self._dropped[name] for name in (*KINDS, HISTORY)}

    def alerts_today(self, *, when: datetime) -> int:
        """Number of alerts since midnight in the device's time zone; across restarts."""
        return self._figures_of(when).alerts

    def crops_of_waiting(self) -> set[str]:
        """Names (without folder) of the crops that pending messages refer to.

        Raises:
            UnavailableError: the disk cannot be read.
        """
        query = "SELECT crop_file FROM outbox WHERE crop_file IS NOT NULL"
        with self._lock:
            rows = self._try_disk(lambda database: database.execute(query).fetchall())
            if rows is None:
                raise UnavailableError(self.write_error)
            files = [file for (file,) in rows] + [row[5] for row in self._buffered.values() if row[5]]
        return {Path(file).name for file in files}

    def sweep(self, *, at: float, now: datetime, keep_days: float, counts_before: datetime | None = None) -> int:
        """Remove history entries that are too old or too many, and return their number; check for damage.

        `at`: seconds since boot, including suspend. Setting the clock makes none older. Counts from before
        `counts_before` are removed, too. If the disk cannot be written, nothing is removed until the next sweep.
        """

        def swept(database: sqlite3.Connection) -> int:
            if at - self._checked_at >= CHECK_SECONDS:
                check_pages(database, "alerts")
                self._checked_at = at
            step = step_of_clock(now, at=at, last=self._last_sweep, recorded=lambda: _recorded_sweep(database))
            oldest = (now - timedelta(days=keep_days)).timestamp()
            with transaction(database):
                if step:
                    database.execute("UPDATE alerts SET kept_when = kept_when + ?", (step.total_seconds(),))
                removed = database.execute("DELETE FROM alerts WHERE kept_when < ?", (oldest,)).rowcount
                (count,) = database.execute("SELECT count(*) FROM alerts").fetchone()
                surplus = "SELECT position FROM alerts ORDER BY position LIMIT ?"
                removed += database.execute(
                    f"DELETE FROM alerts WHERE position IN ({surplus})",  # noqa: S608  (a constant)
                    (max(0, count - MAX_ENTRIES),),
                ).rowcount
                if counts_before is not None:
                    database.execute("DELETE FROM people WHERE hour < ?", (counts_before.timestamp(),))
                    database.execute("DELETE FROM alerts_of_day WHERE day < ?", (day_of(counts_before),))
                database.execute(
                    "DELETE FROM events WHERE position <= (SELECT max(position) FROM events) - ?", (MAX_EVENTS,)
                )
                database.execute("INSERT OR REPLACE INTO last_sweep VALUES (1, ?)", (now.timestamp(),))
            # Deleted data must not remain in the log.
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._last_sweep = (at, now)
            return removed

        with self._lock:
            return self._try_disk(swept) or 0

    def close(self) -> None:
        """Close the file; messages that could not be written are lost and logged."""
        with self._lock:
            if self._is_buffering:
                # A last attempt, even during the pause after a lock timeout.
                self._locked_until = float("-inf")
                self._write_buffered()
            if self._is_buffering:
                log.error(
                    "%d messages and %d changes of the history that were buffered in memory are lost: %s",
                    len(self._buffered),
                    len(self._buffered_history),
                    self.write_error,
                )
            self._close_file()
            # A thread that a slow disk delays must not open it again, beside the next store: both would assign the same
            # numbers and positions.
            self.is_closed = True

    @property
    def _is_buffering(self) -> bool:
        return bool(self._buffered or self._buffered_history or self._buffered_people)

    def _figures_of(self, when: datetime) -> _Day:
        today = self._today
        return today if today.name == day_of(when) else _Day()

    def _follow_day(self, when: datetime) -> None:
        """Read what was counted on this day, if it is another one: the clock may have been set to any day."""
        if self._today.name != day_of(when):
            self._today = self._try_disk(lambda database: self._read_day(database, when)) or _Day(day_of(when))

    def _read_day(self, database: sqlite3.Connection, when: datetime) -> _Day:
        name, begin = day_of(when), beginning_of("day", when)
        end = following("day", begin)
        (alerts,) = database.execute(
            "SELECT coalesce(sum(alerts), 0) FROM alerts_of_day WHERE day = ?", (name,)
        ).fetchone()
        unsaved = [row for row in self._buffered_people if begin.timestamp() <= row[1] < end.timestamp()]
        people = merged([*rows_between(database, begin, end), *unsaved])
        return _Day(name, alerts + self._buffered_alerts[name], tuple(people))

    def _write_buffered(self) -> None:
        """Write buffered changes to disk in order, or drop those beyond the memory limit."""
        dropped = self._try_disk(self._insert)
        if dropped is not None:
            self._note_write_error("")
            self._buffered.clear()
            self._buffered_history.clear()
            self._buffered_people = []
            self._buffered_alerts.clear()
            self._dropped_unsaved.clear()
        else:
            dropped = self._make_room_in_memory()
        for kind, size_bytes in dropped:
            if kind != HISTORY:
                self._count_out(kind, size_bytes)
        self._note_drops(Counter(kind for kind, _ in dropped))

    def _insert(self, database: sqlite3.Connection) -> list[tuple[str, int]]:
        columns = ", ".join("?" * 7)
        insert = f"INSERT INTO outbox ({OUTBOX_COLUMNS}) VALUES ({columns}) ON CONFLICT (key) DO NOTHING"  # noqa: S608
        with transaction(database):
            for statement, values in self._buffered_history:
                database.execute(statement, values)
            database.executemany(ADD_PEOPLE, self._buffered_people)
            database.executemany(insert, self._buffered.values())
            # Numbers of earlier boots are not needed any more.
            database.execute("DELETE FROM last_sequence WHERE boot_id != ?", (self._boot_id,))
            database.executemany(
                "INSERT OR REPLACE INTO last_sequence VALUES (?, ?, ?)",
                [(self._boot_id, kind, sequence) for kind, sequence in self._numbers_given()],
            )
            database.executemany(
                "INSERT INTO alerts_of_day VALUES (?, ?) ON CONFLICT DO UPDATE SET alerts = alerts + excluded.alerts",
                self._buffered_alerts.items(),
            )
            dropped = self._make_room_on_disk(database)
            counts = Counter(kind for kind, _ in dropped) + self._dropped_unsaved
            for kind, messages in counts.items():
                database.execute(
                    "INSERT INTO dropped VALUES (?, ?) ON CONFLICT (kind) DO UPDATE SET messages = messages + ?",
                    (kind, messages, messages),
                )
        return dropped

    def _make_room_on_disk(self, database: sqlite3.Connection) -> list[tuple[str, int]]:
        rows, size_bytes = sum(self._rows.values()), self._bytes
        dropped: list[tuple[str, int]] = []
        oldest = "SELECT key, length(CAST(message AS BLOB)) FROM outbox WHERE kind = ? ORDER BY position LIMIT 1"
        for kind in FIRST_TO_GO:
            while rows > self._max_messages or size_bytes > self._max_bytes:
                found = database.execute(oldest, (kind,)).fetchone()
                if found is None:
                    break
                database.execute("DELETE FROM outbox WHERE key = ?", (found[0],))
                dropped.append((kind, found[1]))
                rows, size_bytes = rows - 1, size_bytes - found[1]
        return dropped

    def _make_room_in_memory(self) -> list[tuple[str, int]]:
        dropped: list[tuple[str, int]] = []
        for kind in FIRST_TO_GO:
            of_kind = [key for key, row in self._buffered.items() if row[1] == kind]
            for key in of_kind[: max(0, len(self._buffered) - MAX_BUFFERED)]:
                dropped += [(kind, len(self._buffered.pop(key)[-1]))]
        while len(self._buffered_history) > MAX_BUFFERED:
            self._buffered_history.popleft()
            dropped.append((HISTORY, 0))
        self._dropped_unsaved.update(kind for kind, _ in dropped)
        return dropped

    def _try_disk(self, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
        """Run a function on the database; None if that is impossible now, and `write_error` gives the reason.

        Only a successful write clears it: reading works on a full disk, too. After a lock timeout the file is
        not tried for a while: delivery and recording must not wait for it repeatedly.
        """
        if self.is_closed or time.monotonic() < self._locked_until:
            return None
        try:
            try:
                return self._do(work)
            except UNREADABLE as error:
                if not is_damage(error):
                    raise
                self._close_file()
                self._restore(f"damaged ({error})")
                return self._do(work)
        except (*UNREADABLE, OSError) as error:
            if is_lock(error):
                self._locked_until = time.monotonic() + LOCKED_PAUSE * self._lock_seconds
            self._note_write_error(_reason(error))
            return None

    def _do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        if self._database is not None and identity(self.path) != self._identity:
            self._restore("deleted or replaced while the agent was running")
        if self._database is None:
            self._database = self._open()
            self._identity = identity(self.path)
        return work(self._database)

    def _open(self) -> sqlite3.Connection:
        make_folder(self.path.parent)
        if salvaged(self.path).exists():
            self._replace_file("damaged; a power loss or kill interrupted its repair")
        database = open_database(self.path, lock_seconds=self._lock_seconds)
        try:
            if self._webhooks is not None:
                with transaction(database):
                    begin_webhooks(database, self._webhooks)
            self._read_figures(database)
        except BaseException:
            database.close()
            raise
        return database

    def _read_figures(self, database: sqlite3.Connection) -> None:
        counts = database.execute("SELECT kind, count(*), sum(length(CAST(message AS BLOB))) FROM outbox GROUP BY kind")
        self._rows = Counter(row[1] for row in self._buffered.values())
        self._bytes = sum(len(row[-1]) for row in self._buffered.values())
        for kind, rows, size_bytes in counts.fetchall():
            self._rows[kind] += rows
            self._bytes += size_bytes
        (last,) = database.execute("SELECT coalesce(max(position), 0) FROM outbox").fetchone()
        known = database.execute("SELECT kind, sequence FROM last_sequence WHERE boot_id = ?", (self._boot_id,))
        self._go_on_numbering(known.fetchall())
        if self._buffered and last >= min(row[0] for row in self._buffered.values()):
            # Buffered in memory while the disk was unavailable: rows on disk are older.
            self._buffered = {key: (row[0] + last, *row[1:]) for key, row in self._buffered.items()}
            self._position += last
        self._position = max(self._position, last)
        dropped = Counter(dict(database.execute("SELECT kind, messages FROM dropped").fetchall()))
        self._dropped |= dropped + self._dropped_unsaved
        self._today = self._read_day(database, datetime.now(timezone.utc))

    def _go_on_numbering(self, sequences: Iterable[tuple[str, int]]) -> None:
        """Assign no number again, in this process or after an earlier one."""
        with self._sequence_lock:
            for kind, sequence in sequences:
                self._sequence[kind] = max(self._sequence[kind], sequence)

    def _numbers_given(self) -> list[tuple[str, int]]:
        with self._sequence_lock:
            return list(self._sequence.items())

    def _restore(self, finding: str) -> None:
        """Replace a damaged or missing file by a new one with the readable rows of the file, or of the open database.

        Raises:
            sqlite3.DatabaseError, OSError: the disk cannot be written; the old data is kept until it can.
        """
        make_folder(self.path.parent)
        if self._database is None:
            with closing(sqlite3.connect(self.path, timeout=self._lock_seconds)) as damaged:
                salvage(damaged, self.path)
        else:
            salvage(self._database, self.path)
            self._close_file()
        self._replace_file(finding)

    def _replace_file(self, finding: str) -> None:
        with closing(sqlite3.connect(salvaged(self.path))) as whole:
            count = "SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM alerts)"
            messages, alerts = whole.execute(count).fetchone()
        aside = replace_file(self.path)
        others = f"; 'sqlite3 {aside} .recover' may find others" if aside else ""
        self.damage = (
            f"{self.path}: the alert store was {finding} and replaced by a new one; {messages} pending messages and "
            f"{alerts} alerts of the history were salvaged{others}"
        )
        log.error("%s", self.damage)

    def _close_file(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _note_write_error(self, reason: str) -> None:
        write_error = reason and (
            f"{self.path}: the alert store cannot be used: {reason}; messages are buffered in memory only; check "
            "that state_dir is writable and has free space"
        )
        if write_error and not self.write_error:
            log.error("%s", write_error)
        elif self.write_error and not write_error:
            log.info("%s: writing to the alert store works again", self.path)
        self.write_error = write_error

    def _note_drops(self, dropped: Counter[str]) -> None:
        if not dropped:
            return
        if not self._dropped_since_full:
            log.warning(
                "%s: the outbox is full (%d messages, %d bytes): the oldest are dropped, %s first; check "
                "whether the broker accepts messages, or raise outbox.max_messages and outbox.max_bytes",
                self.path,
                self.count(),
                self._bytes,
                FIRST_TO_GO[0],
            )
        self._dropped += dropped
        self._dropped_since_full += sum(dropped.values())

    def _note_room(self) -> None:
        is_roomy = (
            self.count() < ROOM_AGAIN_FRACTION * self._max_messages
            and self._bytes < ROOM_AGAIN_FRACTION * self._max_bytes
        )
        if self._dropped_since_full and is_roomy:
            log.warning("%s: the outbox has room again; %d messages were dropped", self.path, self._dropped_since_full)
            self._dropped_since_full = 0

    def _count_out(self, kind: str, size_bytes: int) -> None:
        self._rows[kind] -= 1
        self._bytes -= size_bytes

    def _as_row(self, stored: OutboxRow) -> Row:
        _, kind, key, boot_id, put_at, _, message = stored
        waited_seconds = seconds_since_boot() - put_at if boot_id == self._boot_id else None
        return Row(key, cast("Kind", kind), json.loads(message), waited_seconds)


def _delete(database: sqlite3.Connection, keys: Iterable[str]) -> list[tuple[str, int]]:
    """Delete rows and return kind and size of those that existed."""
    deleted: list[tuple[str, int]] = []
    with unsynced_transaction(database):
        for key in keys:
            found = database.execute("SELECT kind, length(CAST(message AS BLOB)) FROM outbox WHERE key = ?", (key,))
            deleted += found.fetchall()
            database.execute("DELETE FROM outbox WHERE key = ?", (key,))
    return deleted


def _recorded_sweep(database: sqlite3.Connection) -> datetime | None:
    row = database.execute("SELECT swept_when FROM last_sweep").fetchone()
    return datetime.fromtimestamp(row[0], timezone.utc) if row else None


def _reason(error: Exception) -> str:
    if is_lock(error):
        return f"{error}: another program holds its lock, or a network share has none; choose a local disk (state_dir)"
    return str(error.strerror) if isinstance(error, OSError) else str(error)
