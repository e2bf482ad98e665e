"""Pauses: paused cameras, kept across reloads and restarts."""

from __future__ import annotations

import logging
import math
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from edge_agent.host.clock import suspended_seconds
from edge_agent.host.disk import NewestWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

log = logging.getLogger(__name__)


class _Pause(BaseModel):
    """End of a pause, and the remaining time when it was saved. None: until resumed."""

    until: datetime | None = None
    left_seconds: float | None = None
    until_since_boot: float | None = None
    """The same end in seconds since the boot of the file, including suspend."""


class _Content(BaseModel):
    """Contents of the file."""

    boot_id: str = ""
    paused: dict[str, _Pause] = {}


class Pauses:
    """Stores pauses in a file, or in memory if it cannot be written. Changed by one thread, read by any.

    They outlive the agent: a reload ends no pause, even if the file cannot be written. A hanging disk does not block:
    the latest state is written once the disk responds.

    Until the machine is restarted, a pause is measured in seconds since boot, including suspend, so that setting the
    clock does not end it. After that the system clock counts, but it never extends a pause: many devices start in 1970.
    """

    def __init__(self, *, boot_id: str, suspended: Callable[[], float] = suspended_seconds) -> None:
        """Nothing is paused, nor kept before `keep_in`.

        `suspended` returns the seconds of suspend since boot, which the monotonic `at` lacks.
        """
        self._boot_id, self._suspended = boot_id, suspended
        self._paused_until: dict[str, float] = {}
        self._file: Path | None = None
        self._writer: NewestWriter | None = None

    def keep_in(self, file: Path, *, at: float, when: datetime) -> None:
        """Read the file, and keep pauses in it from now on; a missing or damaged file means no pauses.

        A later file gets the pauses of the earlier one.
        """
        if file == self._file:
            return
        is_first, self._file = self._file is None, file
        self._writer = NewestWriter(file, if_unwritable="pauses cannot be saved and end at the next restart")
        if is_first:
            self._restore(_read(file), at=at, when=when)
        else:
            self._write(at=at, when=when)

    def pause(self, cameras: Iterable[str], *, seconds: float | None, at: float, when: datetime) -> None:
        """Pause cameras for this many seconds; None: until they are resumed."""
        for camera in cameras:
            self._paused_until[camera] = math.inf if seconds is None else at + self._suspended() + seconds
        self._write(at=at, when=when)

    def resume(self, cameras: Iterable[str], *, at: float, when: datetime) -> None:
        """End the pause of cameras; ignores those that are not paused."""
        for camera in cameras:
            self._paused_until.pop(camera, None)
        self._write(at=at, when=when)

    def is_paused(self, camera: str, *, at: float) -> bool:
        """Whether the camera is paused now."""
        return at + self._suspended() < self._paused_until.get(camera, -math.inf)

    def _restore(self, content: _Content, *, at: float, when: datetime) -> None:
        now = at + self._suspended()
        for camera, pause in content.paused.items():
            if content.boot_id == self._boot_id and pause.until_since_boot is not None:
                left_seconds = pause.until_since_boot - now
            else:
                left_seconds = _left_seconds(pause, when)
            if left_seconds > 0:
                self._paused_until[camera] = now + left_seconds

    def _write(self, *, at: float, when: datetime) -> None:
        if self._writer is None:
            return
        now = at + self._suspended()
        paused = {camera: _pause(until - now, until, when) for camera, until in self._paused_until.items()}
        content = _Content(boot_id=self._boot_id, paused=paused)
        self._writer.put(content.model_dump_json(exclude_none=True).encode())


def _pause(left_seconds: float, until_since_boot: float, when: datetime) -> _Pause:
    if math.isinf(left_seconds):
        return _Pause()
    until = when + timedelta(seconds=left_seconds)
    return _Pause(until=until, left_seconds=left_seconds, until_since_boot=until_since_boot)


def _left_seconds(pause: _Pause, when: datetime) -> float:
    max_seconds = math.inf if pause.left_seconds is None else pause.left_seconds
    return min((pause.until - when).total_seconds(), max_seconds) if pause.until is not None else max_seconds


def _read(file: Path) -> _Content:
    try:
        content = _Content.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return _Content()
    except (OSError, ValidationError) as error:
        log.warning("%s: cannot be read, so no camera is paused: %s", file, str(error).splitlines()[0])
        return _Content()
    # Naive times cannot be compared with aware ones.
    for pause in content.paused.values():
        if pause.until is not None and pause.until.tzinfo is None:
            pause.until = pause.until.replace(tzinfo=timezone.utc)
    return content
