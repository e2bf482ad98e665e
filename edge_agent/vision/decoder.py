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
from contextlib import contextmanager, suppress
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
    from typing import BinaryIO

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
# An uncompressed file with four channels of 16 bits; a larger one is rejected.
MAX_BYTES_PER_PIXEL = 8
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
# Rows copied out of Pillow at a time: copying the whole picture would double the peak memory.
ROWS = 64
ORIENTATION_TAG = 0x0112

MIN_MEMORY_BYTES = 256 * 1024 * 1024
"""In addition to the libraries and the file."""
MEMORY_BYTES_PER_PIXEL = 6
"""Pillow stores a colour pixel in four bytes; six also suffice for a progressive JPEG of half the maximum size."""
CPU_SECONDS = 2.0
"""64 megapixels of JPEG take 0.9 s on x86-64."""
MAX_SECONDS = 30.0
"""A busy machine may give the process less than a tenth of a core. A longer time is that of a process that hangs."""
START_SECONDS = 20.0
"""A busy Raspberry Pi starts Python in five."""
IDLE_SECONDS = 60.0
"""Then an idle process ends and frees its 17 MB."""
REUSE_SECONDS = 50.0
"""A process that has been idle for longer gets no more pictures: it might end just then."""
MAX_REASON_BYTES = 500

_REQUEST = struct.Struct(">QQ")
_RESPONSE = struct.Struct(">BIII")
"""Whether pixels follow, then their width, height and EXIF orientation; otherwise the length of an error text."""
_CHILD_PROGRAM = """
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


def decode_untrusted(content: bytes, *, max_pixels: int, max_seconds: float = MAX_SECONDS) -> Decoded:
    """Decode in a separate process, within `max_seconds`. For any thread; each uses its own process.

    Raises:
        PictureError: it is not a picture, damaged, too large, or takes too much memory or time; or no process can be
            started.
    """
    try:
        with _process() as process:
            return process.decode(content, max_pixels=max_pixels, max_seconds=max_seconds)
    except OSError as error:
        raise PictureError(
            f"the picture: no decoder can be started: {error.strerror}; free memory, or stop other programs"
        ) from error


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
    with socket.socket(fileno=0) as connection, connection.makefile("rb") as requests:
        # Pillow's own plug-ins only.
        Image.preinit()
        base_bytes = _address_space_bytes()
        _, most_bytes = resource.getrlimit(resource.RLIMIT_AS)
        connection.settimeout(IDLE_SECONDS)
        while True:
            try:
                size_bytes, max_pixels = _REQUEST.unpack(_received(requests, _REQUEST.size))
            except (OSError, EOFError):
                return
            limit_bytes = base_bytes + size_bytes + max(MIN_MEMORY_BYTES, MEMORY_BYTES_PER_PIXEL * max_pixels)
            # Where the process has a hard limit, as of LimitAS= or ulimit -v, it cannot raise it.
            if most_bytes != resource.RLIM_INFINITY:
                limit_bytes = min(limit_bytes, most_bytes)
            resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, most_bytes))
            # By default its signal ends the process, even inside a decoder.
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            try:
                picture = _opened(_received(requests, size_bytes), max_pixels=max_pixels)
                orientation = _orientation(picture)
            except MemoryError:
                _refuse(connection, "needs too much memory to decode; save it again")
            except ValueError as error:
                _refuse(connection, str(error))
            else:
                connection.sendall(_RESPONSE.pack(True, picture.width, picture.height, orientation))
                # If memory runs out here, the process ends: a partly sent response cannot be replaced by an error.
                for strip in _strips(picture):
                    connection.sendall(strip)
            signal.setitimer(signal.ITIMER_PROF, 0.0)


def _refuse(connection: socket.socket, reason: str) -> None:
    text = reason.encode("utf-8", "replace")[:MAX_REASON_BYTES]
    connection.sendall(_RESPONSE.pack(False, len(text), 0, 0) + text)


def _address_space_bytes() -> int:
    """Size of the current address space: the first field of statm in proc(5), in pages."""
    with open("/proc/self/statm", "rb") as figures:  # noqa: PTH123  (pathlib is not needed otherwise)
        return int(figures.read().split()[0]) * resource.getpagesize()


def _received(stream: BinaryIO, size_bytes: int) -> bytes:
    """Read exactly `size_bytes`.

    Raises:
        EOFError: the connection was closed.
        OSError: the connection failed or timed out.
    """
    content = stream.read(size_bytes)
    if len(content) < size_bytes:
        raise EOFError
    return content


# The clients.


class DecoderProcess:
    """A decoder process. Owned by one thread at a time."""

    def __init__(self) -> None:
        """Start the process."""
        self._connection, child_end = socket.socketpair()
        with child_end:
            # Isolated from the working directory and the environment, from which foreign modules could be imported.
            code = _CHILD_PROGRAM.format(path=[os.path.abspath(folder or ".") for folder in sys.path])  # noqa: PTH100
            self._process = subprocess.Popen(  # noqa: S603  (our own code)
                [sys.executable, "-I", "-c", code],
                stdin=child_end.fileno(),
                stdout=subprocess.DEVNULL,
                # Libraries log damaged pictures there; the response reports them.
                stderr=subprocess.DEVNULL,
                # Ctrl-C is for the parent process.
                start_new_session=True,
            )
        self._responses = self._connection.makefile("rb")
        self._owner = os.getpid()
        self._has_answered = self._is_ended = False
        self._used_at = time.monotonic()

    @property
    def is_usable(self) -> bool:
        """Whether it is alive, not about to end, and was started by this process, not by one this was forked from."""
        is_recent = time.monotonic() - self._used_at < REUSE_SECONDS
        return is_recent and not self._is_ended and self._owner == os.getpid() and self._process.poll() is None

    def decode(self, content: bytes, *, max_pixels: int, max_seconds: float = MAX_SECONDS) -> Decoded:
        """Decode a picture.

        Raises:
            PictureError: as `decode_untrusted`; a process that does not respond in time is killed.
        """
        timer = threading.Timer(max_seconds + (0.0 if self._has_answered else START_SECONDS), self._end)
        timer.start()
        try:
            return self._decode(content, max_pixels=max_pixels)
        except (EOFError, OSError) as error:
            self._end()
            raise PictureError(
                "the picture: needs too much memory or time to decode, or is damaged; save it again"
            ) from error
        finally:
            timer.cancel()
            timer.join()
            self._used_at = time.monotonic()

    def _decode(self, content: bytes, *, max_pixels: int) -> Decoded:
        self._connection.sendall(_REQUEST.pack(len(content), max_pixels))
        self._connection.sendall(content)
        is_decoded, width_px, height_px, orientation = _RESPONSE.unpack(_received(self._responses, _RESPONSE.size))
        self._has_answered = True
        if not is_decoded:
            reason = _received(self._responses, min(width_px, MAX_REASON_BYTES))
            raise PictureError(f"the picture: {reason.decode('utf-8', 'replace')}")
        if not 0 < width_px * height_px <= max_pixels:
            raise EOFError
        pixels = bytearray(3 * width_px * height_px)
        if self._responses.readinto(pixels) < len(pixels):
            raise EOFError
        return Decoded(width_px, height_px, orientation, pixels)

    def _end(self) -> None:
        """Kill the process, without waiting until its memory is freed; its owner stops waiting for a response."""
        self._is_ended = True
        self._process.kill()
        # Whoever else holds the other end.
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Kill the process and wait for its end."""
        if self._owner == os.getpid():
            self._end()
            self._process.wait()
        self._responses.close()
        self._connection.close()


_idle: list[DecoderProcess] = []
_lock = threading.Lock()


@contextmanager
def _process() -> Iterator[DecoderProcess]:
    """Use an idle process, or a new one."""
    process = None
    with _lock:
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
        kept = process
        if not process.is_usable:
            # Freeing its memory takes a while. Replaced at once, so that the next picture does not wait for the start.
            threading.Thread(target=process.close, daemon=True).start()
            kept = DecoderProcess()
        with _lock:
            _idle.append(kept)


@atexit.register
def close_decoders() -> None:
    """Kill the idle processes, and wait for their end."""
    with _lock:
        while _idle:
            _idle.pop().close()
