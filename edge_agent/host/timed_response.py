"""Timed response: an HTTP response with a limit of time for the whole of it, not only for each of its bytes."""

from __future__ import annotations

import http.client
import io
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket


class TimedResponse(http.client.HTTPResponse):
    """A response that raises a TimeoutError if all of it, headers included, takes longer than the timeout."""

    def __init__(self, sock: socket.socket, *args: Any, **keywords: Any) -> None:
        super().__init__(sock, *args, **keywords)
        buffered: Any = self.fp
        self.fp = io.BufferedReader(_DeadlineReader(buffered.detach(), sock))


class _DeadlineReader(io.RawIOBase):
    """Reads a socket until its timeout, counted from now, has passed."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._socket = raw, sock
        self._until = time.monotonic() + (sock.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_seconds = self._until - time.monotonic()
        if left_seconds <= 0:
            raise TimeoutError
        self._socket.settimeout(left_seconds)
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
