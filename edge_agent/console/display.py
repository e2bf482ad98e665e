"""Display: the screen at the door.

Shows the sign of the nearest person and, if configured, their picture. Nothing is stored, and there are no controls.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from fastapi import APIRouter, Request, Response, WebSocket
from starlette.exceptions import HTTPException, WebSocketException

from edge_agent.bridge.client import UnansweredError
from edge_agent.console.context import Current, check_camera
from edge_agent.console.live import WIDTHS_PX
from edge_agent.console.responses import page
from edge_agent.console.sockets import LOGGED_OUT, receive_json, send, serve
from edge_agent.console.worker import BusyError
from edge_agent.domain import Sign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_agent.bridge.protocol import FrameReply
    from edge_agent.console.auth import Client
    from edge_agent.console.context import Context

WORDS_FILE = Path(__file__).with_name("display_words.json")
RIGHT_TO_LEFT = frozenset({"ar"})
FIRST_MESSAGE_SECONDS = 10.0
STALE_SECONDS = 5.0
"""A frame older than this is not shown: the person may have left. The slowest camera allowed delivers one every two
seconds."""
REPEAT_SECONDS = 3.0
"""Interval at which an unchanged sign is sent again: a screen that hears nothing takes the device for lost."""
NO_ACCESS = "this display needs its token at the end of the address, as #token=... (display.token_file)"

Shown: TypeAlias = Sign | Literal["empty", "away"]
"""`away`: no picture, because agent or camera are not responding, or the camera is paused."""


router = APIRouter(include_in_schema=False)


@router.get("/display/{camera}")
async def display(context: Current, request: Request, camera: str, lang: str = "") -> Response:
    """The page of a camera's display."""
    check_camera(context, camera)
    words, language = _words(), lang or context.config.display.language
    if language not in words:
        raise HTTPException(400, f"lang: unsupported language; supported are {', '.join(words)}")
    values = {
        "camera": camera,
        "language": language,
        "direction": "rtl" if language in RIGHT_TO_LEFT else "ltr",
        "words": words[language],
        "sound": context.config.display.sound,
    }
    return page(request, "display.html", values)


@router.websocket("/display/{camera}/socket")
async def connect(context: Current, socket: WebSocket, camera: str) -> None:
    """Send the sign of the nearest person, and their picture."""
    check_camera(context, camera)
    screen = _Screen(socket, context, camera)
    await serve(socket, context, screen.receive, screen.send_updates)


@cache
def _words() -> Mapping[str, Mapping[str, str]]:
    words: Mapping[str, Mapping[str, str]] = json.loads(WORDS_FILE.read_text(encoding="utf-8"))
    return words


class _Screen:
    """One display: one task receives its messages, another sends updates."""

    def __init__(self, socket: WebSocket, context: Context, camera: str) -> None:
        self._socket, self._context, self._camera = socket, context, camera
        self._client: Client = socket.state.client
        self._width_px = WIDTHS_PX[-1]
        self._sent: dict[str, Any] | None = None
        self._sent_at = float("-inf")
        self._number, self._number_at = 0, float("-inf")
        self._sent_frame = 0
        self._is_drawing = False
        self._is_authenticated = asyncio.Event()

    async def receive(self) -> None:
        try:
            first = await asyncio.wait_for(receive_json(self._socket), FIRST_MESSAGE_SECONDS)
        except asyncio.TimeoutError:
            first = {}
        token = first.get("token")
        if not self._context.auth.accepts_display(self._client, token if isinstance(token, str) else ""):
            raise WebSocketException(LOGGED_OUT, NO_ACCESS)
        self._apply(first)
        self._is_authenticated.set()
        while True:
            self._apply(await receive_json(self._socket))

    def _apply(self, message: Mapping[str, Any]) -> None:
        if isinstance(width_px := message.get("width_px"), int):
            self._width_px = width_px
        if message.get("drawn"):
            self._is_drawing = False

    async def send_updates(self) -> None:
        await self._is_authenticated.wait()
        while True:
            if not self._context.auth.is_still_valid(self._client):
                raise WebSocketException(LOGGED_OUT, NO_ACCESS)
            await self._send_sign()
            await self._context.live.tick()

    async def _send_sign(self) -> None:
        try:
            reply = await self._context.agent.nearest(self._camera)
        except UnansweredError:
            await self._send_state("away")
            return
        if self._is_stale(reply):
            await self._send_state("away")
        elif reply.nearest is None:
            await self._send_state("empty")
        else:
            await self._send_state(reply.nearest.sign, person=reply.nearest.track)
            if self._context.config.display.picture == "mirrored" and not self._is_drawing:
                await self._send_picture()

    def _is_stale(self, reply: FrameReply) -> bool:
        if not reply.number:
            return True
        at = time.monotonic()
        if reply.number != self._number:
            self._number, self._number_at = reply.number, at
        return at - self._number_at > STALE_SECONDS

    async def _send_state(self, sign: Shown, *, person: int = 0) -> None:
        message = {"sign": sign, "person": person}
        at = time.monotonic()
        if message != self._sent or at - self._sent_at >= REPEAT_SECONDS:
            self._sent, self._sent_at = message, at
            await send(self._socket, message)

    async def _send_picture(self) -> None:
        with suppress(BusyError, UnansweredError):
            live = self._context.live
            picture = await live.picture(self._camera, width_px=self._width_px, drawn=False, after=self._sent_frame)
            if picture is not None:
                self._sent_frame, self._is_drawing = picture.number, True
                await send(self._socket, picture.jpeg)
