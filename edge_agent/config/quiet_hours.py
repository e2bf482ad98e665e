"""Quiet hours: times of the week without alerts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MIN_LETTERS = 3
"""Of the name of a day."""
DAY_MINUTES = 24 * 60
FORM = re.compile(r"(?:(?P<days>[a-z, -]+?) +)?(?P<begins>\d?\d:\d\d) ?- ?(?P<ends>\d?\d:\d\d)")
EXAMPLE = "22:00-06:00, sat,sun 00:00-24:00 or mon-fri 12:00-13:30"


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A period of local time on some days of the week.

    `days` are numbers from 0, Monday; `begins` and `ends` are minutes since midnight. An end before the beginning is on
    the next day.
    """

    days: frozenset[int]
    begins: int
    ends: int

    def cover(self, local: datetime) -> bool:
        """Whether this local time is inside; the end is exclusive."""
        minute, today = local.hour * 60 + local.minute, local.weekday()
        if self.begins < self.ends:
            return today in self.days and self.begins <= minute < self.ends
        # A period across midnight belongs to the day on which it begins.
        yesterday = (today - 1) % len(DAYS)
        return (today in self.days and minute >= self.begins) or (yesterday in self.days and minute < self.ends)


def parse_quiet_hours(text: str) -> QuietHours:
    """Parse a text such as 'mon-fri 22:00-06:00'; without days it applies to every day.

    Raises:
        ValueError: invalid; the message shows examples.
    """
    found = FORM.fullmatch(text.strip().lower())
    if not found:
        raise ValueError(f"'{text}' is not a period such as {EXAMPLE}")
    begins, ends = _minutes(found["begins"]), _minutes(found["ends"])
    if begins == ends:
        raise ValueError(f"'{text}' has no length; a whole day is 00:00-24:00")
    return QuietHours(_days(found["days"]) if found["days"] else frozenset(range(len(DAYS))), begins, ends)


def _minutes(text: str) -> int:
    hours, minutes = (int(part) for part in text.split(":"))
    total = hours * 60 + minutes
    if minutes >= 60 or total > DAY_MINUTES:  # noqa: PLR2004  (minutes of an hour)
        raise ValueError(f"{text} is not a time of day; the last is 24:00")
    return total


def _days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.split(","):
        names = [name.strip() for name in part.split("-", 1)]
        found = [number for name in names if (number := _day(name)) is not None]
        if len(found) < len(names):
            raise ValueError(
                f"'{part.strip()}' is not a day of the week; known: {', '.join(day[:MIN_LETTERS] for day in DAYS)}"
            )
        begin, end = found[0], found[-1]
        # A range such as fri-mon wraps around the end of the week.
        days.update((begin + step) % len(DAYS) for step in range((end - begin) % len(DAYS) + 1))
    return frozenset(days)


def _day(name: str) -> int | None:
    """The number of a day, by the beginning of its name; None if there is no such day."""
    is_long = len(name) >= MIN_LETTERS
    return next((number for number, day in enumerate(DAYS) if is_long and day.startswith(name)), None)
