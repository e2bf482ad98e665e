"""Uploads: receives pictures in memory, and rejects invalid ones early.

Bytes are counted as they arrive.
"""

from __future__ import annotations

import base64
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError
from python_multipart.exceptions import FormParserError
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from starlette.requests import Request

FRAMING_BYTES = 16_384
"""Size of a form without the picture: boundaries, headers, a few fields."""
MAX_FIELD_BYTES = 4096
MAX_FIELDS = 100
MAX_JSON_MARKS = 1000
"""Brackets, colons and commas of a JSON body."""
MAX_HELD = 3
"""Limit of memory for uploads, in pictures of the largest size."""
RETRY_SECONDS = "1"
MAGIC_BYTES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM")
RIFF, WEBP = slice(0, 4), slice(8, 12)


class Uploads:
    """Receives uploads within a memory budget. Owned by the event loop."""

    def __init__(self, *, max_bytes: int) -> None:
        """`max_bytes` limits a picture, in base64 its encoded size."""
        self._max_bytes = max_bytes
        self._budget_bytes = MAX_HELD * (max_bytes + FRAMING_BYTES)
        self._held_bytes = 0

    @asynccontextmanager
    async def picture(self, request: Request) -> AsyncIterator[bytes]:
        """Read the picture of a request, and hold its memory: the form field `file`, or `image` in JSON as base64.

        Raises:
            HTTPException: 400, 413, 415, 422 or 503.
        """
        held_bytes = 0

        async def chunks() -> AsyncGenerator[bytes, None]:
            nonlocal held_bytes
            async for chunk in request.stream():
                held_bytes += len(chunk)
                self._held_bytes += len(chunk)
                if held_bytes > self._max_bytes + FRAMING_BYTES:
                    raise self._too_large()
                if self._held_bytes > self._budget_bytes:
                    text = "too many uploads at once; try again"
                    raise HTTPException(503, text, headers={"Retry-After": RETRY_SECONDS})
                yield chunk

        try:
            content = await self._received(request, chunks())
            check_kind(content)
            yield content
        except ClientDisconnect:
            # This only ends the request.
            raise HTTPException(400, "the upload was cut off; send it again") from None
        finally:
            self._held_bytes -= held_bytes

    async def _received(self, request: Request, chunks: AsyncGenerator[bytes, None]) -> bytes:
        stated = request.headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > self._max_bytes + FRAMING_BYTES:
            raise self._too_large()
        match request.headers.get("content-type", "").partition(";")[0].strip().lower():
            case "multipart/form-data":
                return await self._from_form(request, chunks)
            case "application/json":
                return _from_json(b"".join([chunk async for chunk in chunks]))
            case _:
                raise HTTPException(
                    415, "send the picture as multipart/form-data in the field 'file', or as JSON {\"image\": base64}"
                )

    def _too_large(self) -> HTTPException:
        # The rest of the body is not read.
        return HTTPException(
            413,
            f"a picture may have {self._max_bytes} bytes (console.largest_upload_bytes)",
            headers={"Connection": "close"},
        )

    async def _from_form(self, request: Request, chunks: AsyncGenerator[bytes, None]) -> bytes:
        parser = MultiPartParser(
            Headers(raw=request.scope["headers"]),
            chunks,
            max_files=1,
            max_fields=MAX_FIELDS,
            max_part_size=MAX_FIELD_BYTES,
        )
        # Above this size Starlette would write to the disk.
        parser.spool_max_size = self._max_bytes + 2 * FRAMING_BYTES
        try:
            form = await parser.parse()
        except (MultiPartException, FormParserError) as error:
            raise HTTPException(400, f"the form cannot be read: {getattr(error, 'message', error)}") from None
        file = form.get("file")
        if not isinstance(file, UploadFile):
            await form.close()
            raise HTTPException(422, "the form has no picture in its field 'file'")
        content = await file.read()
        await form.close()
        return content


def check_kind(content: bytes) -> None:
    """Check for the magic bytes of JPEG, PNG, WebP and BMP.

    Raises:
        HTTPException: 415: it has none of them; 422: it is empty.
    """
    if not content:
        raise HTTPException(422, "the picture is empty")
    is_webp = content[RIFF] == b"RIFF" and content[WEBP] == b"WEBP"
    if not (content.startswith(MAGIC_BYTES) or is_webp):
        raise HTTPException(415, "not a JPEG, PNG, WebP or BMP picture")


class PictureRequest(BaseModel):
    """A picture in JSON; other keys are ignored."""

    image: bytes
    """Not str, which would take four bytes for each character of a long text with a single emoji."""


def _from_json(body: bytes) -> bytes:
    """Decode the picture of a JSON body.

    Raises:
        HTTPException: 400 or 422.
    """
    # Base64 has none of these; each may take a hundred bytes once it is parsed.
    if sum(body.count(mark) for mark in (b"[", b"{", b":", b",")) > MAX_JSON_MARKS:
        raise HTTPException(400, "the JSON body has too many keys or levels")
    try:
        image = PictureRequest.model_validate_json(body).image
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            raise HTTPException(400, "the body is not JSON") from None
        raise HTTPException(422, "image: missing; give the picture as base64 text") from None
    # As browsers write it: data:image/jpeg;base64,...
    text = image.partition(b",")[2] if image.startswith(b"data:") else image
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise HTTPException(422, "image: not base64 text") from None
