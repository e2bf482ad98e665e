"""Server: serves the application."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from edge_agent.console.connection_limits import ConnectionLimits, TimedProtocol
from edge_agent.console.listening import listen, open_tls

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

    from edge_agent.config.model import ConsoleConfig

GRACE_SECONDS = 1
"""For responses in progress at shutdown."""
OTHER_CONNECTIONS = 100
"""Connections in addition to those of the viewers: a browser opens six."""
KEEP_ALIVE_SECONDS = 5
PING_SECONDS, PONG_SECONDS = 4.0, 6.0
"""A WebSocket whose client does not respond is closed after their sum."""
MAX_HEADER_BYTES = 16_384
MAX_SOCKET_MESSAGE_BYTES = 2_000_000
"""Ten times a webcam picture."""

LOG_LEVELS = {
    "uvicorn": logging.CRITICAL,
    "python_multipart": logging.CRITICAL,
    "websockets": logging.CRITICAL,
    # Warns of every client that disconnects during a response.
    "asyncio": logging.ERROR,
}

log = logging.getLogger(__name__)


async def serve(app: ASGIApp, config: ConsoleConfig, *, end: asyncio.Event, listening: Callable[[], None]) -> None:
    """Serve until `end` is set; responses still in progress are then aborted after GRACE_SECONDS.

    `listening` is called once the port is open.

    Raises:
        ConfigError: the certificate or its key is invalid.
        UnavailableError: the address is not available.
    """
    tls = open_tls(config)
    # They log single requests, so a client could fill the log; the middleware logs our own failures.
    for name, least in LOG_LEVELS.items():
        logging.getLogger(name).setLevel(least)
    settings = uvicorn.Config(
        app,
        http=TimedProtocol,
        ws="websockets-sansio",
        ws_max_size=min(config.largest_upload_bytes, MAX_SOCKET_MESSAGE_BYTES),
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
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )
    server = _Uvicorn(settings, listen(config), tls=tls, viewers=config.max_viewers)
    work = asyncio.ensure_future(server.serve())
    log.info("%s: %s", config.section, config.url)
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
        max_connections = viewers + OTHER_CONNECTIONS

        def protocol() -> asyncio.Protocol:
            return TimedProtocol(config=self.config, server_state=self.server_state, app_state={})

        self._limits = ConnectionLimits(
            listeners, protocol, tls=tls, max_connections=max_connections, max_per_address=max_connections // 2
        )

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
