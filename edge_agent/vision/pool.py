"""Pool: copies of something that is not thread-safe, for several threads."""

from __future__ import annotations

import queue
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CopyT = TypeVar("CopyT")


class Pool(Generic[CopyT]):
    """Copies of which each thread takes one while it uses it; thread-safe."""

    def __init__(self, copies: Iterable[CopyT]) -> None:
        """At least one, none of which is used elsewhere."""
        # The one used last is taken next: its memory is still in the cache.
        self._free: queue.LifoQueue[CopyT] = queue.LifoQueue()
        for copy in copies:
            self._free.put(copy)

    @contextmanager
    def taken(self) -> Iterator[CopyT]:
        """Take a free copy, or wait for one."""
        copy = self._free.get()
        try:
            yield copy
        finally:
            self._free.put(copy)
