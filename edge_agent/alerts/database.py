"""Database: opens the SQLite file and salvages its rows when it is damaged.

History, outbox and counters share one file, so that one transaction covers everything about an alert.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar
from urllib.parse import quote

from edge_agent.alerts.people import COLUMNS as PEOPLE_COLUMNS
from edge_agent.alerts.people import TABLES as PEOPLE_TABLES
from edge_agent.alerts.people import day_of
from edge_agent.alerts.timeline import points_text, timeline_text
from edge_agent.errors import UnavailableError
from edge_agent.host.atomic_files import UNFINISHED, inode_of, is_there, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from edge_agent.alerts.timeline import Timeline, TimelinePoint
    from edge_agent.host.atomic_files import Inode
    from edge_agent.messages.alert import AlertMessage
    from edge_agent.messages.resolved import ResolvedMessage

Result = TypeVar("Result")

# Kept in the file's header (PRAGMA user_version). A file of another layout is set aside like a damaged one.
LAYOUT = 1
LOCK_SECONDS = 5.0
"""Another process, or a user with sqlite3, may hold the lock for a moment."""
LOG_BYTES = 4_000_000
"""The log is truncated to this after a burst; SQLite writes about 4 MB between two checkpoints."""
MAX_SET_ASIDE = 5
"""Limit, so that a disk that damages file after file does not fill up with them."""
MAX_LOOKUPS = 200_000
"""Limit for looking up rows between two damaged places one by one; twice the size of a full history."""

# alerts: kept_when is seconds since 1970, adjusted whenever the clock is set; day is the day in the device's time zone.
# outbox: position orders; key is the message's id. put_at is CLOCK_BOOTTIME of the boot with boot_id, so that the
# waiting time is known even if the clock is set meanwhile.
TABLES = (
    """
    CREATE TABLE alerts (
        position INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        camera TEXT NOT NULL,
        label TEXT NOT NULL,
        day TEXT NOT NULL,
        kept_when REAL NOT NULL,
        message TEXT NOT NULL,
        timeline TEXT NOT NULL,
        later TEXT NOT NULL DEFAULT '[]',
        resolved TEXT,
        review TEXT NOT NULL DEFAULT ''
    )
    """,
    "CREATE INDEX alerts_by_day ON alerts (day, camera, label)",
    "CREATE INDEX alerts_by_age ON alerts (kept_when)",
    """
    CREATE TABLE outbox (
        position INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        key TEXT NOT NULL UNIQUE,
        boot_id TEXT NOT NULL,
        put_at REAL NOT NULL,
        crop_file TEXT,
        message TEXT NOT NULL
    )
    """,
    "CREATE INDEX outbox_by_kind ON outbox (kind, position)",
    """
    CREATE TABLE last_sequence (
        boot_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (boot_id, kind)
    )
    """,
    "CREATE TABLE dropped (kind TEXT PRIMARY KEY, messages INTEGER NOT NULL)",
    "CREATE TABLE alerts_of_day (day TEXT PRIMARY KEY, alerts INTEGER NOT NULL)",
    "CREATE TABLE last_sweep (only INTEGER PRIMARY KEY CHECK (only = 1), swept_when REAL NOT NULL)",
    *PEOPLE_TABLES,
    """
    CREATE TABLE events (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        id TEXT NOT NULL UNIQUE,
        message TEXT NOT NULL
    )
    """,
    # position: the last event that the webhook has received.
    "CREATE TABLE webhook_cursors (webhook TEXT PRIMARY KEY, position INTEGER NOT NULL)",
)
OUTBOX_COLUMNS = "position, kind, key, boot_id, put_at, crop_file, message"
COLUMNS = {
    "outbox": OUTBOX_COLUMNS,
    "alerts": "position, id, camera, label, day, kept_when, message, timeline, later, resolved, review",
    "last_sequence": "boot_id, kind, sequence",
    "dropped": "kind, messages",
    "alerts_of_day": "day, alerts",
    "last_sweep": "swept_when",
    "people": PEOPLE_COLUMNS,
    "counts_sent": "period, until",
    "events": "position, kind, id, message",
    "webhook_cursors": "webhook, position",
}
JSON_COLUMNS = frozenset({"message", "timeline", "later"})
UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What sqlite3 raises for a damaged file; the latter if SQLite's message quotes garbage."""

OutboxRow = tuple[int, str, str, str, float, "str | None", str]
FileIdentity: TypeAlias = "tuple[Inode | None, Inode | None]"
Change: TypeAlias = "tuple[str, tuple[Any, ...]]"
"""A statement with its values."""


def history_entry(message: AlertMessage, timeline: Timeline, *, now: datetime) -> Change:
    """Add an alert to the history."""
    values = (
        message.id,
        message.camera,
        message.label,
        day_of(message.when),
        now.timestamp(),
        json.dumps(message.as_json()),
        timeline_text(timeline),
    )
    columns = "id, camera, label, day, kept_when, message, timeline"
    # A repeated alert is the same alert.
    return f"INSERT OR IGNORE INTO alerts ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", values  # noqa: S608  (constants)


def history_resolution(message: ResolvedMessage, later: Iterable[TimelinePoint]) -> Change:
    """Add the resolution of an alert, and the readings since the alert, to the history."""
    values = (json.dumps(message.as_json()), points_text(later), message.alert)
    return "UPDATE alerts SET resolved = ?, later = ? WHERE id = ?", values


def open_database(path: Path, *, lock_seconds: float = LOCK_SECONDS) -> sqlite3.Connection:
    """Open or create the file. For any thread, one at a time; a committed transaction survives a power loss.

    `lock_seconds` is the timeout for locks of other processes, now and later.

    Raises:
        sqlite3.DatabaseError: it cannot be used; `is_damage` says whether it should be set aside.
    """
    database = sqlite3.connect(path, timeout=lock_seconds, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        # Deleted data must not remain in the file.
        database.execute("PRAGMA secure_delete = ON")
        if _layout(database) == 0 and _is_empty(database):
            with transaction(database):
                for statement in TABLES:
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {LAYOUT}")
        _check(database)
        # Not the history: reading all its pages takes seconds on a full card.
        check_pages(database, "outbox")
    except BaseException:
        database.close()
        raise
    return database


def beside(path: Path, work: Callable[[sqlite3.Connection], Result], *, writes: bool = False) -> Result | None:
    """Run a function on a file created by the agent, beside the agent; None: it is missing, or just being created.

    The file is opened for it alone, and repaired by the agent only.

    Raises:
        sqlite3.DatabaseError, UnicodeDecodeError, OSError: it cannot be used.
    """
    if not is_there(path):
        return None
    # Without a writer, opening it must not create a log, which would belong to the current user.
    how = "mode=rw" if writes else "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    uri = f"file:{quote(str(path))}?{how}"
    with closing(sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS, isolation_level=None)) as database:
        if _is_empty(database):
            return None
        if writes:
            database.execute("PRAGMA secure_delete = ON")
        _check(database)
        return work(database)


def is_begun(path: Path) -> bool:
    """Whether a file exists and has content: one that the agent is just creating has none yet.

    Raises:
        UnavailableError: it cannot be accessed.
    """
    try:
        return beside(path, lambda _database: True) or False
    except UNREADABLE:
        # The first read reports the problem.
        return True
    except OSError as error:
        raise inaccessible(path, error) from error


def inaccessible(path: Path, error: OSError) -> UnavailableError:
    """The error for a file in a folder of the agent's user that another user cannot open."""
    return UnavailableError(f"{path}: cannot be read: {error.strerror}; use sudo, or become the agent's user")


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """A transaction that is on the disk when it ends."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


@contextmanager
def unsynced_transaction(database: sqlite3.Connection) -> Iterator[None]:
    """A transaction that reaches the disk only with the next one: a power loss may undo it."""
    database.execute("PRAGMA synchronous = NORMAL")
    try:
        with transaction(database):
            yield
    finally:
        database.execute("PRAGMA synchronous = FULL")


def is_damage(error: Exception) -> bool:
    """Whether an error means a damaged file, not a temporary condition (locked, full, read-only)."""
    # sqlite3 raises the class itself for SQLITE_CORRUPT and SQLITE_NOTADB, and an OperationalError for these.
    signs = ("no such table", "no such column", "Could not decode to UTF-8")
    return type(error) in UNREADABLE or any(sign in str(error) for sign in signs)


def is_lock(error: Exception) -> bool:
    """Whether an error is about locking: held by another program, or not supported by the file system."""
    return isinstance(error, sqlite3.OperationalError) and "lock" in str(error)


def salvaged(path: Path) -> Path:
    """The complete file with the salvaged rows of another, which it has not yet replaced."""
    return path.with_name(f"{path.name}.anew")


def replace_file(path: Path) -> Path | None:
    """Put the salvaged file in the place of the original; returns the name of that one, which is set aside.

    None: there was none, and a log that it left is removed. Called again, it completes what a power loss interrupted.

    Raises:
        OSError: a file cannot be renamed.
    """
    whole = salvaged(path)
    # The same name when it is called again.
    when = datetime.fromtimestamp(whole.stat().st_mtime, timezone.utc)
    aside = path.with_name(f"{path.name}.damaged-{when:%Y%m%dT%H%M%S%fZ}")
    is_missing = not path.exists() and not aside.exists()
    # The log first: left beside a new file, it would be replayed into it.
    for suffix in ("-wal", "-shm", ""):
        source = path.with_name(path.name + suffix)
        if is_missing:
            source.unlink(missing_ok=True)
        elif source.exists():
            source.replace(aside.with_name(aside.name + suffix))
    for outdated in files_set_aside(path)[:-MAX_SET_ASIDE]:
        for suffix in ("-wal", "-shm", ""):
            outdated.with_name(outdated.name + suffix).unlink(missing_ok=True)
    whole.replace(path)
    sync_folder(path.parent)
    return None if is_missing else aside


def files_set_aside(path: Path) -> list[Path]:
    """The damaged files set aside, oldest first."""
    found = path.parent.glob(f"{path.name}.damaged-*")
    return sorted(file for file in found if not file.name.endswith(("-wal", "-shm")))


def identity(path: Path) -> FileIdentity:
    """Device and inode of the database file and its log; None for a missing file."""
    return inode_of(path), inode_of(path.with_name(f"{path.name}-wal"))


def salvage(old: sqlite3.Connection, path: Path) -> None:
    """Write the readable rows of the database at `path` into a new file beside it, which is complete or missing.

    Raises:
        sqlite3.DatabaseError, OSError: it cannot be written.
    """
    with suppress(*UNREADABLE):
        # Allows reading a file that is shorter than its header says.
        old.execute("PRAGMA writable_schema = ON")
    unfinished = path.with_name(UNFINISHED.format(name=path.name))
    unfinished.unlink(missing_ok=True)
    with closing(open_database(unfinished)) as new:
        # Without a log, so that renaming the one file suffices.
        new.execute("PRAGMA journal_mode = DELETE")
        with transaction(new):
            for table, columns in COLUMNS.items():
                marks = ", ".join("?" * len(columns.split(", ")))
                insert = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608  (constants)
                new.executemany(insert, _intact_rows(old, table, columns))
            # If the table of numbers is lost: pending messages contain theirs.
            new.execute(
                "INSERT OR REPLACE INTO last_sequence SELECT boot_id, kind, max(sequence) FROM ("
                "SELECT boot_id, kind, sequence FROM last_sequence UNION ALL "
                "SELECT boot_id, kind, coalesce(json_extract(message, '$.sequence'), 0) FROM outbox "
                "WHERE json_valid(message)"
                ") GROUP BY boot_id, kind"
            )
    unfinished.replace(salvaged(path))
    sync_folder(path.parent)


def _intact_rows(database: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    """Read from both ends up to the damage, then the rows between two damaged places; may yield a row twice."""
    texts = [place for place, column in enumerate(columns.split(", ")) if column in JSON_COLUMNS]
    for row in _readable_rows(database, f"SELECT {columns}, rowid FROM {table}"):  # noqa: S608  (constants)
        # A garbage page may be readable as a row.
        if all(_is_json(row[place]) for place in texts):
            yield row[:-1]


def _readable_rows(database: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    last_from_start, first_from_end = 0, 0
    with suppress(*UNREADABLE):
        for row in database.execute(f"{query} ORDER BY rowid"):
            last_from_start = row[-1]
            yield row
        return
    with suppress(*UNREADABLE):
        for row in database.execute(f"{query} ORDER BY rowid DESC"):
            first_from_end = row[-1]
            yield row
    for rowid in range(last_from_start + 1, min(first_from_end, last_from_start + MAX_LOOKUPS)):
        with suppress(*UNREADABLE):
            yield from database.execute(f"{query} WHERE rowid = ?", (rowid,))


def _is_json(text: object) -> bool:
    try:
        return isinstance(json.loads(str(text)), (dict, list))
    except ValueError:
        return False


def _check(database: sqlite3.Connection) -> None:
    """Check that all tables and columns exist, so that missing ones are found here and not at the first alert."""
    if _layout(database) != LAYOUT:
        raise sqlite3.DatabaseError(f"layout {_layout(database)} instead of {LAYOUT}")
    for table, columns in COLUMNS.items():
        with closing(database.execute(f"SELECT {columns} FROM {table} LIMIT 0")):  # noqa: S608  (constants)
            pass


def check_pages(database: sqlite3.Connection, table: Literal["outbox", "alerts"]) -> None:
    """Read every page and every JSON text of a table.

    Raises:
        sqlite3.DatabaseError, UnicodeDecodeError: it is damaged.
    """
    (finding,) = database.execute(f"PRAGMA quick_check({table})").fetchone()
    if finding != "ok":
        raise sqlite3.DatabaseError(finding)
    texts = [column for column in COLUMNS[table].split(", ") if column in JSON_COLUMNS]
    invalid = " OR ".join(f"NOT json_valid({column})" for column in texts)
    (rows,) = database.execute(f"SELECT count(*) FROM {table} WHERE {invalid}").fetchone()  # noqa: S608  (constants)
    if rows:
        raise sqlite3.DatabaseError(f"no JSON in {rows} rows of {table}")


def _is_empty(database: sqlite3.Connection) -> bool:
    return not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def _layout(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])
