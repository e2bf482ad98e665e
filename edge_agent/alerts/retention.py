"""Retention: deletes crops at the end of their retention period."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from edge_agent.alerts.crops import CROP_NAME
from edge_agent.errors import CropError
from edge_agent.host.atomic_files import is_there

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set
    from pathlib import Path

# Its modification time is the time of the last sweep, so that setting the clock between two runs is detected.
STAMP = ".swept"
# Drift and leap seconds are smaller; a larger difference means that the clock was set.
STEP = timedelta(days=1)
# A longer interval means that the clock was set, not that the device was off.
MAX_OFF = timedelta(days=365)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredCrop:
    """A crop in the folder."""

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
    """Choose crops to delete, oldest first: all that are too old, then more until the rest fits into `keep_bytes`.

    And until `missing_bytes`, which the disk lacks, are freed. Crops named in `waiting` belong to undelivered alerts:
    they are kept, but count.
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


def step_of_clock(
    now: datetime, *, at: float, last: tuple[float, datetime] | None, recorded: Callable[[], datetime | None]
) -> timedelta:
    """By how much the clock was set since the last sweep; zero for plausible differences, or without one.

    `last` is when it was, in seconds since boot and by the clock. None if the agent was started in between: then
    `recorded` gives the time by the clock.
    """
    if last is not None:
        step = now - last[1] - timedelta(seconds=at - last[0])
        return step if abs(step) > STEP else timedelta()
    passed = now - (recorded() or now)
    return passed if passed > MAX_OFF or passed < -STEP else timedelta()


class Retention:
    """Limits a folder of crops by age and size. For any thread."""

    def __init__(self, folder: Path, *, keep_days: float, keep_bytes: int, keep_free_bytes: int = 0) -> None:
        """The folder need not exist yet; crops leave `keep_free_bytes` of its disk free."""
        self.folder = folder
        self._keep_days, self._keep_bytes, self._keep_free_bytes = keep_days, keep_bytes, keep_free_bytes
        self._lock = threading.Lock()
        self._last: tuple[float, datetime] | None = None

    def sweep(self, *, at: float, now: datetime, waiting: Set[str]) -> list[StoredCrop]:
        """Delete crops as planned and return them. Does nothing if the folder does not exist.

        `at`: seconds since boot, including suspend. If the clock was set by more than a day in either direction, the
        dates of all crops are shifted accordingly, so that none becomes older or younger.

        Raises:
            CropError: the folder cannot be read, or a crop cannot be removed.
        """
        with self._lock:
            return self._sweep(at=at, now=now, waiting=waiting)

    def _sweep(self, *, at: float, now: datetime, waiting: Set[str]) -> list[StoredCrop]:
        try:
            if not is_there(self.folder):
                # The clock may be set before the first crop is stored.
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
        step = step_of_clock(now, at=at, last=self._last, recorded=lambda: self._recorded_sweep(stamp))
        if step:
            log.warning(
                "the clock was set by %.1f days: the dates of the crops in %s are shifted accordingly",
                step / timedelta(days=1),
                self.folder,
            )
            for crop in self._stored():
                with suppress(FileNotFoundError):
                    _date(self.folder / crop.name, crop.saved_when + step)
        # On a full or read-only disk the next start does not know about this sweep, which is harmless.
        with suppress(OSError):
            stamp.touch()
            _date(stamp, now)
        self._last = (at, now)

    def _recorded_sweep(self, stamp: Path) -> datetime | None:
        try:
            return _changed_when(stamp.stat())
        except OSError:
            # The newest crop is evidence of the last clock time, too.
            return max((crop.saved_when for crop in self._stored()), default=None)

    def _stored(self) -> list[StoredCrop]:
        found = []
        for file in self.folder.iterdir():
            # An alert may be deleted meanwhile, with its crop.
            with suppress(FileNotFoundError):
                if CROP_NAME.match(file.name):
                    status = file.stat()
                    found.append(StoredCrop(file.name, status.st_size, _changed_when(status)))
        return found


def _changed_when(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, timezone.utc)


def _date(file: Path, when: datetime) -> None:
    os.utime(file, (when.timestamp(), when.timestamp()))
