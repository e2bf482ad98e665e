"""Retained topics: under which names may the broker, or Home Assistant, keep something of this device?

A device that is renamed would stay at the broker, and in Home Assistant, under its old name for ever; and so would, in
Home Assistant, a camera that is no longer in the configuration.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from edge_agent.host.atomic_files import make_folder, write_whole
from edge_agent.host.disk import DiskThread

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FILE_MODE = 0o600
# A device has two topics, and one a camera; more names than this are no file of ours.
MOST_NAMES = 100

log = logging.getLogger(__name__)


class RetainedTopics:
    """Remembers them in a file, until each old one is cleared. Owned by one thread at a time."""

    def __init__(self, file: Path, *, current: Iterable[str]) -> None:
        """Read the file, and add those of the current configuration; one that is missing or damaged holds none."""
        self._file = file
        self._disk: DiskThread[None] = DiskThread()
        self._current = list(current)
        known = _read(file)
        self.stale = [topic for topic in known if topic not in self._current]
        """What was retained once and is not of the current configuration."""
        if set(known) != {*self._current, *self.stale}:
            self._write()

    def forget(self, topic: str) -> None:
        """An old topic is cleared, or cannot be; where a disk that hangs keeps it in the file, it is cleared again."""
        self.stale.remove(topic)
        self._write()

    def _write(self) -> None:
        names = [*self._current, *self.stale]
        self._disk.ask(lambda: _write(self._file, names))


def removed_cameras(file: Path, *, current: Iterable[str]) -> list[str]:
    """Give the cameras of earlier configurations, the newest first; none where the file is missing or damaged."""
    now = set(current)
    return [camera for camera in _read(file) if camera not in now]


def remember_cameras(file: Path, *, current: Iterable[str]) -> None:
    """Add the cameras of this configuration to those of earlier ones."""
    now = list(current)
    known = [*now, *removed_cameras(file, current=now)][:MOST_NAMES]
    if set(known) != set(_read(file)):
        _write(file, known)


def _write(file: Path, names: list[str]) -> None:
    try:
        make_folder(file.parent)
        write_whole(file, json.dumps(names).encode(), mode=FILE_MODE)
    except OSError as error:
        log.warning("%s: an old name may stay at the broker or in Home Assistant: %s", file, error.strerror)


def _read(file: Path) -> list[str]:
    try:
        known = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(known, list):
        return []
    return [name for name in known[:MOST_NAMES] if isinstance(name, str) and name]
