"""Images: what are the pixels of a picture file?

The one decoder of JPEG, PNG, BMP, WebP and TIFF, for device, console and workstation. Pillow measures and decodes, so
that no file is small to one parser and huge to another.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from edge_agent.errors import PictureError

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.domain import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")

# 192 MiB as BGR and 256 MiB more while it is decoded: the largest telephone sensors fit, and a Raspberry Pi with 1 GiB
# survives it.
MAX_PIXELS = 64 * 1024 * 1024
# Uncompressed, with four channels of 16 bits, is the largest honest file.
MAX_BYTES_PER_PIXEL = 8
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
# So many rows are copied out of Pillow at a time: a second copy of the whole would double the peak.
ROWS = 64


def read_picture(path: Path) -> Image:
    """Read a JPEG, PNG, BMP, WebP or TIFF as BGR uint8, (height, width, 3), turned upright as its EXIF data say.

    Raises:
        PictureError: it is missing, empty, too large, cut off or no picture; the message begins with the path.
    """
    try:
        return _decode(_content(path), max_pixels=MAX_PIXELS)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise PictureError(f"{path}: {reason}") from error


def decode_picture(content: bytes, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Decode a JPEG, PNG, BMP, WebP or TIFF that is in memory, as `read_picture` does.

    Raises:
        PictureError: it is no picture, cut off, or has more than `max_pixels`.
    """
    try:
        return _decode(content, max_pixels=max_pixels)
    except ValueError as error:
        raise PictureError(f"the picture: {error}") from error


def _content(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is empty, too large, or no file.
    """
    # Opening a pipe would wait for whoever writes into it.
    if path.exists() and not path.is_file():
        raise ValueError("not a file; give pictures, or folders of pictures")
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes == 0:
            raise ValueError("the file is empty; copy it again")
        if size_bytes > MAX_BYTES_PER_PIXEL * MAX_PIXELS:
            raise ValueError(f"{size_bytes} bytes are too large; make it smaller than {_limits(MAX_PIXELS)}")
        return file.read()


def _decode(content: bytes, *, max_pixels: int) -> Image:
    """Look at the header, then decode in full.

    Raises:
        ValueError: it is no picture, damaged, too large, or its pixels are neither grey nor colour.
    """
    # Pillow's own limit would warn on stderr and let twice as much through; ours is checked below.
    Pillow.MAX_IMAGE_PIXELS = None
    try:
        picture = Pillow.open(io.BytesIO(content), formats=FORMATS)
    except Exception as error:
        raise ValueError("not a JPEG, PNG, BMP, WebP or TIFF picture; convert it or take it away") from error
    with picture:
        width_px, height_px = picture.size
        if width_px * height_px > max_pixels or len(content) > MAX_BYTES_PER_PIXEL * max_pixels:
            raise ValueError(
                f"{width_px}x{height_px} pixels in {len(content)} bytes are too large; make it smaller than "
                f"{_limits(max_pixels)}"
            )
        try:
            picture.load()
            ImageOps.exif_transpose(picture, in_place=True)
        except Exception as error:
            raise ValueError("cut off or damaged; copy it again") from error
        return _as_bgr(picture)


def _as_bgr(picture: Pillow.Image) -> Image:
    """Drop alpha, and of 16 bits the lower 8.

    Raises:
        ValueError: no grey or colour picture, such as one of floating-point numbers.
    """
    if picture.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {picture.mode}, which is no colour or grey picture of 8 or 16 bits")
    width_px, height_px = picture.size
    pixels = np.empty((height_px, width_px, 3), np.uint8)
    for top in range(0, height_px, ROWS):
        rows, copied = picture.crop((0, top, width_px, min(top + ROWS, height_px))), pixels[top : top + ROWS]
        if rows.mode in SIXTEEN_BITS:
            cv2.cvtColor((np.asarray(rows) >> 8).astype(np.uint8), cv2.COLOR_GRAY2BGR, dst=copied)
        else:
            colour = rows if rows.mode == "RGB" else rows.convert("RGB")
            cv2.cvtColor(np.asarray(colour), cv2.COLOR_RGB2BGR, dst=copied)
    return pixels


def _limits(max_pixels: int) -> str:
    return f"{max_pixels // 1_000_000} megapixels and {MAX_BYTES_PER_PIXEL * max_pixels // 1_000_000} MB"
