"""Picture size: how large will a picture be, before anything is decoded?

A few hundred bytes can state a picture of gigabytes. Headers of JPEG, PNG, BMP, WebP and TIFF.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

# A photograph has a few dozen segments before its pixels; a file made to waste time, millions.
MOST_JPEG_SEGMENTS = 1000
MOST_TIFF_ENTRIES = 1000

# SOF0..SOF15 of ITU T.81, table B.1, without DHT, JPG and DAC, which lie among them.
_JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_LEAD = 0xFF
_OS2_HEADER_BYTES = 12
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_SHORT, _TIFF_LONG = 3, 4


def picture_size(file: BinaryIO) -> tuple[int, int] | None:
    """Width and height in pixels as the header states them; None where it is none of the five kinds, or is cut off."""
    try:
        return _stated_size(file)
    except struct.error:
        return None


def _stated_size(file: BinaryIO) -> tuple[int, int] | None:
    start = file.read(16)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return _unpack(">II", file)
    if start.startswith(b"\xff\xd8"):
        return _jpeg_size(file)
    if start.startswith(b"BM"):
        return _bmp_size(file)
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return _webp_size(file, kind=start[12:16])
    if start[:4] in (b"II*\0", b"MM\0*"):
        return _tiff_size(file, order="<" if start[:1] == b"I" else ">")
    return None


def _unpack(layout: str, file: BinaryIO) -> tuple[int, int]:
    """Read two whole numbers."""
    first, second = struct.unpack(layout, file.read(struct.calcsize(layout)))
    return first, second


def _jpeg_size(file: BinaryIO) -> tuple[int, int] | None:
    file.seek(2)
    for _ in range(MOST_JPEG_SEGMENTS):
        lead, marker = _unpack("BB", file)
        while marker == _JPEG_LEAD:  # once too often: it may be repeated to fill up
            (marker,) = struct.unpack("B", file.read(1))
        if lead != _JPEG_LEAD:
            return None
        (length,) = struct.unpack(">H", file.read(2))
        if marker in _JPEG_FRAME_MARKERS:
            file.read(1)  # bits a sample
            height, width = _unpack(">HH", file)
            return width, height
        file.seek(max(length - 2, 0), 1)
    return None


def _bmp_size(file: BinaryIO) -> tuple[int, int]:
    file.seek(14)
    (header_bytes,) = struct.unpack("<I", file.read(4))
    # The header of OS/2 has short numbers; all later ones agree. A negative height: rows from the top.
    width, height = _unpack("<HH" if header_bytes == _OS2_HEADER_BYTES else "<ii", file)
    return width, abs(height)


def _webp_size(file: BinaryIO, *, kind: bytes) -> tuple[int, int] | None:
    file.seek(20)
    payload = file.read(10)
    match kind:
        case b"VP8 ":
            width, height = struct.unpack("<6xHH", payload)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            (bits,) = struct.unpack("<xI5x", payload)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return int.from_bytes(payload[4:7], "little") + 1, int.from_bytes(payload[7:10], "little") + 1
        case _:
            return None


def _tiff_size(file: BinaryIO, *, order: str) -> tuple[int, int] | None:
    file.seek(4)
    (directory,) = struct.unpack(f"{order}I", file.read(4))
    file.seek(directory)
    (count,) = struct.unpack(f"{order}H", file.read(2))
    found: dict[int, int] = {}
    for _ in range(min(count, MOST_TIFF_ENTRIES)):
        tag, kind, _, value = struct.unpack(f"{order}HHI4s", file.read(12))
        if kind in (_TIFF_SHORT, _TIFF_LONG):
            (found[tag],) = struct.unpack(f"{order}H2x" if kind == _TIFF_SHORT else f"{order}I", value)
    if _TIFF_WIDTH in found and _TIFF_HEIGHT in found:
        return found[_TIFF_WIDTH], found[_TIFF_HEIGHT]
    return None
