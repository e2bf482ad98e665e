"""Bridge server: answers other processes without blocking the detection threads.

Its own thread owns the socket and answers. The agent's other threads exchange references with it and never wait.
A stopped or hostile console costs no more than the few replies that its queue holds.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import zmq
from pydantic import BaseModel, ValidationError

from edge_agent.bridge.frames import AnnotatedFrames
from edge_agent.bridge.protocol import (
    MAX_REQUEST_BYTES,
    REQUEST,
    ChangeReply,
    CommandRequest,
    DeleteRequest,
    FrameReply,
    FrameRequest,
    MetricsReply,
    MetricsRequest,
    ReviewRequest,
    StatusRequest,
)
from edge_agent.errors import AgentError, CommandError
from edge_agent.host.atomic_files import inode_of
from edge_agent.host.disk import LastKnown, in_disk_thread, reach

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from edge_agent.alerts.history import Review
    from edge_agent.bridge.protocol import DeviceStatus, Request
    from edge_agent.metrics import Metrics

WANTED_SECONDS = 3.0
"""For how long after the last request the agent keeps publishing its status; a page requests it every second."""
FRESH_SECONDS = 1.2
"""Maximum age of the status in a reply; the agent publishes it once a second."""
STATUS_SECONDS = 1.5
COMMAND_SECONDS = 10.0
"""A snapshot takes one or two seconds on a slow disk, and the change of an alert a second; the watchdog kills a hanging
agent after thirty."""
MAX_COMMANDS = 10
"""The agent's own limit of commands at once, and that of changes."""
MAX_PENDING = 100
MAX_REPLIES = 16
"""Replies queued for a console that does not read; further ones are dropped."""
IDLE_SECONDS, PENDING_SECONDS = 0.2, 0.02
AGAIN_SECONDS = 10.0
CHECK_SECONDS = 1.0
"""Interval at which the socket's file is looked for: the state folder may be replaced while the agent runs."""
SOCKET_MODE = 0o660
CLOSING_SECONDS = 1.0
NOT_RESPONDING = {"error": "the detection loop is not responding; see the log of edge-agent"}
DISK_NOT_RESPONDING = ChangeReply(state="failed", reason="the disk is not responding")

log = logging.getLogger(__name__)

_Reply: TypeAlias = "BaseModel | Mapping[str, Any]"


@dataclass(frozen=True, slots=True)
class Command:
    """A command from the console: its name, its payload as over MQTT, and the future of its result."""

    name: str
    payload: bytes
    expires_at: float
    _result: Future[Mapping[str, Any]]

    def answer(self, result: Mapping[str, Any]) -> None:
        """Set the result, which the bridge's thread sends."""
        self._result.set_result(result)


@dataclass(frozen=True, slots=True)
class _Pending:
    """A request that is answered later; `reply` returns None until it can be."""

    envelope: tuple[bytes, bytes]
    reply: Callable[[], _Reply | None]
    until: float
    if_late: _Reply


class Bridge:
    """The agent's side. The main thread calls its public methods, and records `frames`."""

    def __init__(
        self,
        socket_file: Path,
        *,
        metrics: Metrics,
        versions: Mapping[str, str],
        review: Callable[[str, Review], bool],
        delete: Callable[[str], bool],
    ) -> None:
        """`review(alert, label)` and `delete(alert)` change the alert history; they return False for unknown alerts.

        They are called in other threads, one at a time, and may raise an AgentError.
        """
        self._socket_file, self._versions = socket_file, dict(versions)
        self._review, self._delete = review, delete
        self._changes: list[Future[ChangeReply]] = []
        self._changing = threading.Lock()
        self.frames, self._metrics = AnnotatedFrames(), metrics
        self._commands: deque[Command] = deque(maxlen=MAX_COMMANDS)
        self._status: tuple[float, DeviceStatus] | None = None
        self._asked_at = float("-inf")
        self._pending: list[_Pending] = []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bridge", daemon=True)

    def start(self) -> None:
        """Start answering requests."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread."""
        self._ends.set()
        self._thread.join(CLOSING_SECONDS)

    def commands(self) -> Sequence[Command]:
        """The commands received since the last call, without those whose client has given up."""
        found = []
        with suppress(IndexError):
            while True:
                found.append(self._commands.popleft())
        return [command for command in found if time.monotonic() < command.expires_at]

    @property
    def wants_status(self) -> bool:
        """Whether the status was requested recently."""
        return time.monotonic() - self._asked_at < WANTED_SECONDS

    def update_status(self, status: DeviceStatus) -> None:
        """Publish the status."""
        self._status = (time.monotonic(), status)

    # The bridge's thread.

    def _run(self) -> None:
        problem = ""
        while not self._ends.is_set():
            try:
                with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
                    self._open(socket)
                    problem = ""
                    self._serve(socket)
            except (zmq.ZMQError, OSError) as error:
                if not problem:
                    problem = str(error)
                    log.warning("%s: the console cannot reach the agent: %s", self._socket_file, error)
                self._ends.wait(AGAIN_SECONDS)

    def _open(self, socket: zmq.Socket[bytes]) -> None:
        socket.linger = 0
        socket.sndhwm, socket.rcvhwm = MAX_REPLIES, MAX_PENDING
        socket.maxmsgsize = MAX_REQUEST_BYTES
        # A hanging disk blocks this thread here; in bind, which holds the GIL, it would block all threads.
        reach(self._socket_file.parent)
        socket.bind(f"ipc://{self._socket_file}")
        # The console's user is a member of its group.
        self._socket_file.chmod(SOCKET_MODE)

    def _serve(self, socket: zmq.Socket[bytes]) -> None:
        """Answer until the end, or until the socket's file is gone and no client can connect to it any more."""
        opened = inode_of(self._socket_file)
        found, checked_at = LastKnown(lambda: inode_of(self._socket_file), before=opened), time.monotonic()
        while not self._ends.is_set():
            wait_seconds = PENDING_SECONDS if self._pending else IDLE_SECONDS
            if socket.poll(round(wait_seconds * 1000)):
                self._take(socket)
            self._answer_pending(socket)
            if time.monotonic() - checked_at >= CHECK_SECONDS:
                if found.get() != opened:
                    log.warning("%s: deleted or replaced while the agent was running; opened again", self._socket_file)
                    return
                checked_at = time.monotonic()

    def _take(self, socket: zmq.Socket[bytes]) -> None:
        parts = socket.recv_multipart()
        if len(parts) != 3:  # noqa: PLR2004  (the client, the number of the request, the request)
            return
        envelope = parts[0], parts[1]
        try:
            reply = self._reply(envelope, REQUEST.validate_json(parts[2]))
        except ValidationError:
            reply = [_json({"error": "not a request of this version's protocol"})]
        except Exception:
            log.exception("a request of the console failed; please report this")
            reply = [_json({"error": "the agent failed; see its log"})]
        if reply:
            _send(socket, envelope, *reply)

    def _reply(self, envelope: tuple[bytes, bytes], request: Request) -> Sequence[bytes | memoryview]:
        """The parts of the reply; none if it is sent later."""
        match request:
            case FrameRequest():
                return self._frame(request)
            case StatusRequest():
                asked_at = self._asked_at = time.monotonic()
                return self._later(envelope, lambda: self._fresh_status(asked_at), seconds=STATUS_SECONDS)
            case MetricsRequest():
                metrics = self._metrics
                return [_json(MetricsReply(cameras=metrics.cameras, stages=metrics.stages, versions=self._versions))]
            case CommandRequest():
                return self._queue(envelope, request)
            case ReviewRequest():
                return self._change(envelope, lambda: self._review(request.alert, request.review))
            case DeleteRequest():
                return self._change(envelope, lambda: self._delete(request.alert))

    def _change(self, envelope: tuple[bytes, bytes], change: Callable[[], bool]) -> Sequence[bytes]:
        """Change an alert in another thread: other requests do not wait for a slow disk."""
        self._changes = [change for change in self._changes if not change.done()]
        if len(self._changes) >= MAX_COMMANDS:
            return [_json(DISK_NOT_RESPONDING)]

        def work() -> ChangeReply:
            with self._changing:
                return _changed(change)

        reply = in_disk_thread(work)
        self._changes.append(reply)
        return self._later(
            envelope,
            lambda: reply.result() if reply.done() else None,
            seconds=COMMAND_SECONDS,
            if_late=DISK_NOT_RESPONDING,
        )

    def _frame(self, request: FrameRequest) -> Sequence[bytes | memoryview]:
        newest = self.frames.newest(request.camera)
        if newest is None:
            return [_json(FrameReply(number=0))]
        head, frame = newest
        if not request.pixels or head.number <= request.after:
            return [_json(head)]
        # No copy: the console scales, draws and encodes.
        return [_json(head), np.ascontiguousarray(frame.image).data]

    def _queue(self, envelope: tuple[bytes, bytes], request: CommandRequest) -> Sequence[bytes]:
        if len(self._commands) >= MAX_COMMANDS:
            return [_json({"error": "too many commands are waiting; try again"})]
        result: Future[Mapping[str, Any]] = Future()
        expires_at = time.monotonic() + COMMAND_SECONDS
        self._commands.append(Command(request.name, request.payload.encode(), expires_at, result))
        return self._later(envelope, lambda: result.result() if result.done() else None, seconds=COMMAND_SECONDS)

    def _fresh_status(self, asked_at: float) -> DeviceStatus | None:
        status = self._status
        return status[1] if status is not None and asked_at - status[0] < FRESH_SECONDS else None

    def _later(
        self,
        envelope: tuple[bytes, bytes],
        reply: Callable[[], _Reply | None],
        *,
        seconds: float,
        if_late: _Reply = NOT_RESPONDING,
    ) -> Sequence[bytes]:
        if len(self._pending) < MAX_PENDING:
            self._pending.append(_Pending(envelope, reply, time.monotonic() + seconds, if_late))
        return []

    def _answer_pending(self, socket: zmq.Socket[bytes]) -> None:
        left = []
        for pending in self._pending:
            if (content := pending.reply()) is not None:
                _send(socket, pending.envelope, _json(content))
            elif time.monotonic() < pending.until:
                left.append(pending)
            else:
                _send(socket, pending.envelope, _json(pending.if_late))
        self._pending = left


def _changed(change: Callable[[], bool]) -> ChangeReply:
    try:
        return ChangeReply(state="done" if change() else "missing")
    except CommandError as error:
        return ChangeReply(state="refused", reason=str(error))
    except AgentError as error:
        return ChangeReply(state="failed", reason=str(error))
    except Exception:
        log.exception("a change of an alert failed; please report this")
        return ChangeReply(state="failed", reason="the agent failed; see its log")


def _json(reply: _Reply) -> bytes:
    return (reply.model_dump_json() if isinstance(reply, BaseModel) else json.dumps(reply)).encode()


def _send(socket: zmq.Socket[bytes], envelope: tuple[bytes, bytes], *parts: bytes | memoryview) -> None:
    """Send a reply; it is dropped if the console has disconnected or does not read."""
    with suppress(zmq.Again):
        socket.send_multipart([*envelope, *parts], flags=zmq.NOBLOCK, copy=False)
