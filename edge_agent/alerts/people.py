"""People counts: stores how many people passed each camera per hour.

One row per hour, camera and label. No pictures, ids or times of single people are stored.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Literal, TypeAlias

from edge_agent.domain import COUNTED_AS, timestamp
from edge_agent.messages.counts import CountedPeriod, PeopleCounts

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from edge_agent.domain import Person

HOUR_SECONDS = 3600
FIRST_YEAR, LAST_YEAR = 1970, 9998
PERIODS: tuple[Literal["hour", "day"], ...] = ("hour", "day")
CSV_COLUMNS = ("people", *COUNTED_AS, "changed", "compliance")
COLUMNS = "camera, hour, counted_as, people, changed"
TABLES = (
    # hour: its beginning in seconds since 1970.
    """
    CREATE TABLE people (
        camera TEXT NOT NULL,
        hour INTEGER NOT NULL,
        counted_as TEXT NOT NULL,
        people INTEGER NOT NULL,
        changed INTEGER NOT NULL,
        PRIMARY KEY (camera, hour, counted_as)
    )
    """,
    # until: end of the last hour or day in the outbox, in seconds since 1970.
    "CREATE TABLE counts_sent (period TEXT PRIMARY KEY, until INTEGER NOT NULL)",
)

ADD_PEOPLE = (
    f"INSERT INTO people ({COLUMNS}) VALUES (?, ?, ?, ?, ?) "  # noqa: S608  (constants)
    "ON CONFLICT DO UPDATE SET people = people + excluded.people, changed = changed + excluded.changed"
)

By: TypeAlias = Literal["hour", "day", "camera"]

PeopleRow: TypeAlias = "tuple[str, int, str, int, int]"


def hour_of(when: datetime) -> int:
    """The hour of a time, in the table's format."""
    return int(when.timestamp()) // HOUR_SECONDS * HOUR_SECONDS


def day_of(when: datetime) -> str:
    """The day of a time, YYYY-MM-DD, in the device's time zone."""
    return when.astimezone().date().isoformat()


def row_of(person: Person) -> PeopleRow:
    """The row for one person."""
    return person.camera, hour_of(person.when), person.counted_as, 1, int(person.changed)


def merged(rows: Iterable[PeopleRow]) -> list[PeopleRow]:
    """Sum the rows of the same camera, hour and label."""
    people: Counter[tuple[str, int, str]] = Counter()
    changed: Counter[tuple[str, int, str]] = Counter()
    for camera, hour, counted_as, count, of_these in rows:
        people[camera, hour, counted_as] += count
        changed[camera, hour, counted_as] += of_these
    return [(*key, count, changed[key]) for key, count in people.items()]


def sent_until(period: str, until: int) -> tuple[str, tuple[str, int]]:
    """Record the last hour or day in the outbox; in the same transaction, so that each is sent once."""
    return (
        "INSERT INTO counts_sent VALUES (?, ?) ON CONFLICT DO UPDATE SET until = excluded.until",
        (period, until),
    )


def rows_between(database: sqlite3.Connection, begin: datetime | None, end: datetime | None) -> list[PeopleRow]:
    """The rows of the hours from `begin` to `end` (exclusive); None: no limit."""
    bounds = (begin.timestamp() if begin else 0, end.timestamp() if end else float("inf"))
    query = f"SELECT {COLUMNS} FROM people WHERE hour >= ? AND hour < ? ORDER BY hour, camera"  # noqa: S608
    return database.execute(query, bounds).fetchall()


def grouped(rows: Iterable[PeopleRow], by: By) -> dict[str, PeopleCounts]:
    """Sum rows by day in the device's time zone (YYYY-MM-DD), by hour (RFC 3339, UTC) or by camera, sorted."""
    people: dict[str, Counter[str]] = {}
    for camera, hour, counted_as, count, changed in rows:
        when = datetime.fromtimestamp(hour, timezone.utc)
        key = {"camera": camera, "hour": timestamp(when), "day": day_of(when)}[by]
        people.setdefault(key, Counter()).update({counted_as: count, "changed": changed})
    return {key: PeopleCounts.model_validate(people[key]) for key in sorted(people)}


def as_csv(counted: Mapping[str, PeopleCounts], by: By) -> str:
    """Groups as CSV with a header line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([by, *CSV_COLUMNS])
    for name, counts in counted.items():
        values = values_of(counts)
        writer.writerow([name, *(values[column] for column in CSV_COLUMNS)])
    return text.getvalue()


def values_of(counts: PeopleCounts) -> dict[str, int | float | None]:
    """Counts with their sum and the compliance rate."""
    return {"people": counts.people, **counts.model_dump(), "compliance": counts.compliance}


def unsent_periods(
    database: sqlite3.Connection, *, cameras: Sequence[str], since: datetime | None, now: datetime
) -> list[CountedPeriod]:
    """The completed hours and days not in the outbox yet, oldest first.

    Those with counts, and from `since` on also those without: the agent was running and detected no people.
    """
    sent = dict(database.execute("SELECT period, until FROM counts_sent").fetchall())
    periods = []
    for period in PERIODS:
        until = datetime.fromtimestamp(sent.get(period, 0), timezone.utc)
        if until > following(period, now):
            # The clock was ahead: counting goes on with the current period; those before it may have been sent.
            until = beginning_of(period, now)
            database.execute(*sent_until(period, int(until.timestamp())))
        first = beginning_of(period, until)
        rows_by_begin: dict[datetime, list[PeopleRow]] = {}
        for row in rows_between(database, first, now):
            begin = beginning_of(period, datetime.fromtimestamp(row[1], timezone.utc))
            rows_by_begin.setdefault(begin, []).append(row)
        begin = now if since is None else beginning_of(period, max(since, first))
        while begin < now:
            rows_by_begin.setdefault(begin, [])
            begin = following(period, begin)
        for begin, rows in rows_by_begin.items():
            counts = grouped(rows, "camera")
            named = {camera: counts.get(camera, PeopleCounts()) for camera in sorted({*cameras, *counts})}
            end = following(period, begin)
            periods.append(CountedPeriod(period=period, begin=begin, end=end, cameras=named))
    # Where a day ends within an hour of UTC, people are still added to its last hour.
    complete = beginning_of("hour", now)
    return sorted((period for period in periods if period.end <= complete), key=lambda period: period.end)


def parse_day(text: str) -> date:
    """Parse YYYY-MM-DD.

    Raises:
        ValueError: it is not a day, or one whose midnight the clock cannot represent in every time zone.
    """
    day = date.fromisoformat(text)
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"{text} is not from {FIRST_YEAR} to {LAST_YEAR}")
    return day


def midnight_of(day: date) -> datetime:
    """Midnight at the start of a day, in the device's time zone; aware. 01:00 where the clock skips an hour then."""
    # astimezone() of a local time that is skipped is an hour early.
    return datetime.fromtimestamp(datetime.combine(day, time()).timestamp(), timezone.utc).astimezone()


def beginning_of(period: Literal["hour", "day"], when: datetime) -> datetime:
    """The beginning of the hour, or of the day in the device's time zone, of a time; aware, UTC."""
    if period == "hour":
        return datetime.fromtimestamp(hour_of(when), timezone.utc)
    return midnight_of(when.astimezone().date()).astimezone(timezone.utc)


def following(period: Literal["hour", "day"], begin: datetime) -> datetime:
    """The beginning of the next hour or day; a day may have 23 or 25 hours."""
    if period == "hour":
        return begin + timedelta(hours=1)
    # About noon of the next day, even across a daylight saving change.
    return beginning_of("day", begin + timedelta(hours=36))
