"""Base path: the prefix of the console's paths behind a reverse proxy.

The application knows no prefix: the middleware removes it from request paths and adds it to Location headers. Scripts
and templates add it to their URLs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.datastructures import Headers

BASE_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
"""Only plain segments: the prefix becomes part of every URL of a page, and //elsewhere would be another site."""
MAX_PREFIX_CHARACTERS = 200
INGRESS = "x-ingress-path"
"""The header of Home Assistant's ingress, which shows pages in a frame of its own site."""
HEADERS = (INGRESS, "x-forwarded-prefix")


def base_path_of(headers: Headers, *, configured: str) -> str:
    """The prefix of a request, empty without one: that of a header of the proxy, or else console.base_path.

    The header needs no authentication: it affects only the response to its sender, and pages of other sites cannot set
    it.
    """
    for name in HEADERS:
        prefix = headers.get(name, "").rstrip("/")
        if prefix and len(prefix) <= MAX_PREFIX_CHARACTERS and BASE_PATH.fullmatch(prefix):
            return prefix
    return configured


def is_ingress(headers: Headers, base_path: str) -> bool:
    """Whether Home Assistant's ingress shows the response in a frame."""
    return bool(base_path) and base_path == headers.get(INGRESS, "").rstrip("/")


def path_below(base_path: str, path: str) -> str:
    """A path without the prefix, whether or not the proxy has stripped it."""
    if base_path and (path == base_path or path.startswith(f"{base_path}/")):
        return path[len(base_path) :] or "/"
    return path
