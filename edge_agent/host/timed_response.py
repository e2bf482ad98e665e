"""Timed response: an HTTP response with a limit of time for the whole of it, not only for each of its bytes."""

from __future__ import annotations

import http.client
import io
import time
import urllib.request
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    import ssl


class TimedResponse(http.client.HTTPResponse):
    """A response that raises a TimeoutError if all of it, headers included, takes longer than the timeout.

    With `until` (monotonic) the timeout is that of each of its bytes, and all of it has to arrive before that time.
    """

    def __init__(self, sock: socket.socket, *args: Any, until: float | None = None, **keywords: Any) -> None:
        super().__init__(sock, *args, **keywords)
        buffered: Any = self.fp
        self.fp = io.BufferedReader(_DeadlineReader(buffered.detach(), sock, until=until))


class TimedHandler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Opens http:// and https:// with the limit of time for each response, or for all those of an opener: `until`."""

    def __init__(self, *, context: ssl.SSLContext | None = None, until: float | None = None) -> None:
        super().__init__(context=context)
        self._until = until

    def do_open(self, http_class: Any, req: urllib.request.Request, **settings: Any) -> http.client.HTTPResponse:
        """Open a connection, as the superclass."""

        def connection(*place: Any, **further: Any) -> http.client.HTTPConnection:
            opened: Any = http_class(*place, **further)
            opened.response_class = partial(TimedResponse, until=self._until)
            return opened  # type: ignore[no-any-return]

        return super().do_open(connection, req, **settings)


class _DeadlineReader(io.RawIOBase):
    """Reads a socket until a time, by default until its timeout, counted from now, has passed."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, *, until: float | None) -> None:
        self._raw, self._socket = raw, sock
        self._timeout_seconds = sock.gettimeout() or 0.0
        self._until = time.monotonic() + self._timeout_seconds if until is None else until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_seconds = self._until - time.monotonic()
        if left_seconds <= 0:
            raise TimeoutError
        self._socket.settimeout(min(left_seconds, self._timeout_seconds))
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
