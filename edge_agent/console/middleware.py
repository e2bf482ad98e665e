"""Middleware: authenticates and limits requests and sockets, and adds headers to responses."""

from __future__ import annotations

import json
import logging
import time
import traceback
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from edge_agent.console.auth import OPEN_FOLDER, Refusal, Visitor, set_cookie

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from edge_agent.console.auth import Auth

SECURITY_HEADERS = {
    # Only our own resources, no inline scripts or styles, no framing.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With no-referrer browsers would also omit the Origin of our own forms.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
HSTS = "max-age=31536000"
STATIC_CACHE = "public, max-age=300, stale-while-revalidate=86400"
"""Short, so that an upgrade takes effect within minutes."""
UNKNOWN_ADDRESS = "unknown"
UPLOAD_PATH = "/api/v1/detect"
"""It has its own limit of bytes, see `uploads`."""
LARGEST_BODY_BYTES = 65_536
TOO_LARGE = Refusal(413, f"a request may have {LARGEST_BODY_BYTES} bytes", (("Connection", "close"),))
FAILURE_SECONDS = 60.0
MOST_FAILURES = 1000

log = logging.getLogger(__name__)


class Middleware:
    """ASGI middleware. Sets `request.state.visitor` of requests that it lets through."""

    def __init__(self, app: ASGIApp, *, auth: Auth) -> None:
        """`auth` authenticates and authorises."""
        self._app, self._auth = app, auth
        self._failures = Failures()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        found = self._decide(scope)
        cookie = ""
        if isinstance(found, Visitor) and found.name != "program" and not found.cookie:
            found = self._auth.with_cookie(found)
            name = self._auth.cookie_name(scope["scheme"], scope["state"]["base_path"])
            cookie = set_cookie(name, found.cookie, scheme=scope["scheme"])
        answer = _Answer(send, scope=scope, page_cookie=cookie)
        if isinstance(found, Refusal):
            await _refuse(scope, answer.send, found)
            return
        scope["state"]["visitor"] = found
        is_bounded = scope["type"] == "http" and scope["path"] != UPLOAD_PATH
        try:
            await self._app(scope, _bounded(receive) if is_bounded else receive, answer.send)
        except ClientDisconnect:
            return
        except Exception as error:
            # A bug: log the route, without the content of the request.
            self._failures.note(error, _route(scope), at=time.monotonic())
            # A partly sent response cannot be completed: uvicorn closes the connection.
            if not answer.is_whole:
                raise

    def _decide(self, scope: Scope) -> Visitor | Refusal:
        """Identify the visitor, or find the first reason to refuse. Cheap checks come first, against floods."""
        auth, headers, scheme = self._auth, Headers(scope=scope), scope["scheme"]
        address = scope["client"][0] if scope.get("client") else UNKNOWN_ADDRESS
        refusal = auth.refuse_rate(address) or auth.refuse_host(headers) or _refuse_body(scope, headers)
        if refusal is not None:
            return refusal
        is_socket = scope["type"] == "websocket"
        method, path = "GET" if is_socket else scope["method"], scope["path"]
        visitor = auth.authenticate(headers, scheme=scheme, address=address, base_path=scope["state"]["base_path"])
        if isinstance(visitor, Refusal):
            return visitor
        query = scope["query_string"].decode("latin-1")
        return (
            auth.refuse_origin(headers, scheme=scheme)
            or auth.refuse_unauthenticated(visitor, method="POST" if is_socket else method, path=path, query=query)
            or auth.refuse_forgery(visitor, headers, method=method, path=path)
            or visitor
        )


class Failures:
    """Logs bugs: each traceback once, repetitions as one line a minute for all. Owned by the event loop."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str, int]] = set()
        self._logged_at, self._unlogged = float("-inf"), 0

    def note(self, error: BaseException, route: str, *, at: float) -> None:
        """Log a failure, or count it."""
        *_, last = traceback.extract_tb(error.__traceback__) or [traceback.FrameSummary("", 0, "")]
        place = (type(error).__name__, last.filename, last.lineno or 0)
        if place not in self._known and len(self._known) < MOST_FAILURES:
            self._known.add(place)
            log.error("the console failed at %s; please report this", route, exc_info=error)
            return
        self._unlogged += 1
        if at - self._logged_at >= FAILURE_SECONDS:
            log.error("the console failed %d more times, the last time at %s", self._unlogged, route)
            self._logged_at, self._unlogged = at, 0


def _refuse_body(scope: Scope, headers: Headers) -> Refusal | None:
    """Refuse a body whose stated length is too large, or ambiguous (request smuggling)."""
    stated = headers.getlist("content-length")
    if stated and headers.getlist("transfer-encoding"):
        return Refusal(400, "Content-Length and Transfer-Encoding exclude each other", (("Connection", "close"),))
    is_large = any(one.isdecimal() and int(one[:20]) > LARGEST_BODY_BYTES for one in stated)
    return TOO_LARGE if is_large and scope["path"] != UPLOAD_PATH else None


def _bounded(receive: Receive) -> Receive:
    """Limit the size of a body.

    Raises:
        HTTPException: 413, by the returned function.
    """
    received_bytes = 0

    async def bounded() -> Message:
        nonlocal received_bytes
        message = await receive()
        received_bytes += len(message.get("body", b""))
        if received_bytes > LARGEST_BODY_BYTES:
            raise HTTPException(TOO_LARGE.status, TOO_LARGE.text, dict(TOO_LARGE.headers))
        return message

    return bounded


class _Answer:
    """Sends a response and adds the common headers."""

    def __init__(self, send: Send, *, scope: Scope, page_cookie: str) -> None:
        """`page_cookie` is set with pages unless empty: their CSRF token belongs to it."""
        self._send, self._page_cookie = send, page_cookie
        self._is_secure = scope["scheme"] == "https"
        self._is_static = scope["path"].startswith(OPEN_FOLDER)
        self.is_whole = False

    async def send(self, message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            self._add_headers(message)
        await self._send(message)
        self.is_whole = message["type"] == "http.response.body" and not message.get("more_body")

    def _add_headers(self, message: MutableMapping[str, Any]) -> None:
        headers = MutableHeaders(scope=message)
        for name, value in SECURITY_HEADERS.items():
            headers.setdefault(name, value)
        # Camera pictures must not be cached.
        is_cacheable = self._is_static and message["status"] < HTTPStatus.BAD_REQUEST
        headers.setdefault("Cache-Control", STATIC_CACHE if is_cacheable else "no-store")
        if self._is_secure:
            headers["Strict-Transport-Security"] = HSTS
        if self._page_cookie and headers.get("content-type", "").startswith("text/html"):
            headers.append("Set-Cookie", self._page_cookie)


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Refuse a request, or a WebSocket before its handshake, with a JSON body."""
    body = json.dumps({"detail": refusal.text}).encode()
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    headers: Iterable[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in refusal.headers),
    ]
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": list(headers)})
    await send({"type": f"{kind}.body", "body": body})


def _route(scope: Scope) -> str:
    """The path template of the route, which contains nothing from the client."""
    route = scope.get("route")
    return str(getattr(route, "path", scope["type"]))
