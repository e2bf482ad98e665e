"""Retained names: remembers the topics and cameras that the broker or Home Assistant may still retain.

Without it, a renamed device would stay at the broker and in Home Assistant under its old name for ever, and a removed
camera in Home Assistant.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edge_agent.host.disk import NewestWriter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# A device has two topics, and one per camera; a file with more names is not ours.
MAX_NAMES = 100


class RetainedNames:
    """Stores names in a file, old topics until each is cleared. Owned by one thread at a time."""

    def __init__(self, file: Path, *, current: Iterable[str]) -> None:
        """Read the file and add the names of the current configuration; a missing or damaged file has none."""
        self._writer = NewestWriter(
            file,
            if_unwritable="retained messages of a former device or camera may remain at the broker and Home Assistant",
        )
        self._current = list(current)
        known = _read(file)
        self.stale = [name for name in known if name not in self._current]
        """The names of earlier configurations that are not in the current one, newest first."""
        if set(known) != {*self._current, *self.stale}:
            self._writer.put(self._content)

    def forget(self, topic: str) -> None:
        """Drop an old topic that was cleared, or cannot be."""
        self.stale.remove(topic)
        self._writer.put(self._content)

    @property
    def _content(self) -> bytes:
        return json.dumps([*self._current, *self.stale]).encode()


def removed_cameras(file: Path, *, current: Iterable[str]) -> list[str]:
    """The removed cameras of earlier configurations, without changing the file: for other programs than the agent."""
    now = set(current)
    return [camera for camera in _read(file) if camera not in now]


def _read(file: Path) -> list[str]:
    try:
        known = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(known, list):
        return []
    return [name for name in known[:MAX_NAMES] if isinstance(name, str) and name]
