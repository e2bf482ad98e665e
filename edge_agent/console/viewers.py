"""Viewers: limits the number of simultaneous viewers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Viewers:
    """Counts the open WebSockets, live pages and webcams together. Owned by the event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.count = 0

    @contextmanager
    def one_more(self) -> Iterator[bool]:
        """Count a viewer for the duration; yields False if there are too many."""
        if self.count >= self._most:
            yield False
            return
        self.count += 1
        try:
            yield True
        finally:
            self.count -= 1
