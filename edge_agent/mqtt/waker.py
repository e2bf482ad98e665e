"""Waker: wakes a thread that waits for a socket."""

from __future__ import annotations

import socket
from contextlib import suppress


class Waker:
    """Wakes a thread that polls. Anybody wakes, one thread polls."""

    def __init__(self) -> None:
        self._polled_end, self._waking_end = socket.socketpair()
        self._polled_end.setblocking(False)
        self._waking_end.setblocking(False)

    def fileno(self) -> int:
        """What to poll: readable once it was woken."""
        return self._polled_end.fileno()

    def wake(self) -> None:
        """Wake the thread; never waits."""
        # Full: it was woken long ago. Closed: no thread polls it any more.
        with suppress(OSError):
            self._waking_end.send(b"!")

    def clear(self) -> None:
        """Forget that it was woken."""
        with suppress(BlockingIOError):
            self._polled_end.recv(65536)

    def close(self) -> None:
        """Give both ends back."""
        self._polled_end.close()
        self._waking_end.close()
