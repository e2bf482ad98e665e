"""Base path: serves the console below a path prefix of a reverse proxy.

The application itself knows no prefix: it is removed from the paths of requests and added to the addresses in
responses. Scripts and templates add it to theirs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BASE_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
"""Plain segments alone: a prefix becomes part of every address of a page, where //elsewhere would be another site."""
LONGEST_PREFIX = 200
INGRESS = "x-ingress-path"
"""The header of Home Assistant's ingress, which shows pages in a frame of its own site."""
HEADERS = (INGRESS, "x-forwarded-prefix")
DOCUMENT = "/openapi.json"


class BasePath:
    """Wraps the application; puts the prefix into `request.state.base_path`, empty where there is none."""

    def __init__(self, app: ASGIApp, *, configured: str) -> None:
        """`configured` is console.base_path; a proxy that says its own in a header is believed.

        Only who asks can send that header, never another site through their browser, and it changes their answer alone.
        """
        self._app, self._configured = app, configured

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on without the prefix, and its answer with it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        prefix = self._prefix(headers)
        inner = {**scope, "state": {**scope.get("state", {}), "base_path": prefix}, "path": _without(scope, prefix)}
        if inner["path"] == DOCUMENT:
            # FastAPI names it as the server of the document.
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
            said = headers.get(name, "").rstrip("/")
            if said and len(said) <= LONGEST_PREFIX and BASE_PATH.fullmatch(said):
                return said
        return self._configured


def _without(scope: Scope, prefix: str) -> str:
    """The path below the prefix; proxies take it off, or leave it there."""
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
