"""The mouth: what is to be said now and not kept on disk?"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_agent.delivery.outgoing import Outgoing

# Status and discovery are a few dozen topics; beyond this somebody talks faster than the line carries.
MOST_UNSAID = 1000


class Mouth:
    """Words for the broker. Any thread says; the publisher's opens, closes and takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_open = False
        self._retained: dict[str, Outgoing] = {}
        self._unsaid: deque[Outgoing] = deque(maxlen=MOST_UNSAID)

    def say(self, outgoing: Outgoing) -> None:
        """Remember what is retained, for its topic; anything else is dropped while nobody can hear it."""
        with self._lock:
            if outgoing.retain:
                self._retained[outgoing.topic] = outgoing
            if self._is_open:
                self._unsaid.append(outgoing)

    def open(self) -> None:
        """There is a connection: say everything retained, in the order of the first mention."""
        with self._lock:
            self._is_open = True
            self._unsaid = deque(self._retained.values(), maxlen=MOST_UNSAID)

    def close(self) -> None:
        """There is no connection any more."""
        with self._lock:
            self._is_open = False
            self._unsaid.clear()

    def take(self) -> list[Outgoing]:
        """Take what is to be sent now."""
        with self._lock:
            taken = list(self._unsaid)
            self._unsaid.clear()
            return taken
