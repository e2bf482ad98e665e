"""Export: writes the faces of reviewed alerts as a data set.

One folder per label, as `edge-convert evaluate --folders` and the training recipes read them, and `no_face` beside.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2

from edge_agent.alerts.crops import find_crop
from edge_agent.alerts.history import REVIEWS
from edge_agent.domain import Box
from edge_agent.errors import ConfigError, PictureError
from edge_agent.vision.images import read_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from edge_agent.alerts.history import AlertHistory, HistoryEntry
    from edge_agent.domain import Image

# Entries read at once: the history is not blocked and need not fit into memory.
ENTRIES_A_PAGE = 200


@dataclass(slots=True)
class Exported:
    """Result of an export."""

    pictures: Counter[str] = field(default_factory=Counter)
    """Written pictures, by folder."""
    missing: int = 0
    """Alerts whose picture was deleted, never kept, or cannot be read."""
    encrypted: int = 0
    """Alerts whose picture can only be opened by the owners of the keys."""


def reviewed_alerts(
    history: AlertHistory, *, camera: str = "", since: str = "", also_others: bool = False
) -> Iterator[HistoryEntry]:
    """Yield the reviewed alerts of a camera since a day (YYYY-MM-DD), or all of them; newest first.

    Raises:
        UnavailableError: the history cannot be read.
    """
    before = ""
    while page := history.find(camera=camera, before=before, limit=ENTRIES_A_PAGE):
        for entry in page:
            if (entry.review or also_others) and entry.day >= since:
                yield entry
        before = page[-1].id


def export_faces(
    entries: Iterable[HistoryEntry], *, crops_folder: Path, into: Path, cut: Callable[[Image, Box], Image]
) -> Exported:
    """Write the face of each alert into the folder of its reviewed label, or of its label if it was not reviewed.

    `cut` returns the region of a picture that the classifier gets for the face in a box.
    Each picture is in one folder only: it moves when its review changes.

    Raises:
        ConfigError: a folder cannot be written.
    """
    exported = Exported()
    for entry in entries:
        crop = find_crop(crops_folder, entry.id)
        if crop is not None and crop.suffix != ".jpg":
            exported.encrypted += 1
            continue
        face = _face_in(crop, entry.timeline().face_in_crop, cut) if crop is not None else None
        if face is None:
            exported.missing += 1
            continue
        label = entry.review or entry.label
        _write(face, into=into, label=label, name=f"{entry.id}.png")
        exported.pictures[label] += 1
    return exported


def _face_in(crop: Path, place: tuple[int, int, int, int], cut: Callable[[Image, Box], Image]) -> Image | None:
    """Cut the face out of a picture; None if it cannot be read or the face is not in it."""
    try:
        picture = read_picture(crop)
    except PictureError:
        return None
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = place
    if min(x2, width) <= max(x1, 0) or min(y2, height) <= max(y1, 0):
        return None
    # A face at the edge of the frame reaches outside, but not further than the picture is wide.
    return cut(picture, Box(max(x1, -width), max(y1, -height), min(x2, 2 * width), min(y2, 2 * height)))


def _write(face: Image, *, into: Path, label: str, name: str) -> None:
    # Lossless: a picture compressed twice as JPEG differs from a camera's.
    _, content = cv2.imencode(".png", face)
    try:
        (into / label).mkdir(parents=True, exist_ok=True)
        (into / label / name).write_bytes(content.tobytes())
        for other in REVIEWS:
            if other not in ("", label):
                (into / other / name).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{into / label / name}: cannot be written: {error.strerror}; choose another folder"
        ) from error
