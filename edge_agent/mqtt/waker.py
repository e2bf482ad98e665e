"""Waker: wakes a thread that waits for a socket."""

from __future__ import annotations

import socket
from contextlib import suppress


class Waker:
    """Wakes a polling thread. Any thread wakes, one thread polls."""

    def __init__(self) -> None:
        self._polled_end, self._waking_end = socket.socketpair()
        self._polled_end.setblocking(False)
        self._waking_end.setblocking(False)

    def fileno(self) -> int:
        """The descriptor to poll: readable after `wake`."""
        return self._polled_end.fileno()

    def wake(self) -> None:
        """Wake the thread; never blocks."""
        # Full: it is already woken. Closed: no thread polls it any more.
        with suppress(OSError):
            self._waking_end.send(b"!")

    def clear(self) -> None:
        """Clear the wake-up."""
        with suppress(BlockingIOError):
            self._polled_end.recv(65536)

    def close(self) -> None:
        """Close both ends."""
        self._polled_end.close()
        self._waking_end.close()
