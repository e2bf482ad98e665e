"""Still pictures: polls an HTTP address that returns one picture.

An unchanged picture (304) is not transferred again.
"""

from __future__ import annotations

import http.client
import re
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TypeAlias

from edge_agent.camera import EagerCamera
from edge_agent.camera.http_client import HttpClient
from edge_agent.config.redaction import shown_source
from edge_agent.errors import CameraError, PictureError
from edge_agent.vision.images import decode_picture

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from edge_agent.config.model import CameraConfig

# Most such cameras provide no more.
PICTURES_PER_SECOND = 2.0
# A larger response is not a camera's picture.
MAX_PICTURE_BYTES = 32 * 1024 * 1024
# First and maximum of the doubling intervals at which a picture is requested unconditionally although the camera calls
# it unchanged, as some always do.
FIRST_VERIFY_SECONDS, MAX_VERIFY_SECONDS = 0.5, 10.0
# Longer than the headers of any part of a multipart response.
BEGINNING_BYTES = 2048
CHUNK_BYTES = 65536
# Content types of a login, error or menu page.
PAGES = ("text/html", "application/xhtml+xml", "application/json")
WEB_PAGE = "answers with a web page instead of a picture or a video; check the path of the address"
COMPRESSIONS = ("gzip", "x-gzip", "deflate")
# Characters shown of the name of an unknown encoding.
MAX_SHOWN_CHARACTERS = 40
NOTHING = "answers with an empty response; check the path of the address, and restart the camera"
NOT_SENT = "calls a picture unchanged that it has not sent (304); restart the camera"
# JPEG, PNG and WebP: many cameras send a generic content type, or none.
_PICTURE = re.compile(rb"\xff\xd8\xff|\x89PNG|RIFF....WEBP", re.DOTALL)
_NEXT_PICTURE = re.compile(rb"\xff\xd9.{0,1000}?\xff\xd8\xff", re.DOTALL)
_PAGE = re.compile(rb"\s*<(!doctype )?html", re.IGNORECASE)
# A part of a multipart response: its boundary and its headers.
_PART = re.compile(rb"\s*--[^\n]*\n.*?\n\r?\n", re.DOTALL)
# Header that FFmpeg requires of a part.
_JPEG_PART = re.compile(rb"^content-type:\s*image/jpeg\s*$", re.IGNORECASE | re.MULTILINE)
_PART_LENGTH = re.compile(rb"^content-length:\s*([1-9]\d{0,9})\s*$", re.IGNORECASE | re.MULTILINE)
# The end of a JPEG, and what cameras append to it.
_JPEG_END = re.compile(rb"\xff\xd9[\r\n\0]*\Z")

HttpKind: TypeAlias = Literal["picture", "stream", "pictures"]


class StillCamera(EagerCamera):
    """Requests each picture from a camera. Owned by one thread."""

    def __init__(self, config: CameraConfig, *, stop: threading.Event) -> None:
        """Nothing is requested before the first `grab`, which ends soon after `stop` is set.

        Raises:
            CameraError: the address is invalid.
        """
        self._stop, self._shown = stop, shown_source(config.source)
        self._interval_seconds = 1 / (config.capture_fps or PICTURES_PER_SECOND)
        self._silence_seconds = config.read_timeout_seconds
        self._client = HttpClient(config.source, timeout_seconds=config.read_timeout_seconds)
        self._next_at = self._whole_at = time.monotonic()
        self._conditions: dict[str, str] = {}
        self._is_trusted, self._verify_at, self._verify_seconds = True, 0.0, FIRST_VERIFY_SECONDS
        self._content = b""

    def grab(self) -> bool:
        """Request the next picture once it is due, as `Camera`.

        A damaged one is passed over, unless there is no other for as long as a camera may be silent.
        """
        while True:
            if self._stop.wait(max(0.0, self._next_at - time.monotonic())):
                raise CameraError(f"{self._shown}: asked to stop")
            self._next_at = max(self._next_at + self._interval_seconds, time.monotonic())
            content, conditions = self._fetch(self._conditions)
            if content is None and time.monotonic() >= self._verify_at:
                content, conditions = self._fetch({})
                self._is_trusted = content in (None, self._content)
                self._verify_at = time.monotonic() + self._verify_seconds
                self._verify_seconds = min(2 * self._verify_seconds, MAX_VERIFY_SECONDS)
            if content is None and not self._content:
                raise CameraError(f"{self._shown}: {NOT_SENT}")
            # Unchanged: if that lasts, the camera counts as frozen, like any other.
            if content is None:
                return True
            try:
                self.grabbed = decode_picture(content, max_seconds=self._silence_seconds)
            except PictureError as error:
                if time.monotonic() - self._whole_at < self._silence_seconds and _PICTURE.match(content):
                    continue
                raise CameraError(f"{self._shown}: {_why_no_picture(content)}") from error
            self._content, self._whole_at = content, time.monotonic()
            self._conditions = conditions if self._is_trusted else {}
            return True

    def _fetch(self, conditions: Mapping[str, str]) -> tuple[bytes | None, dict[str, str]]:
        """Fetch the picture, None if it has not changed, and the headers by which to ask whether it has."""
        with self._client.get(conditions) as response:
            if response is None:
                return None, {}
            stated = {"If-None-Match": response.headers["ETag"], "If-Modified-Since": response.headers["Last-Modified"]}
            is_compressed = _is_compressed(response, shown=self._shown)
            try:
                content = response.read(MAX_PICTURE_BYTES + 1)
            except http.client.IncompleteRead as error:
                content = error.partial
            if is_compressed:
                content = _decompressed(content)
        if len(content) > MAX_PICTURE_BYTES:
            raise CameraError(f"{self._shown}: sends more than one picture; check the path")
        return content, {name: value for name, value in stated.items() if value}


def kind_of_address(config: CameraConfig) -> HttpKind:
    """Request an http:// address once to find out what it returns.

    That is one picture, a stream, or bare JPEG pictures: without anything between them, or with headers that FFmpeg
    does not accept as multipart, or without the right length.

    Raises:
        CameraError: it cannot be reached, rejects the request, or returns a web page or nothing.
    """
    shown = shown_source(config.source)
    with HttpClient(config.source, timeout_seconds=config.read_timeout_seconds).get() as response:
        if response is None:
            return "stream"
        is_compressed = _is_compressed(response, shown=shown)
        kind, beginning = response.headers.get_content_type(), _beginning(response)
        if is_compressed and _PICTURE.match(_decompressed(beginning)):
            return "picture"
        if _PICTURE.match(beginning):
            is_one = response.length is not None and kind.startswith("image/")
            return "picture" if is_one or _ends(response, beginning) else "pictures"
        if part := _PART.match(beginning):
            is_jpeg = _JPEG_PART.search(part[0]) is not None
            return "stream" if is_jpeg and _fits_its_length(response, part[0], beginning[part.end() :]) else "pictures"
    if not beginning:
        raise CameraError(f"{shown}: {NOTHING}")
    if kind in PAGES or _PAGE.match(beginning):
        raise CameraError(f"{shown}: {WEB_PAGE}")
    if kind.startswith("multipart/"):
        return "pictures"
    return "picture" if kind.startswith("image/") else "stream"


def _is_compressed(response: http.client.HTTPResponse, *, shown: str) -> bool:
    """Whether a response is compressed, although the request accepts only those that are not.

    Raises:
        CameraError: it is compressed in another way than by gzip or deflate.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return False
    if encoding not in COMPRESSIONS:
        raise CameraError(
            f"{shown}: compresses its answers by '{encoding[:MAX_SHOWN_CHARACTERS]}', which is not supported; disable "
            "compression in the settings of the camera, or of the proxy in front of it"
        )
    return True


def _decompressed(content: bytes) -> bytes:
    """Undo gzip or deflate, the latter with or without zlib's header; content that is neither is returned as it is."""
    for window_bits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
        with suppress(zlib.error):
            return zlib.decompressobj(window_bits).decompress(content, MAX_PICTURE_BYTES + 1)
    return content


def _beginning(response: http.client.HTTPResponse) -> bytes:
    """Read enough to distinguish pictures, multipart streams and pages; a stream sends its beginning in pieces."""
    content = b""
    while len(content) < BEGINNING_BYTES and not (_PICTURE.match(content) or _PART.match(content)):
        piece = response.read1(BEGINNING_BYTES)
        if not piece:
            break
        content += piece
    return content


def _ends(response: http.client.HTTPResponse, content: bytes) -> bool:
    """Whether a response ends with its first picture."""
    content, is_whole = _read_on(response, content, limit_bytes=MAX_PICTURE_BYTES)
    return is_whole


def _fits_its_length(response: http.client.HTTPResponse, headers: bytes, content: bytes) -> bool:
    """Whether the JPEG of a part ends where its headers state."""
    stated = _PART_LENGTH.search(headers)
    if stated is None or (length := int(stated[1])) > MAX_PICTURE_BYTES:
        return False
    content, _ = _read_on(response, content, limit_bytes=length)
    return len(content) >= length and _JPEG_END.search(content, 0, length) is not None


def _read_on(response: http.client.HTTPResponse, content: bytes, *, limit_bytes: int) -> tuple[bytes, bool]:
    """Read until `limit_bytes`, a second picture or the timeout; also whether the response ended before."""
    searched = 0
    while len(content) < limit_bytes and not _NEXT_PICTURE.search(content, searched):
        searched = max(0, len(content) - CHUNK_BYTES)
        try:
            piece = response.read1(CHUNK_BYTES)
        except TimeoutError:
            return content, False
        if not piece:
            return content, True
        content += piece
    return content, False


def _why_no_picture(content: bytes) -> str:
    if not content:
        return NOTHING
    if _PICTURE.match(content):
        return "sends damaged or too large pictures; restart the camera, or choose a lower resolution in its settings"
    if _PAGE.match(content):
        return WEB_PAGE
    return (
        "answers with something other than JPEG, PNG, WebP, BMP or TIFF; check the path, or choose JPEG in its settings"
    )
