"""Shared result: what many ask for at once, and again and again, is fetched once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

Result = TypeVar("Result")


class Shared(Generic[Result]):
    """The result of a function for all who ask. Owned by the event loop."""

    def __init__(self, fetch: Callable[[], Coroutine[Any, Any, Result]], *, seconds: float) -> None:
        """A result, or the error in its place, is returned again for this many seconds after it was asked for."""
        self._fetch, self._seconds = fetch, seconds
        self._task: asyncio.Task[Result] | None = None
        self._began_at = float("-inf")

    async def get(self) -> Result:
        """The current result. Raises what the function raises."""
        at = time.monotonic()
        if self._task is None or (self._task.done() and at - self._began_at >= self._seconds):
            self._began_at = at
            self._task = asyncio.ensure_future(self._fetch())
            # Otherwise asyncio logs an error that occurs after all callers have left.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        # A caller who leaves must not cancel the request of the others.
        return await asyncio.shield(self._task)
