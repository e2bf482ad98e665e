"""Sockets: WebSockets that stream live pictures, and that classify the pictures of a webcam.

Flow control: a client acknowledges each picture before it gets the next, so nothing is queued for a slow one.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, WebSocket
from starlette.exceptions import HTTPException, WebSocketException
from starlette.websockets import WebSocketDisconnect, WebSocketState

from edge_agent.bridge.client import UnansweredError
from edge_agent.console.alert_view import alert_as_json
from edge_agent.console.context import Current  # noqa: TC001  (FastAPI reads it)
from edge_agent.console.live import WIDTHS_PX
from edge_agent.console.uploads import check_kind
from edge_agent.console.worker import BusyError
from edge_agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Set

    from starlette.types import Message

    from edge_agent.alerts.history import HistoryEntry
    from edge_agent.bridge.protocol import DeviceStatus
    from edge_agent.console.auth import Client
    from edge_agent.console.context import Context

STATUS_SECONDS = 1.0
SEND_SECONDS = 10.0
"""A client that takes longer to receive a message is disconnected."""
MAX_TEXT_CHARACTERS = 4096
WEBCAM_SECONDS = 0.1
"""Minimum interval between answers to a webcam, so that one page does not take all the inference time."""

LOGGED_OUT, CROWDED, TOO_LONG, NOT_UNDERSTOOD, GOING = 4401, 4429, 1009, 1003, 1001


router = APIRouter()


@router.websocket("/live")
async def live(context: Current, socket: WebSocket) -> None:
    """Stream pictures, the status and new alerts to a page."""
    viewer = _LiveViewer(socket, context)
    await serve(socket, context, viewer.receive, viewer.send_updates)


@router.websocket("/webcam")
async def webcam(context: Current, socket: WebSocket) -> None:
    """Analyse the pictures of a webcam."""
    await serve(socket, context, partial(_answer_webcam, socket, context))


async def serve(socket: WebSocket, context: Context, *tasks: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Accept a socket as one of the viewers, and run tasks until one of them ends.

    A WebSocketException of a task closes the socket with its code, as does a viewer too many.
    """
    live = context.live
    if live.viewers >= context.config.console.max_viewers:
        await socket.accept()
        await socket.close(CROWDED, "too many viewers; close another page")
        return
    live.viewers += 1
    running: list[asyncio.Future[None]] = []
    try:
        await socket.accept()
        running += [asyncio.ensure_future(task()) for task in tasks]
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        done.pop().result()
    except WebSocketDisconnect:
        return
    except WebSocketException as closed:
        if socket.application_state is WebSocketState.CONNECTED:
            with suppress(RuntimeError, WebSocketDisconnect):
                await socket.close(closed.code, closed.reason)
    finally:
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task
        live.viewers -= 1
        if not live.viewers:
            live.forget_frames()


class _LiveViewer:
    """One live page: one task receives its messages, another sends updates."""

    def __init__(self, socket: WebSocket, context: Context) -> None:
        self._socket, self._context = socket, context
        self._client: Client = socket.state.client
        self._width_px = WIDTHS_PX[-1]
        # The number of the last frame sent of each subscribed camera, and the cameras whose frame is unacknowledged.
        self._sent: dict[str, int] = {}
        self._unshown: set[str] = set()
        self._known_alerts: set[str] | None = None
        self._sent_status: DeviceStatus | None = None
        self._status_at = float("-inf")

    async def receive(self) -> None:
        while True:
            message = await receive_json(self._socket)
            if isinstance(watch := message.get("watch"), list):
                wanted = [name for name in self._context.config.cameras if name in watch]
                self._sent = {name: self._sent.get(name, 0) for name in wanted}
                self._unshown &= set(wanted)
            if isinstance(width_px := message.get("width_px"), int):
                self._width_px = width_px
            if isinstance(shown := message.get("shown"), str):
                self._unshown.discard(shown)

    async def send_updates(self) -> None:
        while True:
            # Alerts first: a page that has received a status gets every alert raised after it.
            await self._send_alerts()
            await self._send_status()
            for camera in tuple(self._sent):
                if camera not in self._unshown:
                    await self._send_frame(camera)
            await self._context.live.tick()

    async def _send_status(self) -> None:
        if time.monotonic() - self._status_at < STATUS_SECONDS:
            return
        self._status_at = time.monotonic()
        if not self._context.auth.is_still_valid(self._client):
            raise WebSocketException(LOGGED_OUT, "logged out")
        try:
            status = await self._context.agent.status()
        except UnansweredError as error:
            await send(self._socket, {"error": str(error)})
            return
        if status is not self._sent_status:
            self._sent_status = status
            await send(self._socket, {"overview": status.model_dump(mode="json")})

    async def _send_alerts(self) -> None:
        with suppress(BusyError, AgentError):
            newest = await self._context.newest_alerts.get()
            known = self._known_alerts
            new = [] if known is None else _news(newest, known)
            for entry in reversed(new):
                alert = await self._context.worker.do(alert_as_json, entry, self._context.config.crops_folder)
                await send(self._socket, {"alert": alert})
            self._known_alerts = {entry.id for entry in newest}

    async def _send_frame(self, camera: str) -> None:
        with suppress(BusyError, UnansweredError):
            sent = self._sent.get(camera, 0)
            shown = await self._context.live.picture(camera, width_px=self._width_px, after=sent)
            if shown is not None and camera in self._sent:
                self._sent[camera] = shown.number
                self._unshown.add(camera)
                await send(self._socket, shown.message)


def _news(newest: Iterable[HistoryEntry], known: Set[str]) -> list[HistoryEntry]:
    """The alerts raised since those with the known ids. When alerts are deleted, older ones move up: not news."""
    oldest = min(known, default="")
    return list(takewhile(lambda entry: entry.id not in known and entry.id > oldest, newest))


async def _answer_webcam(socket: WebSocket, context: Context) -> None:
    """Answer one picture after the other; while one is analysed, uvicorn buffers the next."""
    client: Client = socket.state.client
    while True:
        message = await _receive(socket)
        if not context.auth.is_still_valid(client):
            raise WebSocketException(LOGGED_OUT, "logged out")
        content = message.get("bytes")
        if not content:
            raise WebSocketException(NOT_UNDERSTOOD, "send pictures, as binary messages")
        await send(socket, await _analysed(context, content))
        await asyncio.sleep(WEBCAM_SECONDS)


async def _analysed(context: Context, content: bytes) -> dict[str, Any]:
    try:
        check_kind(content)
        return (await context.inference.detect(content)).model_dump(mode="json")
    except BusyError:
        return {"error": "the device is too busy; trying again"}
    except HTTPException as error:
        return {"error": error.detail}
    except AgentError as error:
        return {"error": str(error)}


async def receive_json(socket: WebSocket) -> dict[str, Any]:
    """Receive a JSON object.

    Raises:
        WebSocketDisconnect: the client has disconnected.
        WebSocketException: the message is too long or not a JSON object.
    """
    text = (await _receive(socket)).get("text")
    if text is None or len(text) > MAX_TEXT_CHARACTERS:
        raise WebSocketException(TOO_LONG, f"send JSON of {MAX_TEXT_CHARACTERS} characters at most")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise WebSocketException(NOT_UNDERSTOOD, 'send JSON such as {"watch": ["entrance"]}')
    return content


async def _receive(socket: WebSocket) -> Message:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", GOING))
    return message


async def send(socket: WebSocket, content: bytes | Mapping[str, Any]) -> None:
    """Send a message.

    Raises:
        WebSocketDisconnect: the client has disconnected, or does not receive it in time.
    """
    sending = socket.send_bytes(content) if isinstance(content, bytes) else socket.send_text(json.dumps(content))
    try:
        await asyncio.wait_for(sending, SEND_SECONDS)
    except asyncio.TimeoutError:
        raise WebSocketDisconnect(GOING) from None
