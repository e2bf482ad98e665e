"""Worker: runs blocking work outside the event loop, in one thread and in order."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

LONGEST_WAIT_SECONDS = 5.0
"""A request that would be done later is refused at once: a page that waits for longer has been left."""


class BusyError(Exception):
    """The queue is full; the client may retry."""


class Worker:
    """A thread with a bounded queue. Asked from the event loop only."""

    def __init__(self, name: str, *, most_waiting: int) -> None:
        """`most_waiting` pieces of work wait or are done at once; what comes beyond is refused."""
        # The thread writes it, the event loop reads it: how long the last piece took.
        self._piece_seconds = 0.0
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._most_waiting = most_waiting
        self._waiting = 0

    async def do(self, function: Callable[P, T], /, *arguments: P.args, **options: P.kwargs) -> T:
        """Do it in the thread, and give what it returns or raises.

        Raises:
            BusyError: too much is waiting.
        """
        if self._waiting >= self._most_waiting or self._waiting * self._piece_seconds > LONGEST_WAIT_SECONDS:
            raise BusyError
        self._waiting += 1
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._executor, self._work, lambda: function(*arguments, **options))
        work.add_done_callback(self._done)
        # The client may be gone before it is done. It counts until then all the same: its memory is held.
        return await asyncio.shield(work)

    def close(self) -> None:
        """Begin nothing more; what is being done ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _work(self, function: Callable[[], T]) -> T:
        began_at = time.monotonic()
        try:
            return function()
        finally:
            self._piece_seconds = time.monotonic() - began_at

    def _done(self, work: asyncio.Future[T]) -> None:
        self._waiting -= 1
        if not work.cancelled():
            # Retrieved, so that asyncio does not log an exception that was never awaited.
            work.exception()
