"""OpenCV: how are pictures read from a V4L2 device, a network stream or a recording?"""

from __future__ import annotations

import logging
import os
import socket
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import cv2

from edge_agent.camera.native_logging import silence
from edge_agent.camera.pixels import as_bgr
from edge_agent.camera.source import shown_source
from edge_agent.errors import CameraError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.config.model import CameraConfig
    from edge_agent.domain import Image

# A camera behind a slow link may take some seconds to send its first key frame.
OPEN_TIMEOUT_SECONDS = 10.0
# Only to learn why a stream did not open; on a local network an answer takes milliseconds.
PROBE_TIMEOUT_SECONDS = 2.0
# OpenCV's own, fixed when its library is loaded (OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT).
DEVICE_TIMEOUT_SECONDS = 10.0
STANDARD_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}

# What a recording is taken to play at where it states none, or nonsense.
ASSUMED_FRAMES_PER_SECOND = 25.0
MOST_FRAMES_PER_SECOND = 1000.0
# A longer step from one picture to the next is a damaged time stamp, not a gap in the recording.
LONGEST_STEP_SECONDS = 60.0
# Sound may outlast the picture by a little; more missing at the end means that the file was cut off.
CUT_OFF_SECONDS = 0.5

log = logging.getLogger(__name__)


class LiveCamera:
    """A V4L2 device or a network stream: pictures come when they come. Owned by one thread."""

    position_seconds: None = None

    def __init__(self, capture: cv2.VideoCapture, *, shown: str, read_timeout_seconds: float) -> None:
        """Read from an open capture; `shown` is how errors call it."""
        self._capture = capture
        self._shown = shown
        self._silence_seconds = read_timeout_seconds

    def read(self) -> Image:
        """Wait for the next picture.

        Raises:
            CameraError: the camera is lost, or silent for too long.
        """
        asked_at = time.monotonic()
        image = _next_picture(self._capture, shown=self._shown)
        waited_seconds = time.monotonic() - asked_at
        # After its timeout FFmpeg still hands out, one timeout apart, the old pictures that its decoder held back.
        if waited_seconds >= self._silence_seconds:
            raise CameraError(f"{self._shown}: no picture for {waited_seconds:.0f} s; check its power and its cable")
        if image is None:
            raise CameraError(f"{self._shown}: stopped giving pictures; check its power and its cable")
        return image

    def close(self) -> None:
        """Let go of the camera."""
        self._capture.release()


class Recording:
    """A video file, from its first frame to its last. Owned by one thread."""

    def __init__(self, path: Path) -> None:
        """Open a file and read its first frame, for a file without any is of no use.

        Raises:
            CameraError: the file is missing, empty, not a video, or holds no frame.
        """
        self._path = path
        _check_recording(path)
        # An absolute path is never taken for one of FFmpeg's protocols.
        self._capture = _open_capture(str(path.absolute()), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise CameraError(
                f"{path}: not a video that can be read; an .mp4 that was cut off while it was being written has "
                "lost its index (the moov atom): copy it again, or record as .mkv or .ts"
            )
        self._frame_seconds, self._expected = _stated_length(self._capture)
        self._read = 0
        self._position_seconds = 0.0
        self._first = _next_picture(self._capture, shown=str(path))
        if self._first is None:
            self.close()
            raise CameraError(f"{path}: holds no frame that can be read; copy it again from where it was recorded")

    @property
    def position_seconds(self) -> float:
        """Where the frame read last stands in the recording; grows with every frame."""
        return self._position_seconds

    def read(self) -> Image | None:
        """Read the next frame; None at the end.

        Raises:
            CameraError: the frame has a layout that is no picture.
        """
        image, self._first = self._first, None
        if image is None:
            image = _next_picture(self._capture, shown=str(self._path))
        if image is None:
            self._warn_where_cut_off()
            return None
        stated_seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        previous_seconds = self._position_seconds if self._read else None
        self._position_seconds = plausible_position(
            stated_seconds, previous_seconds=previous_seconds, frame_seconds=self._frame_seconds
        )
        self._read += 1
        return image

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def _warn_where_cut_off(self) -> None:
        missing_seconds = self._expected * self._frame_seconds - (self._position_seconds + self._frame_seconds)
        if self._read < self._expected and missing_seconds > CUT_OFF_SECONDS:
            log.warning(
                "%s: ended at frame %d of %d; the recording was cut off or is damaged there",
                self._path,
                self._read,
                self._expected,
            )


def open_device(path: str, config: CameraConfig) -> LiveCamera:
    """Open a V4L2 device by its path, /dev/video0 or a link such as /dev/v4l/by-id/..., and ask it for what is set.

    Raises:
        CameraError: it is not there, not allowed, busy, or no camera.
    """
    _check_device(Path(path))
    capture = _open_capture(path, cv2.CAP_V4L2)
    if not capture.isOpened():
        raise CameraError(
            f"{path}: is there but gives no pictures; close other programs that use it ('fuser {path}'), "
            f"or take the next device of the same camera ({_devices()})"
        )
    for name, value in device_settings(config):
        # What a driver cannot do it leaves as it was: the feed says where the size is another.
        capture.set(name, value)
    return LiveCamera(capture, shown=path, read_timeout_seconds=DEVICE_TIMEOUT_SECONDS)


def device_settings(config: CameraConfig) -> list[tuple[int, float]]:
    """What a V4L2 device is to be set to, in order: sizes and rates depend on the format, and rates on the size."""
    settings: list[tuple[int, float]] = []
    if config.fourcc:
        settings.append((cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*config.fourcc)))
    if config.frame_size is not None:
        width_px, height_px = config.frame_size
        settings += [(cv2.CAP_PROP_FRAME_WIDTH, width_px), (cv2.CAP_PROP_FRAME_HEIGHT, height_px)]
    if config.capture_fps:
        settings.append((cv2.CAP_PROP_FPS, config.capture_fps))
    # One picture waiting at most: an old one is worth nothing. Drivers that cannot do so keep their own number.
    return [*settings, (cv2.CAP_PROP_BUFFERSIZE, 1)]


def open_stream(address: str, *, read_timeout_seconds: float) -> LiveCamera:
    """Open a network camera; RTSP goes over TCP, for a lost UDP packet smears the picture until the next key frame.

    Raises:
        CameraError: it does not answer, or answers without video.
    """
    # Read by OpenCV at each open; a person's own options stay.
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
    timeouts = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        int(OPEN_TIMEOUT_SECONDS * 1000),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        int(read_timeout_seconds * 1000),
    ]
    capture = _open_capture(address, cv2.CAP_FFMPEG, timeouts)
    if not capture.isOpened():
        raise CameraError(f"{shown_source(address)}: {_why_closed(address)}")
    return LiveCamera(capture, shown=shown_source(address), read_timeout_seconds=read_timeout_seconds)


def plausible_position(stated_seconds: float, *, previous_seconds: float | None, frame_seconds: float) -> float:
    """Return the stated position of a frame, or one frame after the previous where the time stamp is damaged."""
    if previous_seconds is None:
        return stated_seconds if 0 <= stated_seconds <= LONGEST_STEP_SECONDS else 0.0
    if 0 < stated_seconds - previous_seconds <= LONGEST_STEP_SECONDS:
        return stated_seconds
    return previous_seconds + frame_seconds


def _open_capture(name: str, backend: int, parameters: Sequence[int] = ()) -> cv2.VideoCapture:
    silence()
    try:
        # OpenCV 4.11 crashes on a name that is not UTF-8.
        name.encode()
    except UnicodeEncodeError as error:
        raise CameraError(f"{shown_source(name)!a}: the name is not UTF-8; give it another") from error
    return cv2.VideoCapture(name, backend, parameters)


def _next_picture(capture: cv2.VideoCapture, *, shown: str) -> Image | None:
    try:
        there, pixels = capture.read()
        return as_bgr(pixels) if there else None
    except (cv2.error, ValueError) as error:
        raise CameraError(f"{shown}: gave what is no picture ({' '.join(str(error).split())}); restart it") from error


def _stated_length(capture: cv2.VideoCapture) -> tuple[float, int]:
    """Seconds a frame and number of frames, as the file's header states or implies them; 0 frames where it does not."""
    rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    # Written so that NaN is refused too.
    frame_seconds = 1 / (rate if 0 < rate <= MOST_FRAMES_PER_SECOND else ASSUMED_FRAMES_PER_SECOND)
    return frame_seconds, int(count) if count > 0 else 0


def _check_recording(path: Path) -> None:
    try:
        status = path.stat()
        # Not of a pipe: opening one waits for whoever writes into it.
        if stat.S_ISREG(status.st_mode):
            path.open("rb").close()
    except OSError as error:
        raise CameraError(f"{path}: {error.strerror}; give the path of a recording that can be read") from error
    if not stat.S_ISREG(status.st_mode):
        raise CameraError(f"{path}: not a file; give the path of a recording")
    if status.st_size == 0:
        raise CameraError(f"{path}: the file is empty; copy it again from where it was recorded")


def _check_device(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise CameraError(f"{path}: no such device; {_devices()}") from error
    if not stat.S_ISCHR(mode):
        raise CameraError(f"{path}: is not a device; {_devices()}")
    if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
        raise CameraError(
            f"{path}: no permission to use it; add this user to the group 'video' "
            "('sudo usermod -aG video USER') and log in again"
        )


def _devices() -> str:
    """What to choose from."""
    found = sorted(str(path) for path in Path("/dev").glob("video*"))
    if found:
        return f"there are {', '.join(found)}"
    return "there is no /dev/video* at all: check the cable, and 'dmesg' for what the kernel says"


def _why_closed(address: str) -> str:
    """Why a stream did not open; FFmpeg knows, but OpenCV does not pass it on."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port or STANDARD_PORTS.get(parts.scheme, 0)
    except ValueError:
        return "is not a valid address; write rtsp://user:password@host:port/path, with special characters as %40"
    try:
        socket.create_connection((host, port), timeout=PROBE_TIMEOUT_SECONDS).close()
    except OSError as error:
        reason = error.strerror or str(error)
        return f"port {port} cannot be reached ({reason}); check the address, the camera's power and the network"
    return "answers, but gives no video; check path, user and password, and that it offers RTSP over TCP"
