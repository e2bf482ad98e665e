"""Retained topics: remembers the topics and cameras that the broker or Home Assistant may still retain.

Without it, a renamed device would stay at the broker and in Home Assistant under its old name for ever, and a removed
camera in Home Assistant.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from edge_agent.host.atomic_files import make_folder, write_whole
from edge_agent.host.disk import NewestWriter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FILE_MODE = 0o600
# A device has two topics, and one per camera; a file with more names is not ours.
MOST_NAMES = 100

log = logging.getLogger(__name__)


class RetainedTopics:
    """Stores the topics in a file until each old one is cleared. Owned by one thread at a time."""

    def __init__(self, file: Path, *, current: Iterable[str]) -> None:
        """Read the file and add the topics of the current configuration; a missing or damaged file has none."""
        self._writer = NewestWriter(lambda content: _write(file, content))
        self._current = list(current)
        known = _read(file)
        self.stale = [topic for topic in known if topic not in self._current]
        """Formerly retained topics that are not in the current configuration."""
        if set(known) != {*self._current, *self.stale}:
            _write(file, self._content)

    def forget(self, topic: str) -> None:
        """Drop an old topic that was cleared, or cannot be."""
        self.stale.remove(topic)
        self._writer.put(self._content)

    @property
    def _content(self) -> bytes:
        return _content([*self._current, *self.stale])


def removed_cameras(file: Path, *, current: Iterable[str]) -> list[str]:
    """The removed cameras of earlier configurations, newest first; none if the file is missing or damaged."""
    now = set(current)
    return [camera for camera in _read(file) if camera not in now]


def remember_cameras(file: Path, *, current: Iterable[str]) -> None:
    """Add the cameras of this configuration to those of earlier ones."""
    now = list(current)
    known = [*now, *removed_cameras(file, current=now)][:MOST_NAMES]
    if set(known) != set(_read(file)):
        _write(file, _content(known))


def _content(names: list[str]) -> bytes:
    return json.dumps(names).encode()


def _write(file: Path, content: bytes) -> None:
    try:
        make_folder(file.parent)
        write_whole(file, content, mode=FILE_MODE)
    except OSError as error:
        log.warning(
            "%s: retained messages of an old device name may remain at the broker and in Home Assistant: %s",
            file,
            error.strerror,
        )


def _read(file: Path) -> list[str]:
    try:
        known = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(known, list):
        return []
    return [name for name in known[:MOST_NAMES] if isinstance(name, str) and name]
