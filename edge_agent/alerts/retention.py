"""Retention: deletes crops at the end of their retention period."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from edge_agent.alerts.crops import CROP_NAME
from edge_agent.errors import CropError
from edge_agent.host.atomic_files import is_there

if TYPE_CHECKING:
    from collections.abc import Sequence, Set
    from pathlib import Path

# Its time of change is the time of the last sweep: so a clock that was set between two runs is noticed.
STAMP = ".swept"
# A clock that drifts or changes for a leap second is off by less; one that is off by more makes no crop a day older.
STEP = timedelta(days=1)
# No device is switched off for longer: the clock was set, time did not pass.
LONGEST_OFF = timedelta(days=365)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredCrop:
    """A crop as it lies in the folder."""

    name: str
    size_bytes: int
    saved_when: datetime


def plan_removals(
    crops: Sequence[StoredCrop],
    *,
    now: datetime,
    keep_days: float,
    keep_bytes: int,
    waiting: Set[str],
    missing_bytes: int = 0,
) -> list[StoredCrop]:
    """Choose what goes, oldest first: whatever is too old, then more until the rest fits into `keep_bytes`.

    And until `missing_bytes` are won, which the disk lacks. Crops named in `waiting` belong to alerts no broker has
    seen yet: they stay, though they count.
    """
    oldest_kept = now - timedelta(days=keep_days)
    surplus_bytes = max(sum(crop.size_bytes for crop in crops) - keep_bytes, missing_bytes)
    removals = []
    for crop in sorted(crops, key=lambda crop: (crop.saved_when, crop.name)):
        if crop.name in waiting:
            continue
        if crop.saved_when < oldest_kept or surplus_bytes > 0:
            removals.append(crop)
            surplus_bytes -= crop.size_bytes
    return removals


def step_of_clock(now: datetime, *, last: datetime, elapsed: timedelta | None) -> timedelta:
    """Tell by how much the clock was set since the last sweep; zero where that is within what may be.

    `elapsed` is what a clock that is never set has measured since; None where nothing measured, because the agent was
    started in between.
    """
    passed = now - last
    if elapsed is not None:
        step = passed - elapsed
        return step if abs(step) > STEP else timedelta()
    return passed if passed > LONGEST_OFF or passed < -STEP else timedelta()


class Retention:
    """Keeps a folder of crops within its days and bytes. Owned by one thread."""

    def __init__(self, folder: Path, *, keep_days: float, keep_bytes: int, keep_free_bytes: int = 0) -> None:
        """Take a folder, which need not exist yet; crops leave `keep_free_bytes` of its disk free."""
        self.folder = folder
        self._keep_days, self._keep_bytes, self._keep_free_bytes = keep_days, keep_bytes, keep_free_bytes
        self._last: tuple[float, datetime] | None = None

    def sweep(self, *, at: float, now: datetime, waiting: Set[str]) -> list[StoredCrop]:
        """Remove what the plan says and give what was removed. No folder: nothing to do.

        A clock that was set by more than a day, in either direction, makes no crop older or younger: all are dated
        anew by that step.

        Raises:
            CropError: the folder cannot be read, or a crop cannot be removed.
        """
        try:
            if not is_there(self.folder):
                # The clock may be set before the first crop is there.
                self._last = (at, now)
                return []
            self._follow_clock(at=at, now=now)
            removals = plan_removals(
                self._stored(),
                now=now,
                keep_days=self._keep_days,
                keep_bytes=self._keep_bytes,
                waiting=waiting,
                missing_bytes=self._keep_free_bytes - shutil.disk_usage(self.folder).free,
            )
            for crop in removals:
                (self.folder / crop.name).unlink(missing_ok=True)
        except OSError as error:
            raise CropError(
                f"{error.filename}: old crops cannot be removed: {error.strerror}; the agent needs write access to "
                f"{self.folder}"
            ) from error
        return removals

    def _follow_clock(self, *, at: float, now: datetime) -> None:
        stamp = self.folder / STAMP
        last, elapsed = self._last_sweep(stamp, at=at)
        step = step_of_clock(now, last=last, elapsed=elapsed) if last is not None else timedelta()
        if step:
            log.warning(
                "the clock was set by %.1f days: crops in %s are dated anew by as much and get no older by it",
                step / timedelta(days=1),
                self.folder,
            )
            for crop in self._stored():
                _date(self.folder / crop.name, crop.saved_when + step)
        # On a full or read-only disk the next start does not know about this sweep, which costs nothing.
        with suppress(OSError):
            stamp.touch()
            _date(stamp, now)
        self._last = (at, now)

    def _last_sweep(self, stamp: Path, *, at: float) -> tuple[datetime | None, timedelta | None]:
        if self._last is not None:
            last_at, last_now = self._last
            return last_now, timedelta(seconds=at - last_at)
        try:
            return _changed_when(stamp.stat()), None
        except OSError:
            # The newest crop tells as well when the clock was last what it was.
            return max((crop.saved_when for crop in self._stored()), default=None), None

    def _stored(self) -> list[StoredCrop]:
        found = [(file.name, file.stat()) for file in self.folder.iterdir() if CROP_NAME.match(file.name)]
        return [StoredCrop(name, status.st_size, _changed_when(status)) for name, status in found]


def _changed_when(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, timezone.utc)


def _date(file: Path, when: datetime) -> None:
    os.utime(file, (when.timestamp(), when.timestamp()))
