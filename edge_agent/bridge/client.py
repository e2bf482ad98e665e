"""Bridge client: sends requests to the agent from other processes, and handles its absence."""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import zmq
import zmq.asyncio
from pydantic import BaseModel, ValidationError

from edge_agent.bridge.protocol import (
    ChangeReply,
    CommandRequest,
    DeleteRequest,
    DeviceStatus,
    FrameReply,
    FrameRequest,
    MetricsReply,
    MetricsRequest,
    ReviewRequest,
    StatusRequest,
)
from edge_agent.bridge.shared import Shared

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edge_agent.alerts.history import Review
    from edge_agent.bridge.protocol import Request

Reply = TypeVar("Reply", bound=BaseModel)

ANSWER_SECONDS = 3.0
"""Twice the time after which the agent reports that its detection loop does not respond."""
COMMAND_SECONDS = 12.0
STATUS_SECONDS = 0.9
"""The agent publishes its status once a second while there are requests."""
MAX_WAITING = 100
RECONNECT_MS = 500
CONNECT_MS = 1000
"""A few milliseconds on an idle machine."""


class UnansweredError(Exception):
    """The agent is not running, hangs, or is overloaded."""


class AgentClient:
    """Sends requests over the agent's local socket. Owned by the event loop.

    Every request raises an UnansweredError if the agent does not answer.
    """

    def __init__(self, socket_file: Path) -> None:
        """The socket is opened by the first request; ZeroMQ reconnects to an agent that starts later."""
        self._socket_file = socket_file
        self._context: zmq.asyncio.Context | None = None
        self._socket: zmq.asyncio.Socket | None = None
        self._reader: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        self._waiting: dict[bytes, asyncio.Future[list[bytes]]] = {}
        self._status = Shared(lambda: self._reply(DeviceStatus, StatusRequest()), seconds=STATUS_SECONDS)

    async def status(self) -> DeviceStatus:
        """The status of the device; requested at most once a second."""
        return await self._status.get()

    async def metrics(self) -> MetricsReply:
        """The agent's counters."""
        return await self._reply(MetricsReply, MetricsRequest())

    async def frame(self, camera: str, *, after: int) -> tuple[FrameReply, bytes]:
        """The newest frame of a camera and its BGR pixels, which are empty if there is none newer than `after`."""
        head, pixels = await self._request(FrameRequest(camera=camera, after=after))
        return _read(FrameReply, head), pixels

    async def nearest(self, camera: str) -> FrameReply:
        """The newest frame of a camera without pixels, for the person nearest to the camera."""
        return await self._reply(FrameReply, FrameRequest(camera=camera, pixels=False))

    async def command(self, name: str, payload: bytes) -> Mapping[str, Any]:
        """Run a command and return its result message, as published on `.../result`."""
        request = CommandRequest(name=name, payload=payload.decode("utf-8", "replace"))
        return (await self._request(request, seconds=COMMAND_SECONDS))[0]

    async def review(self, alert_id: str, review: Review) -> ChangeReply:
        """Store the review of an alert."""
        return await self._reply(ChangeReply, ReviewRequest(alert=alert_id, review=review), seconds=COMMAND_SECONDS)

    async def delete(self, alert_id: str) -> ChangeReply:
        """Delete an alert and its crop."""
        return await self._reply(ChangeReply, DeleteRequest(alert=alert_id), seconds=COMMAND_SECONDS)

    async def close(self) -> None:
        """Close the socket."""
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader
        if self._socket is not None and self._context is not None:
            self._socket.close(linger=0)
            self._context.term()

    async def _reply(self, kind: type[Reply], request: Request, *, seconds: float = ANSWER_SECONDS) -> Reply:
        return _read(kind, (await self._request(request, seconds=seconds))[0])

    async def _request(self, request: Request, *, seconds: float = ANSWER_SECONDS) -> tuple[dict[str, Any], bytes]:
        """Send a request and return its reply, and the pixels that follow it, if any."""
        if len(self._waiting) >= MAX_WAITING:
            raise UnansweredError("the agent has too many requests; try again")
        number = str(next(self._numbers)).encode()
        reply: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        try:
            socket = self._open()
            # `flags` is missing in the stubs.
            if not await socket.poll(CONNECT_MS, flags=zmq.POLLOUT):  # type: ignore[call-arg]
                raise UnansweredError("the agent is not running: start edge-agent")
            await socket.send_multipart([number, request.model_dump_json().encode()])
            head, *pixels = await asyncio.wait_for(reply, seconds)
        except zmq.ZMQError as error:
            # For example a path that is too long for a socket.
            raise UnansweredError(f"{self._socket_file}: {error}") from error
        except asyncio.TimeoutError:
            raise UnansweredError("the agent does not answer; see its log, and 'edge-agent doctor'") from None
        finally:
            del self._waiting[number]
        found: dict[str, Any] = json.loads(head)
        if "error" in found:
            raise UnansweredError(found["error"])
        return found, pixels[0] if pixels else b""

    def _open(self) -> zmq.asyncio.Socket:
        if self._socket is None:
            self._context = zmq.asyncio.Context()
            self._socket = self._context.socket(zmq.DEALER)
            # Do not queue requests while there is no connection.
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


def _read(kind: type[Reply], content: dict[str, Any]) -> Reply:
    """Validate a reply.

    Raises:
        UnansweredError: it is of another protocol version.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise UnansweredError("the agent is of another version; restart both services") from error
