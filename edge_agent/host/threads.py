"""Threads: names and end of the threads that may hang in a call and are then abandoned."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

CAMERA_THREAD = "camera "
WORKER_THREAD = "worker "
"""Prefixes of thread names; the camera's name follows."""


class Closable(Protocol):
    """Runs a thread."""

    def ask_to_stop(self) -> None:
        """Ask the thread to stop as soon as possible; does not wait."""

    def close(self, *, timeout_seconds: float) -> None:
        """Stop the thread, or abandon it after `timeout_seconds`."""


def close_all(threads: Collection[Closable], *, timeout_seconds: float) -> None:
    """Stop all in parallel: those that hang are abandoned after `timeout_seconds` together."""
    for thread in threads:
        thread.ask_to_stop()
    until = time.monotonic() + timeout_seconds
    for thread in threads:
        thread.close(timeout_seconds=max(0.0, until - time.monotonic()))
