"""Export: writes the crops of reviewed alerts as a data set.

One folder per label, as `edge-convert evaluate --folders` and the training recipes read them, and `no_face` beside.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2

from edge_agent.alerts.crops import find_crop
from edge_agent.alerts.history import REVIEWS
from edge_agent.errors import ConfigError, PictureError
from edge_agent.vision.images import read_picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from edge_agent.alerts.history import AlertHistory, HistoryEntry
    from edge_agent.domain import Image

# So many entries are read at once: the history need not be held up, nor fit into memory.
ENTRIES_A_PAGE = 200


@dataclass(slots=True)
class Exported:
    """What became of the alerts that were asked for."""

    pictures: Counter[str] = field(default_factory=Counter)
    """Those that were written, by folder."""
    missing: int = 0
    """Their picture is gone, or none was kept, or it cannot be read."""
    encrypted: int = 0
    """Their picture can be opened by the owners of the keys alone."""


def reviewed_alerts(
    history: AlertHistory, *, camera: str = "", since: str = "", also_others: bool = False
) -> Iterator[HistoryEntry]:
    """Give the alerts of a camera since a day (YYYY-MM-DD) that a person has reviewed, or all of them; newest first.

    Raises:
        UnavailableError: the history cannot be read.
    """
    before = ""
    while page := history.find(camera=camera, before=before, limit=ENTRIES_A_PAGE):
        for entry in page:
            if (entry.review or also_others) and entry.day >= since:
                yield entry
        before = page[-1].id


def export_faces(entries: Iterable[HistoryEntry], *, crops_folder: Path, into: Path) -> Exported:
    """Write the face of each alert into the folder of its reviewed label; of one without a review, of its label.

    Each picture is in one of the folders: what was reviewed anew moves.

    Raises:
        ConfigError: a folder cannot be written.
    """
    exported = Exported()
    for entry in entries:
        crop = find_crop(crops_folder, entry.id)
        if crop is not None and crop.suffix != ".jpg":
            exported.encrypted += 1
            continue
        face = _face_in(crop, entry.timeline().face_in_crop) if crop is not None else None
        if face is None:
            exported.missing += 1
            continue
        label = entry.review or entry.label
        _write(face, into=into, label=label, name=f"{entry.id}.png")
        exported.pictures[label] += 1
    return exported


def _face_in(crop: Path, place: tuple[int, int, int, int]) -> Image | None:
    """Cut the face out of a picture; None where that cannot be read or the face is not in it."""
    try:
        picture = read_picture(crop)
    except PictureError:
        return None
    x1, y1, x2, y2 = (max(0, side) for side in place)
    face = picture[y1:y2, x1:x2]
    return face if face.size else None


def _write(face: Image, *, into: Path, label: str, name: str) -> None:
    # Without loss: a picture that was a JPEG twice is not what a camera gives.
    _, content = cv2.imencode(".png", face)
    try:
        (into / label).mkdir(parents=True, exist_ok=True)
        (into / label / name).write_bytes(content.tobytes())
        for other in REVIEWS:
            if other not in ("", label):
                (into / other / name).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{into / label / name}: cannot be written: {error.strerror}; name another folder") from error
