"""Middleware: authenticates and limits requests and sockets, adapts them to a base path, and adds response headers."""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from edge_agent.console.auth import OPEN_FOLDER, set_cookie
from edge_agent.console.base_path import base_path_of, is_ingress, path_below
from edge_agent.host.token_bucket import TokenBucket

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from edge_agent.console.auth import Auth, Client

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
FRAMED_HEADERS = {
    "Content-Security-Policy": SECURITY_HEADERS["Content-Security-Policy"].replace(
        "frame-ancestors 'none'", "frame-ancestors 'self'"
    ),
    "X-Frame-Options": "SAMEORIGIN",
}
"""In place of these, if Home Assistant's ingress shows the page in a frame."""
HSTS = "max-age=31536000"
STATIC_CACHE = "public, no-cache"
"""Kept, but checked each time: after an upgrade a page must not run with the scripts of the version before."""
UNKNOWN_ADDRESS = "unknown"
DOCUMENT = "/openapi.json"
UPLOAD_PATH = "/api/v1/detect"
"""It has its own limit of bytes, see `uploads`."""
MAX_BODY_BYTES = 65_536
LOGGED_AT_ONCE, LOGGED_PER_SECOND = 10, 1 / 60
"""Tracebacks: a client that repeats a request that fails must not fill the log."""

log = logging.getLogger(__name__)


class Middleware:
    """ASGI middleware. Sets `request.state.client` and `request.state.base_path` of requests that it lets through."""

    def __init__(self, app: ASGIApp, *, auth: Auth, base_path: str = "") -> None:
        """`auth` authenticates and authorises; `base_path` is console.base_path."""
        self._app, self._auth, self._base_path = app, auth, base_path
        self._logged = TokenBucket(LOGGED_PER_SECOND, burst=LOGGED_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        headers = Headers(scope=scope)
        base_path = base_path_of(headers, configured=self._base_path)
        path = path_below(base_path, scope["path"])
        # FastAPI lists the root path of its document under `servers`.
        root = {"root_path": base_path} if path == DOCUMENT else {}
        scope = {**scope, **root, "path": path, "state": {**scope.get("state", {}), "base_path": base_path}}
        response = _ResponseSender(send, scope=scope, is_framed=is_ingress(headers, base_path))
        try:
            client = self._authorise(scope, headers)
        except HTTPException as refusal:
            body = {"detail": refusal.detail}
            await JSONResponse(body, refusal.status_code, refusal.headers)(scope, receive, response.send)
            return
        if client.kind != "program" and not client.cookie:
            client = self._auth.with_cookie(client)
            name = self._auth.cookie_name(scope["scheme"], base_path)
            response.page_cookie = set_cookie(name, client.cookie, scheme=scope["scheme"])
        scope["state"]["client"] = client
        is_bounded = scope["type"] == "http" and path != UPLOAD_PATH
        try:
            await self._app(scope, _bounded(receive) if is_bounded else receive, response.send)
        except ClientDisconnect:
            return
        except Exception:
            # A bug: log the route, without the content of the request.
            if self._logged.take(at=time.monotonic()):
                log.exception("the console failed at %s; please report this", _route(scope))
            # A partly sent response cannot be completed: uvicorn closes the connection.
            if not response.is_whole:
                raise

    def _authorise(self, scope: Scope, headers: Headers) -> Client:
        """Identify the client. Cheap checks come first, against floods.

        Raises:
            HTTPException: the request is refused.
        """
        auth, scheme = self._auth, scope["scheme"]
        address = scope["client"][0] if scope.get("client") else UNKNOWN_ADDRESS
        auth.check_rate(address)
        auth.check_host(headers)
        _check_length(scope, headers)
        client = auth.authenticate(headers, scheme=scheme, address=address, base_path=scope["state"]["base_path"])
        auth.check_origin(headers, scheme=scheme)
        is_socket, path = scope["type"] == "websocket", scope["path"]
        method, query = "GET" if is_socket else scope["method"], scope["query_string"].decode("latin-1")
        # A WebSocket is refused rather than redirected.
        auth.check_login(client, method="POST" if is_socket else method, path=path, query=query)
        auth.check_csrf(client, headers, method=method, path=path)
        return client


def _check_length(scope: Scope, headers: Headers) -> None:
    """Refuse a body whose stated length is too large, or ambiguous (request smuggling).

    Raises:
        HTTPException: 400 or 413.
    """
    stated = headers.getlist("content-length")
    if stated and headers.getlist("transfer-encoding"):
        text = "Content-Length and Transfer-Encoding exclude each other"
        raise HTTPException(400, text, {"Connection": "close"})
    is_large = any(length.isdecimal() and int(length[:20]) > MAX_BODY_BYTES for length in stated)
    if is_large and scope["path"] != UPLOAD_PATH:
        raise _too_large()


def _too_large() -> HTTPException:
    return HTTPException(413, f"a request may have {MAX_BODY_BYTES} bytes", {"Connection": "close"})


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
        if received_bytes > MAX_BODY_BYTES:
            raise _too_large()
        return message

    return bounded


class _ResponseSender:
    """Sends a response and adds the common headers.

    `page_cookie` is set with pages unless empty: their CSRF token belongs to it.
    """

    def __init__(self, send: Send, *, scope: Scope, is_framed: bool) -> None:
        self._send, self.page_cookie = send, ""
        self._base_path = scope["state"]["base_path"]
        self._security = {**SECURITY_HEADERS, **FRAMED_HEADERS} if is_framed else SECURITY_HEADERS
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
        for name, value in self._security.items():
            headers.setdefault(name, value)
        location = headers.get("location", "")
        if location.startswith("/") and not location.startswith("//"):
            headers["location"] = self._base_path + location
        # Camera pictures must not be cached.
        is_cacheable = self._is_static and message["status"] < HTTPStatus.BAD_REQUEST
        headers.setdefault("Cache-Control", STATIC_CACHE if is_cacheable else "no-store")
        if self._is_secure:
            headers["Strict-Transport-Security"] = HSTS
        if self.page_cookie and headers.get("content-type", "").startswith("text/html"):
            headers.append("Set-Cookie", self.page_cookie)


def _route(scope: Scope) -> str:
    """The path template of the route, which contains nothing from the client."""
    route = scope.get("route")
    return str(getattr(route, "path", scope["type"]))
