"""The album's file: how do its entries lie in SQLite?"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import astuple
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from edge_agent.evidence.course import Course, CoursePoint
from edge_agent.sqlite_file import connect, transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

# Kept in the file's header (PRAGMA user_version). A file of another layout is set aside like a damaged one.
LAYOUT = 1
# Evidence, scores and tenths of a millisecond: more digits would only suggest otherwise.
POINT_DIGITS = 4

# kept_when is seconds since 1970, moved whenever the clock is set; day is that of the clock on the device's wall.
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
        course TEXT NOT NULL,
        later TEXT NOT NULL DEFAULT '[]',
        ended TEXT,
        truth TEXT NOT NULL DEFAULT ''
    )
    """,
    "CREATE INDEX alerts_by_day ON alerts (day, camera, label)",
    "CREATE INDEX alerts_by_age ON alerts (kept_when)",
    "CREATE TABLE last_sweep (only INTEGER PRIMARY KEY CHECK (only = 1), swept_when REAL NOT NULL)",
)
COLUMNS = "message, course, later, ended, truth"
StoredEntry = tuple[str, str, str, "str | None", str]


def open_file(path: Path, *, lock_seconds: float) -> sqlite3.Connection:
    """Open the file, or begin it. For any thread, one at a time.

    Raises:
        sqlite3.DatabaseError: it cannot be used.
    """
    database = connect(path, lock_seconds=lock_seconds)
    try:
        # What a person deletes is not to be found in the file afterwards.
        database.execute("PRAGMA secure_delete = ON")
        if _layout(database) == 0 and _is_empty(database):
            _begin(database)
        _check(database)
    except BaseException:
        database.close()
        raise
    return database


def is_begun(path: Path) -> bool:
    """Whether a file is there and holds anything: one that another process is just beginning holds nothing yet."""
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(_to_read(path), uri=True)) as database:
            return not _is_empty(database)
    except sqlite3.DatabaseError:
        # What is wrong with it, whoever reads it is told.
        return True


def open_to_read(path: Path, *, lock_seconds: float) -> sqlite3.Connection:
    """Open a file that is there and write nothing into it. For any thread, one at a time.

    Raises:
        sqlite3.DatabaseError: it cannot be read.
    """
    database = sqlite3.connect(
        _to_read(path), uri=True, timeout=lock_seconds, isolation_level=None, check_same_thread=False
    )
    try:
        _check(database)
    except BaseException:
        database.close()
        raise
    return database


def course_text(course: Course) -> str:
    """Write a course as JSON."""
    return json.dumps(
        {
            "points": [_rounded(point) for point in course.points],
            "violation_nats": course.violation_nats,
            "compliant_nats": course.compliant_nats,
            "face_in_crop": course.face_in_crop,
        }
    )


def points_text(points: Iterable[CoursePoint]) -> str:
    """Write points of a course as JSON."""
    return json.dumps([_rounded(point) for point in points])


def read_course(course: str, later: str) -> Course:
    """Read what `course_text` and, of the time after the alert, `points_text` have written."""
    content: Mapping[str, Any] = json.loads(course)
    points = [*content["points"], *json.loads(later)]
    x1, y1, x2, y2 = content["face_in_crop"]
    return Course(
        tuple(CoursePoint(*point) for point in points),
        content["violation_nats"],
        content["compliant_nats"],
        (x1, y1, x2, y2),
    )


def _rounded(point: CoursePoint) -> list[Any]:
    return [round(value, POINT_DIGITS) if isinstance(value, float) else value for value in astuple(point)]


def _begin(database: sqlite3.Connection) -> None:
    with transaction(database):
        # Another process may have begun it meanwhile.
        if _layout(database) == LAYOUT:
            return
        for statement in TABLES:
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {LAYOUT}")


def _check(database: sqlite3.Connection) -> None:
    """See whether everything is where it belongs; not every page, for that takes seconds on a full card."""
    if _layout(database) != LAYOUT:
        raise sqlite3.DatabaseError(f"layout {_layout(database)} instead of {LAYOUT}")
    with closing(database.execute(f"SELECT position, id, camera, label, day, kept_when, {COLUMNS} FROM alerts")):  # noqa: S608
        pass
    with closing(database.execute("SELECT swept_when FROM last_sweep")):
        pass


def _to_read(path: Path) -> str:
    return f"file:{quote(str(path))}?mode=ro"


def _is_empty(database: sqlite3.Connection) -> bool:
    return not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def _layout(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])
