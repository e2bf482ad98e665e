"""Decoder: measures and decodes picture files, untrusted ones in a separate process.

Pillow measures and decodes, the same object both, so that no file is small to one parser and huge to another. What
comes from elsewhere is decoded in a process of its own with bounded memory, processor time and wall time: a file that
takes more ends that process, and the next picture gets another. Both sides of the pipe between them stand here; this
module imports neither NumPy nor OpenCV, so that such a process is small and starts at once.

A request is its length and the most pixels, then the file; an answer is a head, then a message or BGR pixels, top row
first. Nothing that comes back is interpreted: it is numbers, text and pixels.
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

# All that the process will ever need, before its memory is limited. MPO: a JPEG with a second one behind it.
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
# Uncompressed, with four channels of 16 bits, is the largest honest file.
MAX_BYTES_PER_PIXEL = 8
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
# So many rows are copied out of Pillow at a time: a second copy of the whole would double the peak.
ROWS = 64
ORIENTATION_TAG = 0x0112

LEAST_MEMORY_BYTES = 256 * 1024 * 1024
"""Beside the libraries and the file itself."""
MEMORY_BYTES_PER_PIXEL = 6
"""Pillow holds a pixel of colour in four bytes; a progressive JPEG of half that size fits as well."""
CPU_SECONDS = 2.0
"""64 megapixels of JPEG take 0.9 s on x86-64."""
WALL_SECONDS = 2.5
"""The sender of a picture has an answer within three seconds, however busy the machine is."""
START_SECONDS = 20.0
"""A Raspberry Pi whose processor is taken starts a Python in five."""
IDLE_SECONDS = 60.0
"""An idle process is ended and frees its 17 MB."""
LONGEST_REASON_BYTES = 500

_REQUEST = struct.Struct(">QQ")
_ANSWER = struct.Struct(">BIII")
"""What follows, then width, height and EXIF orientation, or the length of a reason."""
_READY, _PIXELS, _REFUSED = range(3)
_SIDE_OF_THE_PROCESS = """
import sys
sys.path[:] = {path!r}
from edge_agent.vision.decoder import serve
serve()
"""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A decoded picture as it lies in the file: `height_px` rows of `width_px` BGR pixels, not yet turned upright."""

    width_px: int
    height_px: int
    orientation: int
    """1 to 8, as EXIF has it; 1 is upright."""
    pixels: bytearray


def decode(content: bytes, *, max_pixels: int) -> Decoded:
    """Decode in this process: for pictures of the device's own cameras, and inside the process for all others.

    Raises:
        ValueError: it is no picture, damaged, too large, or its pixels are neither grey nor colour.
    """
    picture = _opened(content, max_pixels=max_pixels)
    pixels = bytearray(3 * picture.width * picture.height)
    position = 0
    for strip in _strips(picture):
        pixels[position : position + len(strip)] = strip
        position += len(strip)
    return Decoded(picture.width, picture.height, _orientation(picture), pixels)


def decode_untrusted(content: bytes, *, max_pixels: int) -> Decoded:
    """Decode in a process that may be ended. For any thread; each waits for a process of its own.

    Raises:
        PictureError: it is no picture, damaged, too large, or takes too much memory or time.
    """
    with _process() as process:
        return process.decode(content, max_pixels=max_pixels)


def _opened(content: bytes, *, max_pixels: int) -> Image.Image:
    """Look at the header, then load all pixels."""
    # Pillow's own limit would warn on stderr and let twice as much through; ours is checked below.
    Image.MAX_IMAGE_PIXELS = None
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ValueError("not a JPEG, PNG, BMP, WebP or TIFF picture; convert it or take it away") from error
    except MemoryError:
        raise
    except Exception as error:
        # What the decoder of WebP says where memory ends.
        raise ValueError("damaged, or takes more memory than a picture of its kind may; save it anew") from error
    _check_size(picture, len(content), max_pixels=max_pixels)
    try:
        picture.load()
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError("cut off or damaged; copy it again") from error
    _check_size(picture, len(content), max_pixels=max_pixels)
    if picture.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {picture.mode}, which is no colour or grey picture of 8 or 16 bits")
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
    """Give the pixels as BGR, so many rows at a time; without alpha, and of 16 bits the upper 8."""
    for top in range(0, picture.height, ROWS):
        rows = picture.crop((0, top, picture.width, min(top + ROWS, picture.height)))
        if rows.mode in SIXTEEN_BITS:
            is_big_endian = rows.mode == "I;16B" or (rows.mode == "I;16N" and sys.byteorder == "big")
            rows = Image.frombytes("L", rows.size, rows.tobytes()[0 if is_big_endian else 1 :: 2])
        yield (rows if rows.mode == "RGB" else rows.convert("RGB")).tobytes("raw", "BGR")


# The process.


def serve() -> None:
    """Decode one picture after the other until the requests end."""
    with socket.socket(fileno=0) as asked:
        # Plug-ins of Pillow itself; all others stay out.
        Image.preinit()
        taken_bytes = _address_space_bytes()
        _answer(asked, _READY)
        while True:
            asked.settimeout(IDLE_SECONDS)
            try:
                size_bytes, max_pixels = _REQUEST.unpack(_received(asked, _REQUEST.size))
            except (OSError, EOFError):
                return
            memory_bytes = max(LEAST_MEMORY_BYTES, MEMORY_BYTES_PER_PIXEL * max_pixels)
            resource.setrlimit(resource.RLIMIT_AS, (taken_bytes + size_bytes + memory_bytes, resource.RLIM_INFINITY))
            # By its default the signal ends the process, in the middle of whatever a decoder does.
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            asked.settimeout(WALL_SECONDS)
            _serve_one(asked, size_bytes, max_pixels=max_pixels)
            signal.setitimer(signal.ITIMER_PROF, 0.0)


def _serve_one(asked: socket.socket, size_bytes: int, *, max_pixels: int) -> None:
    try:
        picture = _opened(bytes(_received(asked, size_bytes)), max_pixels=max_pixels)
        orientation = _orientation(picture)
    except MemoryError:
        _answer(asked, _REFUSED, reason="takes more memory than a picture of its kind may; save it anew")
        return
    except ValueError as error:
        _answer(asked, _REFUSED, reason=str(error))
        return
    _answer(asked, _PIXELS, picture.width, picture.height, orientation)
    # Where memory ends here, the process does: what is half sent cannot be taken back.
    for strip in _strips(picture):
        asked.sendall(strip)


def _answer(asked: socket.socket, what: int, *numbers: int, reason: str = "") -> None:
    text = reason.encode("utf-8", "replace")[:LONGEST_REASON_BYTES]
    width_px, height_px, orientation = numbers or (len(text), 0, 0)
    asked.sendall(_ANSWER.pack(what, width_px, height_px, orientation) + text)


def _address_space_bytes() -> int:
    """What the process has mapped by now: statm of proc(5) begins with it, in pages."""
    with open("/proc/self/statm", "rb") as figures:  # noqa: PTH123  (pathlib is not needed otherwise)
        return int(figures.read().split()[0]) * resource.getpagesize()


def _received(connection: socket.socket, size_bytes: int, *, until: float | None = None) -> bytearray:
    """Read so many bytes, until a time of the monotonic clock where one is given.

    Raises:
        EOFError: the other side has gone.
        OSError: it says nothing for too long.
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


# Those who ask.


class DecoderProcess:
    """A process that decodes. Owned by one thread at a time."""

    def __init__(self) -> None:
        """Start it."""
        self._connection, theirs = socket.socketpair()
        with theirs:
            # Isolated from the working folder and the environment, where a foreign module could lie.
            code = _SIDE_OF_THE_PROCESS.format(path=[os.path.abspath(folder or ".") for folder in sys.path])  # noqa: PTH100
            self._process = subprocess.Popen(  # noqa: S603  (our own code)
                [sys.executable, "-I", "-c", code],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                # Libraries complain of damaged pictures there, which the answer does.
                stderr=subprocess.DEVNULL,
                # Ctrl-C is for the parent process.
                start_new_session=True,
            )
        self._owner = os.getpid()
        self._is_ready = self._is_ended = False

    @property
    def is_usable(self) -> bool:
        """Whether it lives, and belongs to this process and not to one that this was forked from."""
        return not self._is_ended and not self.is_gone

    def decode(self, content: bytes, *, max_pixels: int) -> Decoded:
        """Decode a picture.

        Raises:
            PictureError: as of `decode_untrusted`; where the process does not answer in time it is ended.
        """
        try:
            if not self._is_ready:
                _received(self._connection, _ANSWER.size, until=time.monotonic() + START_SECONDS)
                self._is_ready = True
            return self._decode(content, max_pixels=max_pixels, until=time.monotonic() + WALL_SECONDS)
        except (EOFError, OSError) as error:
            self.kill()
            raise PictureError(
                "the picture: takes more memory or time to decode than one of its size may, or is damaged; save it anew"
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
        """End it, without waiting until its memory is given back."""
        self._is_ended = True
        self._connection.close()
        if self._owner == os.getpid():
            self._process.kill()

    @property
    def is_gone(self) -> bool:
        """Whether nothing of it is left; of another process's it is not ours to ask."""
        return self._owner != os.getpid() or self._process.poll() is not None

    def close(self) -> None:
        """End it and wait for that."""
        self.kill()
        if self._owner == os.getpid():
            self._process.wait()


_idle: list[DecoderProcess] = []
_ended: list[DecoderProcess] = []
"""Killed, and perhaps not gone yet."""
_lock = threading.Lock()


@contextmanager
def _process() -> Iterator[DecoderProcess]:
    """Lend an idle process, or a new one."""
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
        # One that was ended is replaced at once: the next picture does not wait for it to start.
        kept = process if process.is_usable else DecoderProcess()
        with _lock:
            _idle.append(kept)
            if kept is not process:
                _ended.append(process)


@atexit.register
def close_decoders() -> None:
    """End the idle processes, and wait for those that were ended."""
    with _lock:
        for process in (*_idle, *_ended):
            process.close()
        _idle.clear()
        _ended.clear()
