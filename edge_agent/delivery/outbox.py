"""The outbox: which alerts has no broker acknowledged yet?

SQLite with synchronous=FULL: what `put` returned for survives the loss of power.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edge_agent.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Result = TypeVar("Result")

# Kept in the file's header (PRAGMA user_version). A file of another layout is set aside like a damaged one.
LAYOUT = 1
# Another process (a person with sqlite3) may hold the lock for a moment.
LOCK_SECONDS = 5.0

TABLES = """
CREATE TABLE alerts (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    crop_file TEXT,
    message TEXT NOT NULL
);
CREATE TABLE last_sequence (
    boot_id TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL
);
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """One alert that waits; `message` lacks only `historical`."""

    id: str
    message: dict[str, Any]


class Outbox:
    """Alerts that wait on disk. For any thread: the agent's puts, the publisher's takes out."""

    def __init__(self, path: Path, *, boot_id: str) -> None:
        """Open the outbox, or begin one; a damaged file is set aside, so that the agent goes on watching.

        Raises:
            UnavailableError: it can be neither opened nor begun (read-only or full disk).
        """
        self.path = path
        self._boot_id = boot_id
        self._lock = threading.Lock()
        # Survives here when a damaged file is set aside, so that numbers do not repeat within this process.
        self._sequence = 0
        self._count = 0
        self._database = self._open()

    def put(self, message: dict[str, Any]) -> dict[str, Any]:
        """Number a message and keep it; durable when this returns the message with its `sequence`.

        One that already waits (same `id`) is given back as it is: whoever is not sure may put again.

        Raises:
            UnavailableError: the disk is full or read-only; nothing was kept.
        """
        return self._run(lambda database: self._put(database, message))

    def waiting(self, limit: int) -> list[Row]:
        """Look at the oldest messages."""
        query = "SELECT id, message FROM alerts ORDER BY position LIMIT ?"
        rows = self._run(lambda database: database.execute(query, (limit,)).fetchall())
        return [Row(row_id, json.loads(message)) for row_id, message in rows]

    def remove(self, *ids: str) -> None:
        """Forget messages that the broker has acknowledged."""
        self._run(lambda database: self._remove(database, ids))

    def count(self) -> int:
        """How many messages wait; does not touch the disk."""
        return self._count

    def owed_crops(self) -> set[str]:
        """Names (without folder) of the crops that waiting messages refer to."""
        query = "SELECT crop_file FROM alerts WHERE crop_file IS NOT NULL"
        rows = self._run(lambda database: database.execute(query).fetchall())
        return {Path(file).name for (file,) in rows}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _put(self, database: sqlite3.Connection, message: dict[str, Any]) -> dict[str, Any]:
        with _transaction(database):
            waits = database.execute("SELECT message FROM alerts WHERE id = ?", (message["id"],)).fetchone()
            if waits is not None:
                return dict(json.loads(waits[0]))
            known = database.execute(
                "SELECT sequence FROM last_sequence WHERE boot_id = ?", (self._boot_id,)
            ).fetchone()
            sequence = max(known[0] if known else 0, self._sequence) + 1
            numbered = {**message, "sequence": sequence}
            if known is None:
                # Earlier boots never come back.
                database.execute("DELETE FROM last_sequence")
            database.execute("INSERT OR REPLACE INTO last_sequence VALUES (?, ?)", (self._boot_id, sequence))
            crop = message.get("crop")
            database.execute(
                "INSERT INTO alerts (id, crop_file, message) VALUES (?, ?, ?)",
                (message["id"], crop["file"] if crop else None, json.dumps(numbered)),
            )
        self._sequence = sequence
        self._count += 1
        return numbered

    def _remove(self, database: sqlite3.Connection, ids: tuple[str, ...]) -> None:
        with _transaction(database):
            removed = database.executemany("DELETE FROM alerts WHERE id = ?", [(row_id,) for row_id in ids]).rowcount
        self._count -= removed

    def _run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        with self._lock:
            try:
                return work(self._database)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise self._unavailable(error) from error
                self._database.close()
                self._set_aside(error)
                self._database = self._open()
            try:
                return work(self._database)
            except sqlite3.DatabaseError as error:
                raise self._unavailable(error) from error

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unavailable(error) from error
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise self._unavailable(error) from error
            self._set_aside(error)
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            raise self._unavailable(error) from error

    def _connect(self) -> sqlite3.Connection:
        # Transactions are begun by hand, and the lock sees to it that one thread at a time comes here.
        database = sqlite3.connect(self.path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            _prepare(database)
            self._count = int(database.execute("SELECT count(*) FROM alerts").fetchone()[0])
        except BaseException:
            database.close()
            raise
        return database

    def _set_aside(self, reason: Exception) -> None:
        now = datetime.now(timezone.utc)
        aside = self.path.with_name(f"{self.path.name}.damaged-{now:%Y%m%dT%H%M%SZ}")
        try:
            # The log first: a log beside a file that it does not belong to would be replayed into it.
            for suffix in ("-wal", "-shm", ""):
                source = self.path.with_name(self.path.name + suffix)
                if source.exists():
                    source.replace(aside.with_name(aside.name + suffix))
        except OSError as error:
            raise self._unavailable(error) from error
        log.error(
            "%s: the outbox is damaged (%s) and a new one is begun; alerts that waited in it are in %s, "
            "where 'sqlite3 FILE .recover' may still read them",
            self.path,
            reason,
            aside,
        )

    def _unavailable(self, error: Exception) -> UnavailableError:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return UnavailableError(
            f"{self.path}: the outbox cannot be used: {reason}; alerts need a writable folder with free space: "
            "see state_folder"
        )


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _prepare(database: sqlite3.Connection) -> None:
    layout = int(database.execute("PRAGMA user_version").fetchone()[0])
    tables = int(database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if layout == 0 and tables == 0:
        with _transaction(database):
            for statement in TABLES.strip().split(";\n"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {LAYOUT}")
        return
    if layout != LAYOUT:
        raise sqlite3.DatabaseError(f"layout {layout} instead of {LAYOUT}")
    (finding,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if finding != "ok":
        raise sqlite3.DatabaseError(finding)


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    # sqlite3 raises the class itself for SQLITE_CORRUPT and SQLITE_NOTADB, and subclasses for everything that
    # passes (locked, full, read-only).
    return type(error) is sqlite3.DatabaseError
