"""The bell: how is a thread woken that waits for a socket?"""

from __future__ import annotations

import socket
from contextlib import suppress


class Bell:
    """Wakes a thread that polls. Anybody rings, one thread listens."""

    def __init__(self) -> None:
        self._listening_end, self._ringing_end = socket.socketpair()
        self._listening_end.setblocking(False)
        self._ringing_end.setblocking(False)

    def fileno(self) -> int:
        """What to poll: readable once it has rung."""
        return self._listening_end.fileno()

    def ring(self) -> None:
        """Wake the thread; never waits."""
        # Full: it has been ringing for long. Closed: nobody listens any more.
        with suppress(OSError):
            self._ringing_end.send(b"!")

    def hush(self) -> None:
        """Forget that it has rung."""
        with suppress(BlockingIOError):
            self._listening_end.recv(65536)

    def close(self) -> None:
        """Give both ends back."""
        self._listening_end.close()
        self._ringing_end.close()
