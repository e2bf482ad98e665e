"""The SQLite file: is it damaged, how is it set aside, and how is something written into it wholly or not at all?"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

# The log is cut back to this after a burst; what is written between two checkpoints of SQLite is about 4 MB.
LOG_BYTES = 4_000_000
# A disk that damages file after file is not to be filled with them.
MOST_SET_ASIDE = 5


def connect(path: Path | str, *, lock_seconds: float) -> sqlite3.Connection:
    """Open a file, or begin it: with a write-ahead log, and what a transaction committed survives the loss of power.

    For any thread, one at a time; transactions are begun by hand. Whoever else holds the lock is waited for so long.

    Raises:
        sqlite3.DatabaseError: it cannot be used; `is_damage` tells whether it should be set aside.
    """
    database = sqlite3.connect(path, timeout=lock_seconds, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, and on the disk when it ends."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def is_damage(error: Exception) -> bool:
    """Whether an error speaks of the file and not of something that passes (locked, full, read-only)."""
    # sqlite3 raises the class itself for SQLITE_CORRUPT and SQLITE_NOTADB; a table that is gone is a general error.
    return type(error) is sqlite3.DatabaseError or "no such table" in str(error) or "no such column" in str(error)


def set_aside(path: Path, *, when: datetime) -> Path:
    """Rename a damaged file together with its log, so that a new one may be begun, and give its new name.

    Raises:
        OSError: it cannot be renamed.
    """
    name = f"{path.name}.damaged-{when:%Y%m%dT%H%M%S%fZ}"
    # The log first: a log beside a file that it does not belong to would be replayed into it.
    for suffix in ("-wal", "-shm", ""):
        source = path.with_name(path.name + suffix)
        if source.exists():
            source.replace(path.with_name(name + suffix))
    for outdated in files_set_aside(path)[:-MOST_SET_ASIDE]:
        for suffix in ("-wal", "-shm", ""):
            outdated.with_name(outdated.name + suffix).unlink(missing_ok=True)
    return path.with_name(name)


def files_set_aside(path: Path) -> list[Path]:
    """The damaged files that were set aside, oldest first."""
    found = path.parent.glob(f"{path.name}.damaged-*")
    return sorted(file for file in found if not file.name.endswith(("-wal", "-shm")))
