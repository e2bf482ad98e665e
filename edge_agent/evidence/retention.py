"""Retention: which crops have been kept for long enough?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from edge_agent.errors import CropError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence, Set
    from pathlib import Path

# Only what carries an alert's id is ever removed: the folder may hold a person's own pictures.
CROP_NAME = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.jpg$")


@dataclass(frozen=True, slots=True)
class StoredCrop:
    """A crop as it lies in the folder."""

    name: str
    size_bytes: int
    saved_when: datetime


def plan_removals(
    crops: Sequence[StoredCrop], *, now: datetime, keep_days: float, keep_bytes: int, owed: Set[str]
) -> list[StoredCrop]:
    """Choose what goes, oldest first: whatever is too old, then more until the rest fits into `keep_bytes`.

    Crops named in `owed` belong to alerts that nobody has seen yet: they stay, though they count.
    """
    oldest_kept = now - timedelta(days=keep_days)
    total_bytes = sum(crop.size_bytes for crop in crops)
    removals = []
    for crop in sorted(crops, key=lambda crop: (crop.saved_when, crop.name)):
        if crop.name in owed:
            continue
        if crop.saved_when < oldest_kept or total_bytes > keep_bytes:
            removals.append(crop)
            total_bytes -= crop.size_bytes
    return removals


def sweep(folder: Path, *, now: datetime, keep_days: float, keep_bytes: int, owed: Set[str]) -> list[StoredCrop]:
    """Remove what the plan says from a folder of crops and give what was removed. No folder: nothing to do.

    Raises:
        CropError: the folder cannot be read, or a crop cannot be removed.
    """
    try:
        crops = list(_stored(folder))
        removals = plan_removals(crops, now=now, keep_days=keep_days, keep_bytes=keep_bytes, owed=owed)
        for crop in removals:
            (folder / crop.name).unlink(missing_ok=True)
    except OSError as error:
        raise CropError(
            f"{error.filename}: old crops cannot be removed: {error.strerror}; the agent needs write access to {folder}"
        ) from error
    return removals


def _stored(folder: Path) -> Iterator[StoredCrop]:
    if not folder.exists():
        return
    for file in folder.iterdir():
        if CROP_NAME.match(file.name):
            found = file.stat()
            yield StoredCrop(file.name, found.st_size, datetime.fromtimestamp(found.st_mtime, timezone.utc))
