"""Recording: plays a video file from its first frame to its last."""

from __future__ import annotations

import logging
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

import av.error

from edge_agent.camera import Camera
from edge_agent.camera.decoding import VideoDecoder, open_container, video_stream
from edge_agent.config.model import CameraConfig
from edge_agent.errors import CameraError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from edge_agent.domain import Picture

# Assumed frame rate of a recording that states none, or an implausible one.
ASSUMED_FRAMES_PER_SECOND = 25.0
MAX_FRAMES_PER_SECOND = 1000.0
# A longer step from one picture to the next is a damaged time stamp, not a gap in the recording.
MAX_STEP_SECONDS = 60.0
# Time stamps this far from the position have jumped, as where recordings were joined; misordered ones differ by less.
JUMP_SECONDS = 1.0
# Sound may outlast the picture by a little; more missing at the end means that the file was cut off.
CUT_OFF_SECONDS = 0.5
MICROSECONDS = 1e6

log = logging.getLogger(__name__)


class Recording(Camera):
    """A video file, from its first frame to its last. Owned by one thread."""

    position_seconds = 0.0
    """Position of the last grabbed frame in the recording; increases with every frame."""

    def __init__(self, path: Path, config: CameraConfig | None = None) -> None:
        """Open a file and decode its first frame, for a file without any is of no use.

        Raises:
            CameraError: the file is missing, empty, not a video, or holds no frame.
        """
        self._path = path
        _check_recording(path)
        self._container = _open_recording(path)
        try:
            stream = video_stream(self._container, shown=str(path))
            self._decoder = VideoDecoder(stream, config or CameraConfig(), shown=str(path))
            self._frame_seconds, self._expected = _stated_length(self._container, stream)
            self._begins_seconds = float((stream.start_time or 0) * (stream.time_base or 0))
        except CameraError:
            self._container.close()
            raise
        self._frames = self._decoded(stream)
        self._first = next(self._frames, None)
        if self._first is None:
            self.close()
            raise CameraError(f"{path}: contains no readable frame; copy it again from where it was recorded")
        self._grabbed: VideoFrame
        self._read = 0
        self._reached_seconds = 0.0

    def grab(self) -> bool:
        """Decode the next frame; False at the end."""
        frame, self._first = self._first, None
        if frame is None:
            frame = next(self._frames, None)
        if frame is None:
            self._warn_if_incomplete()
            return False
        stated_seconds = None if frame.pts is None else frame.time - self._begins_seconds
        self.position_seconds = plausible_position(
            stated_seconds,
            previous_seconds=self.position_seconds if self._read else None,
            frame_seconds=self._frame_seconds,
        )
        if stated_seconds is not None and abs(jump_seconds := stated_seconds - self.position_seconds) > JUMP_SECONDS:
            self._begins_seconds += jump_seconds
        # Matroska states the end time of a recording, even if it does not begin at zero.
        self._reached_seconds = max(self.position_seconds, frame.time or 0.0)
        self._grabbed = frame
        self._read += 1
        return True

    def retrieve(self) -> Picture:
        """Convert the frame grabbed last, as `Camera`."""
        return self._decoder.picture(self._grabbed)

    def close(self) -> None:
        """Close the file, and free the decoder with its pictures."""
        # The generator and this object refer to each other: only the garbage collector would free them.
        self._frames.close()
        self._container.close()

    def _decoded(self, stream: VideoStream) -> Generator[VideoFrame]:
        # Damage ends the recording; the stated length shows whether that is too early.
        with suppress(av.error.FFmpegError):
            for packet in self._container.demux(stream):
                # An empty packet repeats the previous frame, or marks the end.
                if packet.size:
                    yield from self._decoder.decode(packet)
        yield from self._decoder.decode(None)

    def _warn_if_incomplete(self) -> None:
        missing_seconds = self._expected * self._frame_seconds - (self._reached_seconds + self._frame_seconds)
        if self._read < self._expected and missing_seconds > CUT_OFF_SECONDS:
            log.warning(
                "%s: ended at frame %d of %d; the recording was cut off or is damaged there",
                self._path,
                self._read,
                self._expected,
            )
        elif self._decoder.damaged_frames:
            log.warning(
                "%s: damaged frames: %d; alerts may be missing, copy the recording again",
                self._path,
                self._decoder.damaged_frames,
            )


def plausible_position(stated_seconds: float | None, *, previous_seconds: float | None, frame_seconds: float) -> float:
    """Return the stated position of a frame, or one frame after the previous where the time stamp is damaged."""
    if previous_seconds is None:
        return stated_seconds if stated_seconds is not None and 0 <= stated_seconds <= MAX_STEP_SECONDS else 0.0
    if stated_seconds is not None and 0 < stated_seconds - previous_seconds <= MAX_STEP_SECONDS:
        return stated_seconds
    return previous_seconds + frame_seconds


def _open_recording(path: Path) -> InputContainer:
    try:
        # An absolute path is never interpreted as a protocol of FFmpeg, and playlists must not open other protocols.
        return open_container(str(path.absolute()), options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise CameraError(
            f"{path}: not a video that can be read; an .mp4 that was cut off while it was being written has "
            "lost its index (the moov atom): copy it again, or record as .mkv or .ts"
        ) from error


def _stated_length(container: InputContainer, stream: VideoStream) -> tuple[float, int]:
    """Seconds per frame and number of frames, as stated or implied by the file's header; 0 frames if unknown."""
    rate = float(stream.average_rate or 0)
    frame_seconds = 1 / (rate if 0 < rate <= MAX_FRAMES_PER_SECOND else ASSUMED_FRAMES_PER_SECOND)
    duration_seconds = (container.duration or 0) / MICROSECONDS
    return frame_seconds, stream.frames or max(0, round(duration_seconds / frame_seconds))


def _check_recording(path: Path) -> None:
    try:
        status = path.stat()
        # Do not open a pipe, which would wait for its writer.
        if stat.S_ISREG(status.st_mode):
            path.open("rb").close()
    except OSError as error:
        raise CameraError(f"{path}: {error.strerror}; give the path of a recording that can be read") from error
    if not stat.S_ISREG(status.st_mode):
        raise CameraError(f"{path}: not a file; give the path of a recording")
    if status.st_size == 0:
        raise CameraError(f"{path}: the file is empty; copy it again from where it was recorded")
