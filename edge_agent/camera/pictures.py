"""Pictures: how are photographs read, one by one or a folder as a camera?"""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import cv2
import numpy as np

from edge_agent.camera.chatter import keep_quiet
from edge_agent.camera.picture_size import picture_size
from edge_agent.camera.pixels import as_bgr
from edge_agent.errors import CameraError, PictureError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_agent.domain import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})

# 192 MiB as BGR: the largest telephone sensors fit, and a Raspberry Pi with 1 GiB survives it.
LARGEST_PX = 64 * 1024 * 1024
# Uncompressed, with four channels of 16 bits, is the largest honest file.
MOST_BYTES_A_PIXEL = 8

# A folder says nothing about time. Two a second keeps a person's track alive (tracking.forget_seconds is 2) while
# the pictures of a time-lapse are still looked at one by one.
PICTURES_PER_SECOND = 2.0

log = logging.getLogger(__name__)


class PictureFolder:
    """A folder of pictures in name order, played like a recording. Unreadable ones are logged once and skipped."""

    def __init__(self, folder: Path) -> None:
        """List the folder and read its first picture, for a folder without any is of no use.

        Raises:
            CameraError: there is no picture, or none can be read.
        """
        self._paths = iter(picture_paths([folder]))
        self._read = 0
        self._first, refused = self._next()
        if self._first is None:
            if refused:
                raise CameraError(f"{folder}: none of its {len(refused)} pictures can be read; the first: {refused[0]}")
            raise CameraError(f"{folder}: holds no picture; put files there that end in {', '.join(sorted(SUFFIXES))}")
        _report(refused)

    @property
    def position_seconds(self) -> float:
        """Where the picture read last would stand in a recording."""
        return max(self._read - 1, 0) / PICTURES_PER_SECOND

    def read(self) -> Image | None:
        """Read the next picture that can be read; None after the last."""
        image, self._first = self._first, None
        if image is None:
            image, refused = self._next()
            _report(refused)
        self._read += image is not None
        return image

    def close(self) -> None:
        """Nothing is held open."""

    def _next(self) -> tuple[Image | None, list[PictureError]]:
        """The next readable picture, and why those before it were passed over."""
        refused: list[PictureError] = []
        for path in self._paths:
            try:
                return read_picture(path), refused
            except PictureError as error:
                refused.append(error)
        return None, refused


def read_picture(path: Path) -> Image:
    """Read a JPEG, PNG, BMP, WebP or TIFF as BGR uint8, (height, width, 3), turned upright as its EXIF data say.

    Raises:
        PictureError: it is missing, empty, too large, cut off or no picture; the message begins with the path.
    """
    try:
        pixels = _decode(_content(path))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise PictureError(f"{path}: {reason}") from error
    return pixels


def decode_picture(content: bytes, *, largest_px: int) -> Image:
    """Give the pixels of a JPEG, PNG, BMP, WebP or TIFF that is in memory, as `read_picture` does.

    Raises:
        PictureError: it is no picture, cut off, or states more than `largest_px` pixels.
    """
    try:
        _check_size(io.BytesIO(content), len(content), largest_px=largest_px)
        return _decode(content)
    except ValueError as error:
        raise PictureError(f"the picture: {error}") from error


def picture_paths(paths: Iterable[Path]) -> list[Path]:
    """List files as they are given, and in their place the pictures of folders and all folders inside, in name order.

    In folders a picture is what ends in one of SUFFIXES; hidden files and folders are passed over.
    """
    # Path.is_dir raises where a folder above may not be entered; read_picture says that better.
    return [path for given in paths for path in (_pictures_in(given) if os.path.isdir(given) else [given])]  # noqa: PTH112


def _pictures_in(folder: Path) -> list[Path]:
    found = []
    for parent, folders, names in os.walk(folder, onerror=lambda error: log.warning("%s", error)):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name) for name in names if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    return sorted(found)


def _content(path: Path) -> bytes:
    """Read a whole file after a look at its header.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no picture, or too large to decode.
    """
    # Opening a pipe would wait for whoever writes into it.
    if path.exists() and not path.is_file():
        raise ValueError("not a file; give pictures, or folders of pictures")
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes == 0:
            raise ValueError("the file is empty; copy it again")
        _check_size(file, size_bytes, largest_px=LARGEST_PX)
        file.seek(0)
        return file.read()


def _check_size(file: BinaryIO, size_bytes: int, *, largest_px: int) -> None:
    """Look at the header alone.

    Raises:
        ValueError: it is no picture, or too large to decode.
    """
    size = picture_size(file)
    if size is None:
        raise ValueError("not a JPEG, PNG, BMP, WebP or TIFF picture; convert it or take it away")
    width_px, height_px = size
    largest_bytes = MOST_BYTES_A_PIXEL * largest_px
    if width_px * height_px > largest_px or size_bytes > largest_bytes:
        raise ValueError(
            f"{width_px}x{height_px} pixels in {size_bytes} bytes are too large; make it smaller than "
            f"{largest_px // 1_000_000} megapixels and {largest_bytes // 1_000_000} MB"
        )


def _decode(content: bytes) -> Image:
    keep_quiet()
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise ValueError(f"cannot be decoded ({' '.join(str(error).split())}); copy it again") from error
    # OpenCV's stubs leave out that a failure is None.
    if pixels is None:
        raise ValueError("cut off or damaged; copy it again")
    return as_bgr(pixels)


def _report(refused: list[PictureError]) -> None:
    for error in refused:
        log.warning("%s; skipped", error)
