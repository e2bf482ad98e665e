"""The outbox's file: how is it begun, and what of it is saved when it is damaged?"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.sqlite_file import connect, transaction

if TYPE_CHECKING:
    from pathlib import Path

# Kept in the file's header (PRAGMA user_version). A file of another layout is set aside like a damaged one.
LAYOUT = 1
# Another process (a person with sqlite3) may hold the lock for a moment.
LOCK_SECONDS = 5.0
# Rows between two damaged places are looked up one by one; ten times what an outbox holds by default.
MOST_LOOKUPS = 200_000

# position orders; key is the message's id, with its kind before it unless it is an alert. put_at is CLOCK_BOOTTIME of
# the boot with boot_id: how long a message waited is known although the clock was set meanwhile.
TABLES = (
    """
    CREATE TABLE waiting (
        position INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        key TEXT NOT NULL UNIQUE,
        boot_id TEXT NOT NULL,
        put_at REAL NOT NULL,
        crop_file TEXT,
        message TEXT NOT NULL
    )
    """,
    "CREATE INDEX waiting_by_kind ON waiting (kind, position)",
    """
    CREATE TABLE last_sequence (
        boot_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (boot_id, kind)
    )
    """,
    "CREATE TABLE dropped (kind TEXT PRIMARY KEY, messages INTEGER NOT NULL)",
)
COLUMNS = "position, kind, key, boot_id, put_at, crop_file, message"

StoredRow = tuple[int, str, str, str, float, "str | None", str]


def open_file(path: Path | str) -> sqlite3.Connection:
    """Open the file, or begin it. For any thread, one at a time.

    Raises:
        sqlite3.DatabaseError: it cannot be used; `is_damage` tells whether it should be set aside.
    """
    database = connect(path, lock_seconds=LOCK_SECONDS)
    try:
        _prepare(database)
    except BaseException:
        database.close()
        raise
    return database


@dataclass(frozen=True, slots=True)
class Readable:
    """What can still be read from a damaged file: rows in order, the last sequences of a boot, and the drops."""

    rows: list[StoredRow]
    sequences: list[tuple[str, int]]
    dropped: list[tuple[str, int]]


def readable(damaged: Path, *, boot_id: str) -> Readable:
    """Read from a damaged file whatever can still be read."""
    found: dict[int, StoredRow] = {}
    sequences: list[tuple[str, int]] = []
    dropped: list[tuple[str, int]] = []
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(damaged, timeout=LOCK_SECONDS)) as database:
        # Reads a file that is shorter than its header says, too.
        database.execute("PRAGMA writable_schema = ON")
        _read_around_damage(database, f"SELECT {COLUMNS} FROM waiting", found)  # noqa: S608  (a constant)
        with suppress(sqlite3.DatabaseError):
            known = database.execute("SELECT kind, sequence FROM last_sequence WHERE boot_id = ?", (boot_id,))
            sequences = known.fetchall()
        with suppress(sqlite3.DatabaseError):
            dropped = database.execute("SELECT kind, messages FROM dropped").fetchall()
    rows = [row for _, row in sorted(found.items()) if _is_message(row)]
    # Where the table of numbers is gone: what waits knows its own.
    numbers = [(row[1], json.loads(row[-1])) for row in rows]
    own = [(kind, int(message.get("sequence", 0))) for kind, message in numbers if message.get("boot_id") == boot_id]
    return Readable(rows, sequences + own, dropped)


def _prepare(database: sqlite3.Connection) -> None:
    layout = int(database.execute("PRAGMA user_version").fetchone()[0])
    tables = int(database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if layout == 0 and tables == 0:
        with transaction(database):
            _make_tables(database)
        return
    (finding,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if finding != "ok":
        raise sqlite3.DatabaseError(finding)
    if layout != LAYOUT:
        raise sqlite3.DatabaseError(f"layout {layout} instead of {LAYOUT}")
    # A table or column that is missing shows here and not at the first alert.
    database.execute(f"SELECT {COLUMNS} FROM waiting LIMIT 1")  # noqa: S608  (a constant)
    database.execute("SELECT boot_id, kind, sequence FROM last_sequence LIMIT 1")
    database.execute("SELECT kind, messages FROM dropped LIMIT 1")


def _make_tables(database: sqlite3.Connection) -> None:
    for statement in TABLES:
        database.execute(statement)
    database.execute(f"PRAGMA user_version = {LAYOUT}")


def _read_around_damage(database: sqlite3.Connection, query: str, found: dict[int, StoredRow]) -> None:
    """Read from both ends up to the damage, and then whatever lies between two damaged places."""
    last_from_start, first_from_end = 0, 0
    with suppress(sqlite3.DatabaseError):
        for row in database.execute(f"{query} ORDER BY position"):
            found[row[0]] = row
            last_from_start = row[0]
        return
    with suppress(sqlite3.DatabaseError):
        for row in database.execute(f"{query} ORDER BY position DESC"):
            found[row[0]] = row
            first_from_end = row[0]
    for position in range(last_from_start + 1, min(first_from_end, last_from_start + MOST_LOOKUPS)):
        with suppress(sqlite3.DatabaseError):
            found.update((row[0], row) for row in database.execute(f"{query} WHERE position = ?", (position,)))


def _is_message(row: StoredRow) -> bool:
    try:
        return isinstance(json.loads(row[-1]), dict) and all(isinstance(value, str) for value in row[1:4])
    except (TypeError, ValueError):
        return False
