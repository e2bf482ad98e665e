"""Retained topics: under which names may the broker keep something of this device?

A device that is renamed would stay at the broker, and in Home Assistant, under its old name for ever.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from edge_agent.host.atomic_files import make_folder, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FILE_MODE = 0o600
# A device has two; more than this is no file of ours.
MOST_TOPICS = 100

log = logging.getLogger(__name__)


class RetainedTopics:
    """Remembers them in a file, until each old one is cleared. Owned by one thread at a time."""

    def __init__(self, file: Path, *, current: Iterable[str]) -> None:
        """Read the file, and add those of the current configuration; one that is missing or damaged holds none."""
        self._file = file
        self._current = list(current)
        known = _read(file)
        self.stale = [topic for topic in known if topic not in self._current]
        """What was retained once and is not of the current configuration."""
        if set(known) != {*self._current, *self.stale}:
            self._write()

    def forget(self, topic: str) -> None:
        """An old topic is cleared, or cannot be."""
        self.stale.remove(topic)
        self._write()

    def _write(self) -> None:
        try:
            make_folder(self._file.parent)
            write_whole(self._file, json.dumps([*self._current, *self.stale]).encode(), mode=FILE_MODE)
        except OSError as error:
            log.warning("%s: after a renaming the old name stays at the broker: %s", self._file, error.strerror)


def _read(file: Path) -> list[str]:
    try:
        known = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(known, list):
        return []
    return [topic for topic in known[:MOST_TOPICS] if isinstance(topic, str) and topic]
