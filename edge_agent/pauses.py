"""Pauses: paused cameras, kept across restarts."""

from __future__ import annotations

import json
import logging
import math
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from edge_agent.host.atomic_files import make_folder, write_whole
from edge_agent.host.disk import NewestWriter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# Other users need not know when a camera is paused.
FILE_MODE = 0o600

log = logging.getLogger(__name__)


class _Pause(BaseModel):
    """When a pause ends, and how much of it was left when that was written. None: it lasts until it is ended."""

    until: datetime | None = None
    left_seconds: float | None = None


class _Content(BaseModel):
    """What the file holds."""

    paused: dict[str, _Pause] = {}


class Pauses:
    """Keeps them in a file, and goes on in memory where that cannot be written. Changed by one thread, read by any.

    A disk that hangs is not waited for: what was changed last is written once it responds.

    A pause is counted in monotonic seconds while the agent runs, so that a clock which is set does not end it. Over a
    restart the clock has to be believed, but it makes no pause longer: many devices begin in 1970.
    """

    def __init__(self, file: Path, *, at: float, when: datetime) -> None:
        """Read the file; one that is missing or damaged holds nothing."""
        self._file = file
        self._writer = NewestWriter(self._save)
        self._is_stuck = False
        content = _read(file)
        self._paused_until: dict[str, float] = {}
        for camera, pause in content.paused.items():
            left_seconds = _left_seconds(pause, when)
            if left_seconds > 0:
                self._paused_until[camera] = at + left_seconds

    def pause(self, cameras: Iterable[str], *, seconds: float | None, at: float, when: datetime) -> None:
        """Pause cameras for so many seconds; None: until they are resumed."""
        for camera in cameras:
            self._paused_until[camera] = math.inf if seconds is None else at + seconds
        self._write(at=at, when=when)

    def resume(self, cameras: Iterable[str], *, at: float, when: datetime) -> None:
        """End the pause of cameras; ignores those that are not paused."""
        for camera in cameras:
            self._paused_until.pop(camera, None)
        self._write(at=at, when=when)

    def is_paused(self, camera: str, *, at: float) -> bool:
        """Whether the camera is paused now."""
        return at < self._paused_until.get(camera, -math.inf)

    def _write(self, *, at: float, when: datetime) -> None:
        content = {"paused": {camera: _written(until - at, when) for camera, until in self._paused_until.items()}}
        self._writer.put(json.dumps(content).encode())

    def _save(self, content: bytes) -> None:
        try:
            make_folder(self._file.parent)
            write_whole(self._file, content, mode=FILE_MODE)
        except OSError as error:
            if not self._is_stuck:
                log.warning("%s: pauses cannot be saved and end at the next restart: %s", self._file, error.strerror)
            self._is_stuck = True
        else:
            self._is_stuck = False


def _written(left_seconds: float, when: datetime) -> dict[str, Any]:
    if math.isinf(left_seconds):
        return {}
    return {"until": (when + timedelta(seconds=left_seconds)).isoformat(), "left_seconds": left_seconds}


def _left_seconds(pause: _Pause, when: datetime) -> float:
    most_seconds = math.inf if pause.left_seconds is None else pause.left_seconds
    return min((pause.until - when).total_seconds(), most_seconds) if pause.until is not None else most_seconds


def _read(file: Path) -> _Content:
    try:
        content = _Content.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return _Content()
    except (OSError, ValidationError) as error:
        log.warning("%s: cannot be read, so no camera is paused: %s", file, _first_line(error))
        return _Content()
    # An hour of no zone cannot be compared with one.
    for pause in content.paused.values():
        if pause.until is not None and pause.until.tzinfo is None:
            pause.until = pause.until.replace(tzinfo=timezone.utc)
    return content


def _first_line(error: Any) -> str:
    return str(error).splitlines()[0]
