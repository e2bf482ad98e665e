"""Bridge client: sends requests of other processes to the agent, and handles its absence."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import zmq
import zmq.asyncio
from pydantic import BaseModel, ValidationError

from edge_agent.bridge.protocol import (
    ChangeReply,
    CommandRequest,
    DeleteRequest,
    ErrorReply,
    FrameReply,
    FrameRequest,
    MetricsReply,
    MetricsRequest,
    ReviewRequest,
    StatusRequest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edge_agent.alerts.history import Review
    from edge_agent.bridge.protocol import Request

Reply = TypeVar("Reply", bound=BaseModel)

ANSWER_SECONDS = 3.0
"""The agent itself says after half of it that its detection loop does not respond."""
COMMAND_SECONDS = 12.0
STATUS_SECONDS = 0.9
"""The agent tells it once a second while there are requests."""
MOST_WAITING = 100
RECONNECT_MS = 500
CONNECT_MS = 1000
"""It takes a few on an idle machine."""


class UnansweredError(Exception):
    """The agent is not running, hangs, or has far too much to do."""


class AgentClient:
    """Asks the agent over its local socket. Owned by the event loop."""

    def __init__(self, socket_file: Path) -> None:
        """Nothing is opened before the first request; an agent that starts later is found by itself."""
        self._socket_file = socket_file
        self._context: zmq.asyncio.Context | None = None
        self._socket: zmq.asyncio.Socket | None = None
        self._reader: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        self._waiting: dict[bytes, asyncio.Future[list[bytes]]] = {}
        self._status: asyncio.Task[Mapping[str, Any]] | None = None
        self._status_at = float("-inf")

    async def status(self) -> Mapping[str, Any]:
        """Give the status of the device: `StatusReporter.overview`, asked once a second for everybody together.

        Raises:
            UnansweredError: no agent answers.
        """
        at = time.monotonic()
        if self._status is None or (self._status.done() and at - self._status_at >= STATUS_SECONDS):
            self._status_at = at
            self._status = asyncio.ensure_future(self._ask_status())
        # One who leaves must not take it from the others.
        return await asyncio.shield(self._status)

    async def _ask_status(self) -> Mapping[str, Any]:
        content = (await self._ask(StatusRequest()))[0]
        found: dict[str, Any] = json.loads(content)
        if "error" in found:
            raise UnansweredError(f"{found['error']}; see the log of edge-agent")
        return found

    async def metrics(self) -> MetricsReply:
        """Give what was counted.

        Raises:
            UnansweredError: no agent answers.
        """
        return _read(MetricsReply, (await self._ask(MetricsRequest()))[0])

    async def frame(self, camera: str, *, after: int) -> tuple[FrameReply, bytes]:
        """Give the newest frame of a camera; its pixels are empty where its number is `after`, or there is none.

        Raises:
            UnansweredError: no agent answers.
        """
        head, *pixels = await self._ask(FrameRequest(camera=camera, after=after))
        return _read(FrameReply, head), pixels[0] if pixels else b""

    async def nearest(self, camera: str) -> FrameReply:
        """Say who is nearest to a camera, without its picture.

        Raises:
            UnansweredError: no agent answers.
        """
        return _read(FrameReply, (await self._ask(FrameRequest(camera=camera, pixels=False)))[0])

    async def command(self, name: str, payload: bytes) -> Mapping[str, Any]:
        """Have a command carried out and give its result, as on the topic `.../result`.

        Raises:
            UnansweredError: no agent answers.
        """
        request = CommandRequest(name=name, payload=payload.decode("utf-8", "replace"))
        found: dict[str, Any] = json.loads((await self._ask(request, seconds=COMMAND_SECONDS))[0])
        if "error" in found:
            raise UnansweredError(found["error"])
        return found

    async def review(self, alert_id: str, review: Review) -> ChangeReply:
        """Have the agent keep what a reviewer says that an alert shows.

        Raises:
            UnansweredError: no agent answers.
        """
        return _read(ChangeReply, (await self._ask(ReviewRequest(alert=alert_id, review=review)))[0])

    async def delete(self, alert_id: str) -> ChangeReply:
        """Have the agent delete an alert and its crop.

        Raises:
            UnansweredError: no agent answers.
        """
        return _read(ChangeReply, (await self._ask(DeleteRequest(alert=alert_id)))[0])

    async def close(self) -> None:
        """Ask nothing more."""
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader
        if self._socket is not None and self._context is not None:
            self._socket.close(linger=0)
            self._context.term()

    async def _ask(self, request: Request, *, seconds: float = ANSWER_SECONDS) -> list[bytes]:
        """Send a request and give the parts of its reply."""
        if len(self._waiting) >= MOST_WAITING:
            raise UnansweredError("the agent has too many requests; try again")
        number = str(next(self._numbers)).encode()
        reply: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        try:
            socket = self._open()
            # The stubs leave `flags` out.
            if not await socket.poll(CONNECT_MS, flags=zmq.POLLOUT):  # type: ignore[call-arg]
                raise UnansweredError("the agent is not running: start edge-agent")
            await socket.send_multipart([number, request.model_dump_json().encode()])
            return await asyncio.wait_for(reply, seconds)
        except zmq.ZMQError as error:
            # Such as a path that is too long for a socket.
            raise UnansweredError(f"{self._socket_file}: {error}") from error
        except asyncio.TimeoutError:
            raise UnansweredError("the agent does not answer; see its log, and 'edge-agent doctor'") from None
        finally:
            del self._waiting[number]

    def _open(self) -> zmq.asyncio.Socket:
        if self._socket is None:
            self._context = zmq.asyncio.Context()
            self._socket = self._context.socket(zmq.DEALER)
            # Nothing is sent, nor queued, without a connection.
            self._socket.immediate = True
            self._socket.linger = 0
            self._socket.reconnect_ivl = RECONNECT_MS
            self._socket.connect(f"ipc://{self._socket_file}")
            self._reader = asyncio.ensure_future(self._read_replies(self._socket))
        return self._socket

    async def _read_replies(self, socket: zmq.asyncio.Socket) -> None:
        while True:
            number, *parts = await socket.recv_multipart()
            waiting = self._waiting.get(number)
            if waiting is not None and not waiting.done() and parts:
                waiting.set_result(parts)


def _read(kind: type[Reply], content: bytes) -> Reply:
    """Read a reply.

    Raises:
        UnansweredError: it is none; the agent says why, or speaks another version's protocol.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        with suppress(ValidationError):
            raise UnansweredError(ErrorReply.model_validate_json(content).error) from None
        raise UnansweredError("the agent is of another version; restart both services") from error
