"""Connection limits: bounds open connections, and closes those that make no progress.

uvicorn alone sets no limit on connections, and waits indefinitely for the rest of a header, or for the client to read
the response: a hostile client could take all file descriptors of the console.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge_agent.console.limits import client_network

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

SWEEP_SECONDS = 0.5
HANDSHAKE_SECONDS = 10.0
HEAD_SECONDS = 10.0
"""From the connection or the previous request to the last byte of a request's header. uvicorn closes idle keep-alive
connections sooner."""
BODY_SILENCE_SECONDS = 10.0
BODY_SECONDS = 120.0
"""Enough for 20 MB at 1.3 Mbit/s."""
UNREAD_SECONDS = 10.0
"""A client that reads no byte for this long is disconnected."""
CLOSING_SECONDS = 5.0
NO_DESCRIPTORS_SECONDS = 1.0
AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER of socket(7): on, zero seconds; closing sends a reset."""

FULL_RESPONSE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 41\r\nRetry-After: 5\r\n"
    b"Connection: close\r\n\r\ntoo many connections; close some, or wait"
)
END_OF_HEAD = b"\r\n\r\n"
BARE_LF = re.compile(rb"(?<!\r)\n")
BARE_LF_RESPONSE = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 33\r\nConnection: close\r\n\r\n"
    b"end the lines of a header by CRLF"
)


class TimedProtocol(H11Protocol):
    """uvicorn's protocol that records the time of the last data, and requires CRLF as line ending in headers."""

    received_at = 0.0
    _tail = b""
    """The end of the data before, in which the end of a header may have begun."""

    def data_received(self, data: bytes) -> None:
        """Record the time; refuse bare LF line endings, which a proxy may parse differently (RFC 9112, 2.2)."""
        self.received_at = self.loop.time()
        if self.conn.their_state is h11.IDLE:
            head = (self._tail + data).partition(END_OF_HEAD)[0]
            if BARE_LF.search(head, len(self._tail)):
                self.transport.write(BARE_LF_RESPONSE)
                self.transport.close()
                return
        self._tail = (self._tail + data)[1 - len(END_OF_HEAD) :]
        super().data_received(data)


class ConnectionLimits:
    """Accepts and closes connections. Owned by the event loop."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        make_protocol: Callable[[], asyncio.Protocol],
        *,
        tls: ssl.SSLContext | None,
        max_connections: int,
        max_per_address: int,
    ) -> None:
        """`max_per_address` of the connections may be from one non-loopback address."""
        self._listeners, self._make_protocol, self._tls = listeners, make_protocol, tls
        self._max_connections, self._max_per_address = max_connections, max_per_address
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Start accepting connections."""
        for listener in self._listeners:
            self._begin(self._accept(listener))
        self._begin(self._sweep())

    def close(self) -> None:
        """Stop accepting connections. uvicorn closes the open ones."""
        for task in tuple(self._tasks):
            task.cancel()
        for listener in self._listeners:
            listener.close()

    async def wait_closed(self) -> None:
        """Part of asyncio.Server's interface, which uvicorn calls; there is nothing to wait for."""

    def abort(self) -> None:
        """Abort all connections at once."""
        for connection in self._connections:
            connection.abort()

    def _begin(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, peer = await loop.sock_accept(listener)
            except OSError:
                # No file descriptor is left, or the client has disconnected.
                await asyncio.sleep(NO_DESCRIPTORS_SECONDS)
                continue
            connection = _Connection(accepted, client_network(str(peer[0])), since=loop.time())
            if self._is_full_for(connection.address):
                connection.refuse(in_the_clear=self._tls is None)
                continue
            self._connections.add(connection)
            self._begin(self._handshake(connection))

    def _is_full_for(self, address: str) -> bool:
        # Drop connections closed since the last sweep.
        self._connections = {connection for connection in self._connections if connection.is_open}
        if len(self._connections) >= self._max_connections:
            return True
        # A reverse proxy on this machine serves many clients.
        is_local = address in ("127.0.0.1", "::1")
        return (
            not is_local
            and Counter(connection.address for connection in self._connections)[address] >= self._max_per_address
        )

    async def _handshake(self, connection: _Connection) -> None:
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.connect_accepted_socket(
                self._make_protocol,
                connection.socket,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if self._tls else None,
            )
        except (OSError, asyncio.TimeoutError):
            # The client disconnected, or its TLS is incompatible: not worth logging.
            connection.socket.close()
        else:
            connection.transport = transport

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._connections = {connection for connection in self._connections if connection.is_open}
            for connection in self._connections:
                if connection.is_stalled(at=loop.time()):
                    connection.abort()


class _Connection:
    """A connection, and the time of its last change of state."""

    def __init__(self, accepted: socket.socket, address: str, *, since: float) -> None:
        self.socket, self.address = accepted, address
        self.transport: asyncio.Transport | None = None
        self._state: tuple[object, ...] = ()
        self._state_at = since
        self._unread_bytes, self._unread_at = 0, since

    @property
    def is_open(self) -> bool:
        """Whether the connection still holds a descriptor."""
        return self.socket.fileno() >= 0

    def refuse(self, *, in_the_clear: bool) -> None:
        """Close a connection before reading from it."""
        if in_the_clear:
            with suppress(OSError):
                self.socket.setblocking(False)
                self.socket.send(FULL_RESPONSE)
        self.socket.close()

    def abort(self) -> None:
        """Abort the connection, discarding unsent data."""
        if self.transport is not None and self.is_open:
            # Make the kernel discard unsent data as well.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            self.transport.abort()

    def is_stalled(self, *, at: float) -> bool:
        """Whether it has made no progress for too long."""
        transport = self.transport
        if transport is None:
            # asyncio limits the handshake.
            return False
        protocol = transport.get_protocol()
        http = protocol if isinstance(protocol, TimedProtocol) else None
        # The cycle distinguishes two requests between two sweeps.
        state = (transport.is_closing(), http and http.conn.their_state, http and http.cycle)
        if state != self._state:
            self._state, self._state_at = state, at
        if self._reads_nothing(transport.get_write_buffer_size(), at=at):
            return True
        if transport.is_closing():
            return at - self._state_at > CLOSING_SECONDS
        # WebSockets are checked by pings.
        return http is not None and _is_slow(http, since=self._state_at, at=at)

    def _reads_nothing(self, unread_bytes: int, *, at: float) -> bool:
        if not unread_bytes or unread_bytes < self._unread_bytes:
            self._unread_at = at
        self._unread_bytes = unread_bytes
        return at - self._unread_at > UNREAD_SECONDS


def _is_slow(http: TimedProtocol, *, since: float, at: float) -> bool:
    """Whether a request takes too long to arrive."""
    match http.conn.their_state:
        case h11.IDLE:
            return at - since > HEAD_SECONDS
        case h11.SEND_BODY:
            return at - since > BODY_SECONDS or at - http.received_at > BODY_SILENCE_SECONDS
        case _:
            return False
