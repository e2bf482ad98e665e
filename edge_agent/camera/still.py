"""Still pictures: polls an HTTP address that returns one picture.

Basic and digest authentication; an unchanged picture (304) is not transferred again.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from edge_agent.config.redaction import shown_source
from edge_agent.errors import CameraError, PictureError
from edge_agent.vision.images import decode_picture

if TYPE_CHECKING:
    import threading

    from edge_agent.config.model import CameraConfig
    from edge_agent.domain import Image

# Most such cameras provide no more.
PICTURES_PER_SECOND = 2.0
# A larger response is not a camera's picture.
LARGEST_PICTURE_BYTES = 32 * 1024 * 1024
# Content types of a login, error or menu page.
PAGES = ("text/html", "application/xhtml+xml", "application/json")
WEB_PAGE = "answers with a web page where a picture or a video is expected; check the path of the address"
# Magic bytes of JPEG and PNG: many cameras send a generic content type, or none.
BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG")


class StillCamera:
    """Requests each picture from a camera. Owned by one thread."""

    position_seconds: None = None
    age_seconds = 0.0

    def __init__(self, config: CameraConfig, *, stop: threading.Event) -> None:
        """Nothing is requested before the first `grab`, which ends soon after `stop` is set."""
        self._config, self._stop, self._shown = config, stop, shown_source(config.source)
        self._interval_seconds = 1 / (config.capture_fps or PICTURES_PER_SECOND)
        self._address, self._opener = _opener(config.source)
        self._conditions: dict[str, str] = {}
        self._next_at = time.monotonic()
        self._grabbed: Image

    def grab(self) -> bool:
        """Request the next picture once it is due; always True.

        Raises:
            CameraError: the camera is lost, rejects the request, sends no picture, or `stop` is set.
        """
        if self._stop.wait(max(0.0, self._next_at - time.monotonic())):
            raise CameraError(f"{self._shown}: asked to stop")
        self._next_at = max(self._next_at + self._interval_seconds, time.monotonic())
        content = self._ask()
        # Unchanged: if that lasts, the camera counts as frozen, like any other.
        if content is None:
            return True
        try:
            self._grabbed = decode_picture(content)
        except PictureError as error:
            raise CameraError(f"{self._shown}: {error}") from error
        return True

    def retrieve(self) -> Image:
        """Return the last grabbed picture."""
        return self._grabbed

    def close(self) -> None:
        """Do nothing: no connection is kept open."""

    def _ask(self) -> bytes | None:
        """Fetch the picture; None if it has not changed."""
        request = urllib.request.Request(self._address, headers=self._conditions)  # noqa: S310  (http or https: checked)
        try:
            with closing(self._opener.open(request, timeout=self._config.read_timeout_seconds)) as answer:
                content: bytes = answer.read(LARGEST_PICTURE_BYTES + 1)
                kind = answer.headers.get_content_type()
                self._remember(answer.headers)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == http.client.NOT_MODIFIED:
                return None
            raise CameraError(f"{self._shown}: {_refusal(error.code)}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CameraError(f"{self._shown}: {_why_away(error)}") from error
        if kind in PAGES:
            raise CameraError(f"{self._shown}: {WEB_PAGE}")
        if len(content) > LARGEST_PICTURE_BYTES:
            raise CameraError(f"{self._shown}: sends more than a picture; check the path")
        return content

    def _remember(self, headers: Any) -> None:
        """Set the headers of the next request so that an unchanged picture is not sent again."""
        known = {"If-None-Match": headers.get("ETag"), "If-Modified-Since": headers.get("Last-Modified")}
        self._conditions = {name: value for name, value in known.items() if value}


class _Login(urllib.request.BaseHandler):
    """Logs in, and closes the 401 response, which urllib leaves open."""

    def http_error_401(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        """Repeat the request with credentials, if any."""
        is_answered = True
        try:
            answer = super().http_error_401(req, fp, code, msg, headers)  # type: ignore[misc]  # of the other base
            is_answered = answer is not None
            return answer
        finally:
            # Otherwise the next handler needs it.
            if is_answered:
                fp.close()


class _DigestLogin(_Login, urllib.request.HTTPDigestAuthHandler):
    """RFC 7616."""


class _BasicLogin(_Login, urllib.request.HTTPBasicAuthHandler):
    """RFC 7617."""


def gives_still_pictures(config: CameraConfig) -> bool:
    """Request an http:// address once to find out whether it returns a single picture instead of a stream.

    Raises:
        CameraError: it cannot be reached, rejects the request, or returns a web page.
    """
    address, opener = _opener(config.source)
    shown = shown_source(config.source)
    try:
        with closing(opener.open(address, timeout=config.read_timeout_seconds)) as answer:
            kind: str = answer.headers.get_content_type()
            # A stream may begin with a picture, too, but has no length.
            is_picture = "Content-Length" in answer.headers and answer.read(4).startswith(BEGINNINGS)
    except urllib.error.HTTPError as error:
        error.close()
        raise CameraError(f"{shown}: {_refusal(error.code)}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CameraError(f"{shown}: {_why_away(error)}") from error
    if kind in PAGES:
        raise CameraError(f"{shown}: {WEB_PAGE}")
    return is_picture or kind.startswith("image/")


def _opener(source: str) -> tuple[str, urllib.request.OpenerDirector]:
    """The address without credentials, and an opener that logs in with them, basic or digest as the camera requires."""
    try:
        parts = urlsplit(source)
        host = parts.netloc.rpartition("@")[2]
        address = urlunsplit((parts.scheme.lower(), host, parts.path or "/", parts.query, ""))
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        _ = parts.port
    except ValueError as error:
        raise CameraError(
            f"{shown_source(source)}: is not a valid address; write http://user:password@host:port/path, with special "
            "characters as %40"
        ) from error
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    if user:
        passwords.add_password(None, address, user, password)
    return address, urllib.request.build_opener(
        # Cameras are in the local network: no proxy.
        urllib.request.ProxyHandler({}),
        _DigestLogin(passwords),
        _BasicLogin(passwords),
    )


def _why_away(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    reason_text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return f"cannot be reached ({reason_text}); check the address, the camera's power and the network"


def _refusal(code: int) -> str:
    match code:
        case 401 | 403:
            return f"refuses user or password ({code}); check both in the address, with special characters as %40"
        case 404 | 410:
            return f"has no such path ({code}); check the part of the address behind the host in the camera's manual"
        case _ if code >= http.client.INTERNAL_SERVER_ERROR:
            return f"answers with an error of its own ({code}); too many viewers? Close others or restart it"
        case _:
            return f"does not accept the request ({code}); check the address in the camera's manual"
