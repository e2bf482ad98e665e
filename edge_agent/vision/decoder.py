"""Decoder: measures and decodes picture files, untrusted ones in a separate process.

Pillow both measures and decodes, so that no file is small to one parser and huge to another. Untrusted files are
decoded in a separate process with limited memory, CPU time and wall time: a file that exceeds them ends the process,
and the next picture gets a new one. This module contains both ends of the connection; it imports neither NumPy nor
OpenCV, so that the process is small and starts quickly.

A request is the file's length and the maximum number of pixels, then the file; a response is a header, then an error
text or BGR pixels, top row first. A response is never interpreted further: it is numbers, text and pixels.
"""

from __future__ import annotations

import atexit
import io
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

# All that the process needs, imported before its memory is limited. MPO: a JPEG followed by another.
from PIL import (
    BmpImagePlugin,  # noqa: F401
    Image,
    JpegImagePlugin,  # noqa: F401
    MpoImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from edge_agent.errors import PictureError

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
# An uncompressed file with four channels of 16 bits; a larger one is rejected.
MAX_BYTES_PER_PIXEL = 8
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
# Rows copied out of Pillow at a time: copying the whole picture would double the peak memory.
ROWS = 64
ORIENTATION_TAG = 0x0112

LEAST_MEMORY_BYTES = 256 * 1024 * 1024
"""In addition to the libraries and the file."""
MEMORY_BYTES_PER_PIXEL = 6
"""Pillow stores a colour pixel in four bytes; six also suffice for a progressive JPEG of half the maximum size."""
CPU_SECONDS = 2.0
"""64 megapixels of JPEG take 0.9 s on x86-64."""
WALL_SECONDS = 2.5
"""So that the sender of a picture gets a response within three seconds on a busy machine, too."""
START_SECONDS = 20.0
"""A busy Raspberry Pi starts Python in five."""
IDLE_SECONDS = 60.0
"""Then an idle process ends and frees its 17 MB."""
LONGEST_REASON_BYTES = 500

_REQUEST = struct.Struct(">QQ")
_ANSWER = struct.Struct(">BIII")
"""Kind of the response, then width, height and EXIF orientation, or the length of an error text."""
_READY, _PIXELS, _REFUSED = range(3)
_SIDE_OF_THE_PROCESS = """
import sys
sys.path[:] = {path!r}
from edge_agent.vision.decoder import serve
serve()
"""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A decoded picture before its EXIF rotation: `height_px` rows of `width_px` BGR pixels, 8 bits per channel."""

    width_px: int
    height_px: int
    orientation: int
    """EXIF orientation, 1 to 8; 1 is upright."""
    pixels: bytearray


def decode(content: bytes, *, max_pixels: int) -> Decoded:
    """Decode in this process: for pictures of configured cameras.

    Raises:
        ValueError: it is not a picture, damaged, too large, or its pixels are neither grey nor colour.
    """
    picture = _opened(content, max_pixels=max_pixels)
    pixels = bytearray(3 * picture.width * picture.height)
    position = 0
    for strip in _strips(picture):
        pixels[position : position + len(strip)] = strip
        position += len(strip)
    return Decoded(picture.width, picture.height, _orientation(picture), pixels)


def decode_untrusted(content: bytes, *, max_pixels: int) -> Decoded:
    """Decode in a separate process. For any thread; each uses its own process.

    Raises:
        PictureError: it is not a picture, damaged, too large, or takes too much memory or time.
    """
    with _process() as process:
        return process.decode(content, max_pixels=max_pixels)


def _opened(content: bytes, *, max_pixels: int) -> Image.Image:
    """Parse the header, then load all pixels."""
    # Pillow's own limit would warn on stderr and accept twice as much; `max_pixels` is checked below.
    Image.MAX_IMAGE_PIXELS = None
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ValueError("not a JPEG, PNG, BMP, WebP or TIFF picture; convert or remove it") from error
    except MemoryError:
        raise
    except Exception as error:
        # The WebP decoder raises various exceptions if memory runs out.
        raise ValueError("damaged, or needs too much memory to decode; save it again") from error
    _check_size(picture, len(content), max_pixels=max_pixels)
    try:
        picture.load()
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError("truncated or damaged; copy it again") from error
    _check_size(picture, len(content), max_pixels=max_pixels)
    if picture.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {picture.mode}, not grey or colour with 8 or 16 bits")
    return picture


def _check_size(picture: Image.Image, size_bytes: int, *, max_pixels: int) -> None:
    if picture.width * picture.height > max_pixels or size_bytes > MAX_BYTES_PER_PIXEL * max_pixels:
        raise ValueError(
            f"{picture.width}x{picture.height} pixels in {size_bytes} bytes are too large; make it smaller than "
            f"{max_pixels // 1_000_000} megapixels and {MAX_BYTES_PER_PIXEL * max_pixels // 1_000_000} MB"
        )


def _orientation(picture: Image.Image) -> int:
    try:
        value = picture.getexif().get(ORIENTATION_TAG, 1)
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError("its EXIF data are damaged; copy it again") from error
    return value if isinstance(value, int) and 1 <= value <= 8 else 1  # noqa: PLR2004  (EXIF 2.3, tag 274)


def _strips(picture: Image.Image) -> Iterator[bytes]:
    """Yield the pixels as BGR, ROWS rows at a time; without alpha, and the upper 8 of 16 bits."""
    for top in range(0, picture.height, ROWS):
        rows = picture.crop((0, top, picture.width, min(top + ROWS, picture.height)))
        if rows.mode in SIXTEEN_BITS:
            is_big_endian = rows.mode == "I;16B" or (rows.mode == "I;16N" and sys.byteorder == "big")
            rows = Image.frombytes("L", rows.size, rows.tobytes()[0 if is_big_endian else 1 :: 2])
        yield (rows if rows.mode == "RGB" else rows.convert("RGB")).tobytes("raw", "BGR")


# The decoder process.


def serve() -> None:
    """Decode pictures from the socket on stdin until the requests end."""
    with socket.socket(fileno=0) as connection:
        # Pillow's own plug-ins only.
        Image.preinit()
        taken_bytes = _address_space_bytes()
        _answer(connection, _READY)
        while True:
            connection.settimeout(IDLE_SECONDS)
            try:
                size_bytes, max_pixels = _REQUEST.unpack(_received(connection, _REQUEST.size))
            except (OSError, EOFError):
                return
            memory_bytes = max(LEAST_MEMORY_BYTES, MEMORY_BYTES_PER_PIXEL * max_pixels)
            resource.setrlimit(resource.RLIMIT_AS, (taken_bytes + size_bytes + memory_bytes, resource.RLIM_INFINITY))
            # By default its signal ends the process, even inside a decoder.
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            connection.settimeout(WALL_SECONDS)
            _serve_one(connection, size_bytes, max_pixels=max_pixels)
            signal.setitimer(signal.ITIMER_PROF, 0.0)


def _serve_one(connection: socket.socket, size_bytes: int, *, max_pixels: int) -> None:
    try:
        picture = _opened(bytes(_received(connection, size_bytes)), max_pixels=max_pixels)
        orientation = _orientation(picture)
    except MemoryError:
        _answer(connection, _REFUSED, reason="needs too much memory to decode; save it again")
        return
    except ValueError as error:
        _answer(connection, _REFUSED, reason=str(error))
        return
    _answer(connection, _PIXELS, picture.width, picture.height, orientation)
    # If memory runs out here, the process ends: a partly sent response cannot be replaced by an error.
    for strip in _strips(picture):
        connection.sendall(strip)


def _answer(connection: socket.socket, what: int, *numbers: int, reason: str = "") -> None:
    text = reason.encode("utf-8", "replace")[:LONGEST_REASON_BYTES]
    width_px, height_px, orientation = numbers or (len(text), 0, 0)
    connection.sendall(_ANSWER.pack(what, width_px, height_px, orientation) + text)


def _address_space_bytes() -> int:
    """Size of the current address space: the first field of statm in proc(5), in pages."""
    with open("/proc/self/statm", "rb") as figures:  # noqa: PTH123  (pathlib is not needed otherwise)
        return int(figures.read().split()[0]) * resource.getpagesize()


def _received(connection: socket.socket, size_bytes: int, *, until: float | None = None) -> bytearray:
    """Read exactly `size_bytes`; `until` is a monotonic deadline.

    Raises:
        EOFError: the connection was closed.
        OSError: the connection failed or timed out.
    """
    content = bytearray(size_bytes)
    left = memoryview(content)
    while left:
        if until is not None:
            connection.settimeout(max(until - time.monotonic(), 0.001))
        count = connection.recv_into(left)
        if not count:
            raise EOFError
        left = left[count:]
    return content


# The clients.


class DecoderProcess:
    """A decoder process. Owned by one thread at a time."""

    def __init__(self) -> None:
        """Start the process."""
        self._connection, theirs = socket.socketpair()
        with theirs:
            # Isolated from the working directory and the environment, from which foreign modules could be imported.
            code = _SIDE_OF_THE_PROCESS.format(path=[os.path.abspath(folder or ".") for folder in sys.path])  # noqa: PTH100
            self._process = subprocess.Popen(  # noqa: S603  (our own code)
                [sys.executable, "-I", "-c", code],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                # Libraries log damaged pictures there; the response reports them.
                stderr=subprocess.DEVNULL,
                # Ctrl-C is for the parent process.
                start_new_session=True,
            )
        self._owner = os.getpid()
        self._is_ready = self._is_ended = False

    @property
    def is_usable(self) -> bool:
        """Whether it is alive and was started by this process, not by one that this was forked from."""
        return not self._is_ended and not self.is_gone

    def decode(self, content: bytes, *, max_pixels: int) -> Decoded:
        """Decode a picture.

        Raises:
            PictureError: as `decode_untrusted`; a process that does not respond in time is killed.
        """
        try:
            if not self._is_ready:
                _received(self._connection, _ANSWER.size, until=time.monotonic() + START_SECONDS)
                self._is_ready = True
            return self._decode(content, max_pixels=max_pixels, until=time.monotonic() + WALL_SECONDS)
        except (EOFError, OSError) as error:
            self.kill()
            raise PictureError(
                "the picture: needs too much memory or time to decode, or is damaged; save it again"
            ) from error

    def _decode(self, content: bytes, *, max_pixels: int, until: float) -> Decoded:
        for part in (_REQUEST.pack(len(content), max_pixels), content):
            self._connection.settimeout(max(until - time.monotonic(), 0.001))
            self._connection.sendall(part)
        head = _received(self._connection, _ANSWER.size, until=until)
        what, width_px, height_px, orientation = _ANSWER.unpack(head)
        if what != _PIXELS:
            reason = _received(self._connection, min(width_px, LONGEST_REASON_BYTES), until=until)
            raise PictureError(f"the picture: {reason.decode('utf-8', 'replace')}")
        if not 0 < width_px * height_px <= max_pixels:
            raise EOFError
        pixels = _received(self._connection, 3 * width_px * height_px, until=until)
        return Decoded(width_px, height_px, orientation, pixels)

    def kill(self) -> None:
        """Kill the process, without waiting until its memory is freed."""
        self._is_ended = True
        self._connection.close()
        if self._owner == os.getpid():
            self._process.kill()

    @property
    def is_gone(self) -> bool:
        """Whether it has ended, or was started by another process."""
        return self._owner != os.getpid() or self._process.poll() is not None

    def close(self) -> None:
        """Kill the process and wait for its end."""
        self.kill()
        if self._owner == os.getpid():
            self._process.wait()


_idle: list[DecoderProcess] = []
_ended: list[DecoderProcess] = []
"""Killed, and not necessarily reaped yet."""
_lock = threading.Lock()


@contextmanager
def _process() -> Iterator[DecoderProcess]:
    """Use an idle process, or a new one."""
    process = None
    with _lock:
        _ended[:] = [one for one in _ended if not one.is_gone]
        while _idle and process is None:
            candidate = _idle.pop()
            if candidate.is_usable:
                process = candidate
            else:
                candidate.close()
    process = process or DecoderProcess()
    try:
        yield process
    finally:
        # A killed one is replaced at once, so that the next picture does not wait for its start.
        kept = process if process.is_usable else DecoderProcess()
        with _lock:
            _idle.append(kept)
            if kept is not process:
                _ended.append(process)


@atexit.register
def close_decoders() -> None:
    """Kill the idle processes, and wait for all killed ones."""
    with _lock:
        for process in (*_idle, *_ended):
            process.close()
        _idle.clear()
        _ended.clear()
