"""Byte stream: finds the boundaries of pictures in a stream of bytes, and keeps the newest complete one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias

import cv2
import numpy as np

from edge_agent.errors import PictureError
from edge_agent.vision.images import decode_frame
from edge_agent.vision.planes import ColourSpace, Planes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edge_agent.domain import Image, Picture

# No camera's JPEG is larger; longer data without an end is garbage.
MAX_JPEG_BYTES = 32 * 1024 * 1024

RawPixels: TypeAlias = Literal["bgr", "i420", "nv12"]

# ITU T.81, table B.1: a segment is a marker, a length and that many bytes. The pixels of a scan follow its segment; in
# them a stuffed zero or a restart marker RST0..RST7 may follow 0xFF. 0xFF may be repeated anywhere.
_START = b"\xff\xd8\xff"
_END = re.compile(rb"\xff+\xd9")
_SEGMENT = re.compile(rb"\xff+([\xc0-\xcf\xda-\xfe])(..)", re.DOTALL)
_START_OF_SCAN = b"\xda"
_AFTER_PIXELS = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_MIN_SEGMENT_BYTES = 4


class JpegStream:
    """JPEGs with anything in between: programs may print log lines there, too."""

    def __init__(self) -> None:
        """Begin empty."""
        self._waiting = bytearray()
        self._newest: bytes | None = None
        # How far the incomplete JPEG was searched, so that the search continues there.
        self._searched = 0

    def add(self, chunk: bytes) -> None:
        """Add bytes: keep the newest complete JPEG, and the beginning of the next, of at most MAX_JPEG_BYTES."""
        self._waiting += chunk
        while (begin := self._waiting.find(_START)) >= 0:
            del self._waiting[:begin]
            end, is_whole, self._searched = _jpeg_end(self._waiting, self._searched)
            if is_whole:
                self._newest = bytes(self._waiting[:end])
            elif end is None:
                if len(self._waiting) <= MAX_JPEG_BYTES:
                    return
                end = len(_START)
            del self._waiting[:end]
            self._searched = 0
        # The last two bytes may be the beginning of the next start.
        del self._waiting[: -len(_START) + 1]

    def newest(self) -> Image | None:
        """Decode the newest complete JPEG, once; None if there is no new one, or it is damaged."""
        content, self._newest = self._newest, None
        if content is None:
            return None
        try:
            return decode_frame(content)
        except PictureError:
            return None


class RawStream:
    """Consecutive raw frames of one size."""

    def __init__(self, pixels: RawPixels, *, width_px: int, height_px: int) -> None:
        """`i420` and `nv12` need an even width and height."""
        planar = (height_px * 3 // 2, width_px)
        self._shape: tuple[int, ...]
        self._as_picture: Callable[[NDArray[np.uint8]], Picture]
        match pixels:
            case "bgr":
                self._shape, self._as_picture = (height_px, width_px, 3), np.copy
            case "i420":
                self._shape, self._as_picture = planar, _planes
            case "nv12":
                self._shape, self._as_picture = planar, _from_nv12
        self._frame_bytes = int(np.prod(self._shape))
        self._waiting = bytearray()
        self._newest: bytes | None = None

    def add(self, chunk: bytes) -> None:
        """Add bytes: keep the newest complete frame, and the beginning of the next."""
        self._waiting += chunk
        whole_bytes = len(self._waiting) // self._frame_bytes * self._frame_bytes
        if whole_bytes:
            self._newest = bytes(self._waiting[whole_bytes - self._frame_bytes : whole_bytes])
            del self._waiting[:whole_bytes]

    def newest(self) -> Picture | None:
        """Return the newest complete frame, once; None if there is no new one."""
        content, self._newest = self._newest, None
        return None if content is None else self._as_picture(np.frombuffer(content, np.uint8).reshape(self._shape))


def _planes(pixels: NDArray[np.uint8]) -> Planes:
    height_px, width_px = pixels.shape[0] * 2 // 3, pixels.shape[1]
    u, v = pixels[height_px:].reshape(2, height_px // 2, width_px // 2)
    return Planes(pixels[:height_px], u, v, ColourSpace("bt601", is_full_range=False))


def _from_nv12(pixels: NDArray[np.uint8]) -> Image:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_YUV2BGR_NV12), np.uint8)


def _jpeg_end(content: bytearray, searched: int) -> tuple[int | None, bool, int]:
    """Find the end of the JPEG that `content` begins with.

    Returns its length, whether it is intact, and how far the pixels of the newest scan were searched, where the next
    call continues. The length is None as long as it is unknown. Parsed by segments, because the thumbnail that many
    cameras embed has its own end marker.
    """
    position = 2
    if searched:
        after = _AFTER_PIXELS.search(content, searched)
        if after is None:
            return None, False, max(searched, len(content) - 1)
        position = after.start()
    while (end := _END.match(content, position)) is None:
        segment = _SEGMENT.match(content, position)
        if segment is None:
            return (None if len(content) - position < _MIN_SEGMENT_BYTES else position), False, 0
        position = segment.end(1) + int.from_bytes(segment[2], "big")
        if segment[1] == _START_OF_SCAN:
            after = _AFTER_PIXELS.search(content, position)
            if after is None:
                return None, False, max(position, len(content) - 1)
            position = after.start()
    return end.end(), True, 0
