"""Pictures: plays a folder of photographs as a camera."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.camera import EagerCamera
from edge_agent.errors import CameraError, PictureError
from edge_agent.vision.images import SUFFIXES, read_picture

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_agent.domain import Image

# Pictures in a folder have no times. Two per second keeps tracks alive (tracking.lost_timeout_seconds is 2) and still
# analyses every picture of a time-lapse.
PICTURES_PER_SECOND = 2.0

log = logging.getLogger(__name__)


class PictureFolder(EagerCamera):
    """A folder of pictures in name order, played like a recording. Unreadable ones are logged once and skipped."""

    position_seconds = 0.0
    """Position of the last grabbed picture, at PICTURES_PER_SECOND."""

    def __init__(self, folder: Path) -> None:
        """List the folder and read its first picture.

        Raises:
            CameraError: the folder has no picture, or none can be read.
        """
        self._paths = iter(picture_paths([folder]))
        self._read = 0
        self._first, refused = self._next()
        if self._first is None:
            if refused:
                raise CameraError(f"{folder}: none of its {len(refused)} pictures can be read; the first: {refused[0]}")
            raise CameraError(f"{folder}: contains no pictures; add files that end in {', '.join(sorted(SUFFIXES))}")
        _report(refused)

    def grab(self) -> bool:
        """Read the next readable picture; False after the last."""
        picture, self._first = self._first, None
        if picture is None:
            picture, refused = self._next()
            _report(refused)
        if picture is None:
            return False
        self.grabbed = picture
        self.position_seconds = self._read / PICTURES_PER_SECOND
        self._read += 1
        return True

    def _next(self) -> tuple[Image | None, list[PictureError]]:
        """The next readable picture, and the errors of those skipped before it."""
        refused: list[PictureError] = []
        for path in self._paths:
            try:
                return read_picture(path), refused
            except PictureError as error:
                refused.append(error)
        return None, refused


def picture_paths(paths: Iterable[Path]) -> list[Path]:
    """Replace folders by the pictures in them, recursively and sorted by path; files are kept as they are.

    A picture in a folder is a file whose name ends in one of SUFFIXES; hidden files and folders are skipped.
    """
    # Path.is_dir raises if a parent folder cannot be entered; the error of read_picture is clearer.
    return [path for given in paths for path in (_pictures_in(given) if os.path.isdir(given) else [given])]  # noqa: PTH112


def _pictures_in(folder: Path) -> list[Path]:
    found = []
    for parent, folders, names in os.walk(folder, onerror=lambda error: log.warning("%s", error)):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name) for name in names if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    return sorted(found)


def _report(refused: list[PictureError]) -> None:
    for error in refused:
        log.warning("%s; skipped", error)
