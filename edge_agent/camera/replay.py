"""Replay: yields the frames of a recording with their own times."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from edge_agent.camera import open_recording
from edge_agent.camera.pictures import PictureFolder
from edge_agent.domain import Frame
from edge_agent.errors import CameraError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from edge_agent.camera.recording import Recording


FRAMES_AHEAD = 4
"""Frames decoded in advance: of 25 or 30 frames per second 10 are analysed, so up to three are decoded in between."""


def recorded_frames(path: Path, *, camera: str) -> Iterator[Frame]:
    """Open a video file or a folder of pictures and yield all of its frames, as fast as they are consumed.

    A thread decodes the next frames in advance.

    `taken_at` is the position in the recording in seconds, strictly increasing; `taken_when` is the file's modification
    time plus that. A truncated or damaged recording yields its readable frames, and logs one warning.

    Raises:
        CameraError: it cannot be opened, or holds no frame.
    """
    try:
        begun_when = datetime.fromtimestamp(path.stat().st_mtime, tz=timezone.utc)
    except OSError as error:
        raise CameraError(f"{path}: {error.strerror}; give a recording or a folder of pictures") from error
    recording = PictureFolder(path) if path.is_dir() else open_recording(path)
    return _ahead(_frames(recording, camera=camera, begun_when=begun_when))


def _ahead(frames: Generator[Frame]) -> Iterator[Frame]:
    with closing(frames), ThreadPoolExecutor(1, thread_name_prefix="decoder") as decoder:
        coming: deque[Future[Frame | None]] = deque()
        while True:
            while len(coming) < FRAMES_AHEAD:
                coming.append(decoder.submit(next, frames, None))
            frame = coming.popleft().result()
            if frame is None:
                return
            yield frame


def _frames(recording: Recording | PictureFolder, *, camera: str, begun_when: datetime) -> Generator[Frame]:
    try:
        index = 0
        while recording.grab():
            at = recording.position_seconds
            yield Frame(camera, index, recording.retrieve(), taken_at=at, taken_when=begun_when + timedelta(seconds=at))
            index += 1
    finally:
        recording.close()
