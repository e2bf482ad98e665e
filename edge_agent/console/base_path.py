"""Base path: serves the console below a path prefix of a reverse proxy.

The application knows no prefix: this middleware removes it from request paths and adds it to Location headers.
Scripts and templates add it to their URLs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BASE_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
"""Only plain segments: the prefix becomes part of every URL of a page, and //elsewhere would be another site."""
MAX_PREFIX_CHARACTERS = 200
INGRESS = "x-ingress-path"
"""The header of Home Assistant's ingress, which shows pages in a frame of its own site."""
HEADERS = (INGRESS, "x-forwarded-prefix")
DOCUMENT = "/openapi.json"


class BasePath:
    """ASGI middleware; sets `request.state.base_path` to the prefix, empty without one."""

    def __init__(self, app: ASGIApp, *, configured: str) -> None:
        """`configured` is console.base_path; a prefix in a header of the proxy takes precedence.

        The header needs no authentication: it affects only the response to its sender, and pages of other sites cannot
        set it.
        """
        self._app, self._configured = app, configured

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on without the prefix, and add it to the response."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        prefix = self._prefix(headers)
        inner = {**scope, "state": {**scope.get("state", {}), "base_path": prefix}, "path": _without(scope, prefix)}
        if inner["path"] == DOCUMENT:
            # FastAPI lists the root path under `servers`.
            inner["root_path"] = prefix

        async def send_with_prefix(message: Message) -> None:
            if message["type"] == "http.response.start":
                _adapt(message, prefix, is_framed=prefix and prefix == headers.get(INGRESS, "").rstrip("/"))
            elif message["type"] == "websocket.http.response.start":
                _adapt(message, prefix, is_framed=False)
            await send(message)

        await self._app(inner, receive, send_with_prefix)

    def _prefix(self, headers: Headers) -> str:
        for name in HEADERS:
            prefix = headers.get(name, "").rstrip("/")
            if prefix and len(prefix) <= MAX_PREFIX_CHARACTERS and BASE_PATH.fullmatch(prefix):
                return prefix
        return self._configured


def _without(scope: Scope, prefix: str) -> str:
    """The path below the prefix, whether or not the proxy has stripped it."""
    path: str = scope["path"]
    if prefix and (path == prefix or path.startswith(f"{prefix}/")):
        return path[len(prefix) :] or "/"
    return path


def _adapt(message: MutableMapping[str, Any], prefix: str, *, is_framed: object) -> None:
    headers = MutableHeaders(scope=message)
    location = headers.get("location", "")
    if prefix and location.startswith("/") and not location.startswith("//"):
        headers["location"] = prefix + location
    if is_framed:
        headers["X-Frame-Options"] = "SAMEORIGIN"
        policy = headers.get("content-security-policy", "")
        headers["Content-Security-Policy"] = policy.replace("frame-ancestors 'none'", "frame-ancestors 'self'")
