"""Volatile queue: messages to publish now, not kept on disk."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_agent.mqtt.publication import Publication

# Status and discovery are a few dozen topics; more are published faster than the link can carry.
MAX_QUEUED = 1000


class VolatileQueue:
    """Publications kept in memory only. Any thread may put; the publisher's opens, closes and takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_open = False
        self._retained: dict[str, Publication] = {}
        self._queued: deque[Publication] = deque(maxlen=MAX_QUEUED)

    def put(self, publication: Publication) -> None:
        """Queue a publication. Retained ones are kept by topic; others are dropped while disconnected."""
        with self._lock:
            if publication.retain:
                self._retained[publication.topic] = publication
            if self._is_open:
                self._queued.append(publication)

    def forget(self, topic: str) -> None:
        """Do not send this topic at the next connection."""
        with self._lock:
            self._retained.pop(topic, None)

    def open(self) -> None:
        """Mark as connected: queue all retained publications, in the order of their first `put`."""
        with self._lock:
            self._is_open = True
            self._queued = deque(self._retained.values(), maxlen=MAX_QUEUED)

    def close(self) -> None:
        """Mark as disconnected."""
        with self._lock:
            self._is_open = False
            self._queued.clear()

    def take(self) -> Publication | None:
        """Take the next queued publication; None: there is none."""
        with self._lock:
            return self._queued.popleft() if self._queued else None
