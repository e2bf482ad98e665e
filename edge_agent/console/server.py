"""Server: binds the addresses and serves the application."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from edge_agent.console.connection_limits import ConnectionLimits, TimedProtocol
from edge_agent.console.tls import open_tls
from edge_agent.errors import UnavailableError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

    from edge_agent.config.model import ConsoleConfig

GRACE_SECONDS = 1
"""For responses in progress at shutdown."""
MOST_BESIDE_VIEWERS = 100
"""Connections in addition to those of the viewers: a browser opens six."""
BACKLOG = 64
KEEP_ALIVE_SECONDS = 5
PING_SECONDS, PONG_SECONDS = 4.0, 6.0
"""A WebSocket whose client does not respond is closed after their sum."""
LONGEST_HEADER_BYTES = 16_384
LARGEST_SOCKET_MESSAGE_BYTES = 2_000_000
"""Ten times a webcam picture."""

QUIETER = {
    "uvicorn": logging.CRITICAL,
    "python_multipart": logging.CRITICAL,
    "websockets": logging.CRITICAL,
    # Warns of every client that disconnects during a response.
    "asyncio": logging.ERROR,
}

log = logging.getLogger(__name__)


class Server:
    """Serves an application until it is stopped. Owned by the event loop."""

    def __init__(self, app: ASGIApp, config: ConsoleConfig) -> None:
        """Configure uvicorn and load the certificate.

        Raises:
            ConfigError: the certificate or its key is invalid.
        """
        self._config = config
        self._tls = open_tls(config)
        # They log single requests, so a client could fill the log; the middleware logs our own failures.
        for name, least in QUIETER.items():
            logging.getLogger(name).setLevel(least)
        self._uvicorn = uvicorn.Config(
            app,
            http=TimedProtocol,
            ws="websockets-sansio",
            ws_max_size=min(config.largest_upload_bytes, LARGEST_SOCKET_MESSAGE_BYTES),
            ws_ping_interval=PING_SECONDS,
            ws_ping_timeout=PONG_SECONDS,
            # JPEG is compressed already, and trying would cost more than encoding it.
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # Trust forwarding headers of a reverse proxy on this machine only.
            forwarded_allow_ips="127.0.0.1,::1",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
            h11_max_incomplete_event_size=LONGEST_HEADER_BYTES,
        )

    async def serve(self, *, end: asyncio.Event, listening: Callable[[], None]) -> None:
        """Serve until `end` is set; responses still in progress are then aborted after GRACE_SECONDS.

        `listening` is called once the port is open.

        Raises:
            UnavailableError: the address is not available.
        """
        host, port = self._config.host, self._config.port
        try:
            listeners = _listen(host, port)
        except OSError as error:
            # Without the address, which create_server() adds.
            reason = str(error.strerror).partition(" (while ")[0]
            raise UnavailableError(f"{host} port {port}: {reason}; check console.host and console.port") from error
        server = _Uvicorn(self._uvicorn, listeners, tls=self._tls, viewers=self._config.max_viewers)
        work = asyncio.ensure_future(server.serve())
        log.info("console: %s", self._config.url)
        listening()
        await end.wait()
        server.should_exit = True
        await work


class _Uvicorn(uvicorn.Server):
    """uvicorn with our own connection limits."""

    def __init__(
        self, config: uvicorn.Config, listeners: list[socket.socket], *, tls: ssl.SSLContext | None, viewers: int
    ) -> None:
        super().__init__(config)
        most = viewers + MOST_BESIDE_VIEWERS

        def protocol() -> asyncio.Protocol:
            return TimedProtocol(config=self.config, server_state=self.server_state, app_state={})

        self._limits = ConnectionLimits(listeners, protocol, tls=tls, most=most, most_of_one=most // 2)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections by ConnectionLimits instead of asyncio's server."""
        await super().startup(sockets=sockets or [])
        self.servers: list[Any] = [self._limits]
        self._limits.open()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let uvicorn close every connection, and abort those that remain."""
        asyncio.get_running_loop().call_later(GRACE_SECONDS / 2, self._limits.abort)
        await super().shutdown(sockets=sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no handlers: the command handles signals."""
        yield


def _listen(host: str, port: int) -> list[socket.socket]:
    """Listen on the port at every address of a host.

    Raises:
        OSError: the port is in use or not permitted, or the address is not one of this machine.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[socket.socket] = []
    with ExitStack() as opened:
        absent: OSError | None = None
        for family, _, _, _, address in dict.fromkeys(found):
            try:
                listener = opened.enter_context(socket.create_server(address, family=family, backlog=BACKLOG))
                listener.setblocking(False)
                listeners.append(listener)
            except OSError as error:
                # localhost also resolves to ::1 on a machine without IPv6.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                absent = error
        if absent is not None and not listeners:
            raise absent
        opened.pop_all()
    return listeners
