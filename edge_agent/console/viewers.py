"""Viewers: limits the number of simultaneous viewers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Viewers:
    """Counts the sockets that are open, pages and webcams together. Owned by the event loop."""

    def __init__(self, most: int) -> None:
        """`most` are served at once."""
        self._most = most
        self.count = 0

    @contextmanager
    def one_more(self) -> Iterator[bool]:
        """Hold a place while a page is served; gives whether there is one."""
        if self.count >= self._most:
            yield False
            return
        self.count += 1
        try:
            yield True
        finally:
            self.count -= 1
