"""Worker: runs blocking functions in one thread outside the event loop, in order."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

MAX_WAIT_SECONDS = 5.0
"""A request that would wait longer is refused at once."""


class BusyError(Exception):
    """The queue is full; the client may retry."""


class Worker:
    """A thread with a bounded queue. Called from the event loop only."""

    def __init__(self, name: str, *, max_waiting: int) -> None:
        """`max_waiting` limits the functions queued or running."""
        # Duration of the last function; written by the thread, read by the event loop.
        self._last_seconds = 0.0
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._most_waiting = max_waiting
        self._waiting = 0

    async def do(self, function: Callable[P, T], /, *arguments: P.args, **options: P.kwargs) -> T:
        """Call a function in the thread; returns its result, or raises its exception.

        Raises:
            BusyError: the queue is full.
        """
        if self._waiting >= self._most_waiting or self._waiting * self._last_seconds > MAX_WAIT_SECONDS:
            raise BusyError
        self._waiting += 1
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._executor, self._work, lambda: function(*arguments, **options))
        work.add_done_callback(self._done)
        # If the client disconnects, the function still runs and counts: it holds memory.
        return await asyncio.shield(work)

    def close(self) -> None:
        """Start no more functions; a running one is not interrupted."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _work(self, function: Callable[[], T]) -> T:
        began_at = time.monotonic()
        try:
            return function()
        finally:
            self._last_seconds = time.monotonic() - began_at

    def _done(self, work: asyncio.Future[T]) -> None:
        self._waiting -= 1
        if not work.cancelled():
            # Retrieve the exception, so that asyncio does not log it as never awaited.
            work.exception()
