"""The shelf: which files does the console hand out?

Read once at the start: no request ever names a file of the disk.
"""

from __future__ import annotations

import hashlib
import mimetypes
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

CACHE = "public, max-age=300, stale-while-revalidate=86400"
"""An upgrade of the agent shows within minutes."""
KINDS = {".js": "text/javascript", ".mjs": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
"""What some systems have no or another name for."""
TAG_LENGTH = 16


def routes(folder: Path) -> list[Route]:
    """Serve a folder's files, those of folders inside too, and its favicons at the top as well."""
    files = {file.relative_to(folder).as_posix(): _read(file) for file in folder.rglob("*") if file.is_file()}

    def give(request: Request, name: str) -> Response:
        known = files.get(name)
        if known is None:
            return Response(status_code=404)
        content, kind, tag = known
        headers = {"ETag": tag, "Cache-Control": CACHE}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=kind, headers=headers)

    async def static(request: Request) -> Response:
        return give(request, request.path_params["name"])

    async def favicon(request: Request) -> Response:
        return give(request, request.url.path.removeprefix("/"))

    favicons = [Route(f"/{name}", favicon) for name in ("favicon.svg", "favicon.ico") if name in files]
    return [Route("/static/{name:path}", static), *favicons]


def _read(file: Path) -> tuple[bytes, str, str]:
    content = file.read_bytes()
    kind = KINDS.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return content, kind, f'"{hashlib.sha256(content).hexdigest()[:TAG_LENGTH]}"'
