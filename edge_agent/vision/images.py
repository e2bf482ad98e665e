"""Images: reads picture files as BGR arrays, and halves them.

JPEG, PNG, BMP, WebP and TIFF, for device, console and workstation. `decoder` implements the decoding.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.errors import PictureError
from edge_agent.vision.decoder import MAX_BYTES_PER_PIXEL, MAX_SECONDS, decode, decode_untrusted
from edge_agent.vision.planes import Planes, half

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.domain import Image, Picture
    from edge_agent.vision.decoder import Decoded

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})

# 192 MiB as BGR, and 256 MiB more during decoding: enough for the largest phone sensors, and small enough for a
# Raspberry Pi with 1 GiB.
MAX_PIXELS = 64 * 1024 * 1024


def read_picture(path: Path) -> Image:
    """Read a JPEG, PNG, BMP, WebP or TIFF as BGR uint8, (height, width, 3), rotated by its EXIF orientation.

    The file is not trusted: it is decoded in another process, with limited memory and time.

    Raises:
        PictureError: it is missing, empty, too large, truncated or not a picture; the message begins with the path.
    """
    try:
        return decode_picture(_content(path))
    except PictureError as error:
        raise PictureError(f"{path}: {str(error).removeprefix('the picture: ')}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise PictureError(f"{path}: {reason}") from error


def decode_picture(content: bytes, *, max_pixels: int = MAX_PIXELS, max_seconds: float = MAX_SECONDS) -> Image:
    """Decode a JPEG, PNG, BMP, WebP or TIFF in memory, as `read_picture` does.

    The limit of time is for a busy machine or a hanging process; that of CPU time is always two seconds.

    Raises:
        PictureError: it is not a picture, truncated, has more than `max_pixels`, or takes too much memory or time.
    """
    return _upright(decode_untrusted(content, max_pixels=max_pixels, max_seconds=max_seconds))


def decode_frame(content: bytes) -> Image:
    """Decode a frame of a configured camera in this process: a second process would be too slow for every frame.

    Raises:
        PictureError: it is not a picture, or truncated.
    """
    try:
        return _upright(decode(content, max_pixels=MAX_PIXELS))
    except (ValueError, MemoryError) as error:
        raise PictureError(f"the picture: {error}") from error


def halved(picture: Picture, *, width_px: int, height_px: int) -> Image:
    """Halve a picture as often as it stays at least this large: BGR, (height, width, 3), uint8."""
    if isinstance(picture, Planes):
        return picture.halved(width_px=width_px, height_px=height_px)
    image = np.asarray(picture)
    while image.shape[1] // 2 >= width_px and image.shape[0] // 2 >= height_px:
        image = half(image)
    return image


def _content(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is empty, too large, or not a file.
    """
    # Opening a pipe would wait for its writer.
    if path.exists() and not path.is_file():
        raise ValueError("not a file; give pictures, or folders of pictures")
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes == 0:
            raise ValueError("the file is empty; copy it again")
        if size_bytes > MAX_BYTES_PER_PIXEL * MAX_PIXELS:
            limit = f"{MAX_PIXELS // 1_000_000} megapixels and {MAX_BYTES_PER_PIXEL * MAX_PIXELS // 1_000_000} MB"
            raise ValueError(f"{size_bytes} bytes are too large; make it smaller than {limit}")
        return file.read()


def _upright(decoded: Decoded) -> Image:
    """Rotate and mirror a picture by its EXIF orientation: BGR uint8, (height, width, 3)."""
    pixels = np.frombuffer(decoded.pixels, np.uint8).reshape(decoded.height_px, decoded.width_px, 3)
    # EXIF 2.3, tag 274: from 5 on, rows and columns are exchanged.
    down = -1 if decoded.orientation in (3, 4, 6, 7) else 1
    right = -1 if decoded.orientation in (2, 3, 7, 8) else 1
    pixels = pixels[::down, ::right]
    if decoded.orientation >= 5:  # noqa: PLR2004
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels)
