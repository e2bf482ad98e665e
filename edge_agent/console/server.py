"""The server: how does the console run beside the watching, in a thread of its own?

A port that is taken or an address that is not there yet costs the console and not the watching: it is said once, shown
as a reason why the device is degraded, and tried again.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import uvicorn

from edge_agent.console.breath import breathe, short_turns
from edge_agent.console.door import Door, Patient
from edge_agent.console.tls import open_tls

if TYPE_CHECKING:
    import ssl

    from starlette.types import ASGIApp

    from edge_agent.config import ConsoleConfig
    from edge_agent.console.hatch import Hatch
    from edge_agent.console.leisure import Leisure

AGAIN_SECONDS = 10.0
END_SECONDS = 3.0
"""Of the five in which SIGTERM is obeyed."""
GRACE_SECONDS = 1
"""For answers that are on their way."""
MOST_BESIDE_VIEWERS = 100
"""Connections beside those of the viewers: a browser opens six."""
BACKLOG = 64
KEEP_ALIVE_SECONDS = 5
PING_SECONDS, PONG_SECONDS = 4.0, 6.0
"""A socket whose client reads nothing is closed after both together."""
LONGEST_HEADER_BYTES = 16_384
LARGEST_SOCKET_MESSAGE_BYTES = 2_000_000
"""A picture of a webcam has a tenth of it."""

QUIETER = {
    "uvicorn": logging.CRITICAL,
    "python_multipart": logging.CRITICAL,
    "websockets": logging.CRITICAL,
    # Warns of every client that has gone in the middle of an answer.
    "asyncio": logging.ERROR,
}

log = logging.getLogger(__name__)


class Server:
    """Serves an application until it is closed. `open` and `close` belong to one thread, all else to its own."""

    def __init__(self, app: ASGIApp, config: ConsoleConfig, hatch: Hatch, leisure: Leisure) -> None:
        """Why nobody can reach it is told through the hatch; `leisure` says how much time there is.

        Raises:
            ConfigError: the certificate or its key cannot be used.
        """
        self._config, self._hatch, self._leisure = config, hatch, leisure
        self._tls = open_tls(config)
        # What these say of single requests would let anybody fill the log; our own failures are told at the gate.
        for name, least in QUIETER.items():
            logging.getLogger(name).setLevel(least)
        self._uvicorn = uvicorn.Config(
            app,
            http=Patient,
            ws="websockets-sansio",
            ws_max_size=min(config.largest_upload_bytes, LARGEST_SOCKET_MESSAGE_BYTES),
            ws_ping_interval=PING_SECONDS,
            ws_ping_timeout=PONG_SECONDS,
            # JPEG does not get smaller; trying would cost more than to encode it.
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # Only who is on this machine speaks for others: a proxy.
            forwarded_allow_ips="127.0.0.1,::1",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
            h11_max_incomplete_event_size=LONGEST_HEADER_BYTES,
        )
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._is_up = threading.Event()

    def open(self) -> None:
        """Start the thread; whether it can be reached, the hatch says."""
        self._thread.start()
        self._is_up.wait(END_SECONDS)

    def close(self) -> None:
        """End it; who is still served is put out after a second."""
        if self._loop is not None and self._ending is not None:
            self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(END_SECONDS)
        if self._thread.is_alive():
            log.warning("the console does not end; it is left behind")

    def _run(self) -> None:
        # Of ordinary priority: nearly all that this thread does it does with the interpreter's lock, and where it is
        # put aside with that, for something else on the machine, the watching waits too. It rests instead (`breath`).
        try:
            asyncio.run(self._live())
        except Exception:
            log.exception("the console has ended; please report this")
            self._hatch.trouble = "it has failed; the log says why"
        finally:
            self._is_up.set()

    async def _live(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        while not self._ending.is_set():
            try:
                listeners = _listen(self._config.host, self._config.port)
            except OSError as error:
                self._cannot_listen(error)
                self._is_up.set()
                await _wait(self._ending, AGAIN_SECONDS)
            else:
                self._hatch.trouble = ""
                log.info("console: %s", _address(self._config))
                await self._serve(listeners, self._ending)

    async def _serve(self, listeners: list[socket.socket], ending: asyncio.Event) -> None:
        server = _Uvicorn(self._uvicorn, listeners, tls=self._tls, viewers=self._config.viewers)
        work = asyncio.ensure_future(server.serve())
        breath = asyncio.ensure_future(breathe(self._leisure))
        with short_turns():
            self._is_up.set()
            await ending.wait()
            breath.cancel()
            server.should_exit = True
            await work

    def _cannot_listen(self, error: OSError) -> None:
        if not self._hatch.trouble:
            reason = error.strerror or str(error)
            trouble = f"{self._config.host} port {self._config.port}: {reason}; check console.host and console.port"
            log.error("the console cannot be reached: %s; tried again every %.0f s", trouble, AGAIN_SECONDS)
            self._hatch.trouble = trouble


class _Uvicorn(uvicorn.Server):
    """uvicorn behind a door of ours."""

    def __init__(
        self, config: uvicorn.Config, listeners: list[socket.socket], *, tls: ssl.SSLContext | None, viewers: int
    ) -> None:
        super().__init__(config)
        most = viewers + MOST_BESIDE_VIEWERS
        self._door = Door(listeners, self._protocol, tls=tls, most=most, most_of_one=most // 2)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the door instead of asyncio's own."""
        await super().startup(sockets=sockets or [])
        self.servers: list[Any] = [self._door]
        self._door.open()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let uvicorn see everybody out, and put out who does not go."""
        asyncio.get_running_loop().call_later(GRACE_SECONDS / 2, self._door.put_out)
        await super().shutdown(sockets=sockets)

    def _protocol(self) -> asyncio.Protocol:
        return Patient(config=self.config, server_state=self.server_state, app_state={})


def _listen(host: str, port: int) -> list[socket.socket]:
    """Open the port at every address of a host.

    Raises:
        OSError: it is taken, not allowed, or no address of this machine.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[socket.socket] = []
    with ExitStack() as opened:
        absent: OSError | None = None
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                listeners.append(opened.enter_context(_open(socket.socket(family, kind, protocol), address)))
            except OSError as error:
                # localhost is ::1 as well, also on a machine without IPv6.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                absent = error
        if absent is not None and not listeners:
            raise absent
        opened.pop_all()
    return listeners


def _open(listener: socket.socket, address: Any) -> socket.socket:
    """Listen at one address; what cannot is closed."""
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _address(config: ConsoleConfig) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"{'https' if config.cert_file else 'http'}://{host}:{config.port}"


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        return
