"""Camera: frame sources, and the choice of a backend for each."""

from __future__ import annotations

import math
import stat
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from edge_agent.config.model import named_source
from edge_agent.config.redaction import shown_source
from edge_agent.errors import CameraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.camera.recording import Recording
    from edge_agent.config.model import CameraConfig
    from edge_agent.domain import Picture


SourceKind: TypeAlias = Literal["device", "stream", "recording", "pictures", "pipe", "picamera2"]

_EXPECTED = "give a device such as /dev/video0, an rtsp:// or http:// address, a recording or a folder of pictures"


class Camera(Protocol):
    """An open source of pictures. Owned by the thread that reads it."""

    @property
    def position_seconds(self) -> float | None:
        """Position of the last grabbed picture in the recording; None for a live camera, which paces itself."""
        return None

    @property
    def age_seconds(self) -> float:
        """Age of the last grabbed picture, as far as known."""
        return 0.0

    def grab(self) -> bool:
        """Wait for the next picture; False at the end of a recording or folder.

        Raises:
            CameraError: the source is lost, silent for too long, sends what is no picture, or is to be stopped.
        """
        ...

    def retrieve(self) -> Picture:
        """Return the last grabbed picture. Expensive: call it only when needed.

        Raises:
            CameraError: it cannot be converted.
        """
        ...

    def close(self) -> None:
        """Release the device, connection or file."""
        ...


class EagerCamera(Camera):
    """A camera that decodes each picture as it is grabbed, and has nothing to release."""

    grabbed: Picture

    def retrieve(self) -> Picture:
        """Return the last grabbed picture."""
        return self.grabbed

    def close(self) -> None:
        """Do nothing."""


def open_camera(config: CameraConfig, stop: threading.Event | None = None) -> Camera:
    """Open `config.source`: a V4L2 device, a network address, a recording, a folder, a program's output.

    A grab that can be interrupted ends soon after `stop` is set.

    Raises:
        CameraError: it is missing, not allowed, or has no pictures; the message contains no password.
    """
    source = config.source
    match source_kind(source):
        case "device":
            from edge_agent.camera.v4l2 import open_device

            return open_device(f"/dev/video{source}" if source.isdecimal() else source, config)
        case "stream":
            return _open_stream(config, stop=stop or threading.Event())
        case "recording":
            return open_recording(Path(source), config)
        case "pictures":
            from edge_agent.camera.pictures import PictureFolder

            return PictureFolder(Path(source))
        case "pipe":
            from edge_agent.camera.pipe import PipeCamera

            return PipeCamera(config, stop=stop or threading.Event())
        case "picamera2":
            from edge_agent.camera.picamera2 import CsiCamera

            return CsiCamera(config)


def source_kind(source: str) -> SourceKind:
    """The kind of a source that the configuration has accepted.

    Raises:
        CameraError: no file of that name exists, or it is neither a device, a file nor a folder.
    """
    if (named := named_source(source)) is not None:
        return "picamera2" if named[0] == "picamera2" else "pipe"
    if "://" in source:
        return "stream"
    return "device" if source.isdecimal() else _kind_on_disk(source)


def _kind_on_disk(source: str) -> SourceKind:
    try:
        mode = Path(source).stat().st_mode
    except (OSError, ValueError) as error:
        # An unplugged camera has no device file: the error of opening it lists the existing devices.
        if source.startswith("/dev/"):
            return "device"
        reason = getattr(error, "strerror", None) or str(error)
        raise CameraError(f"{shown_source(source)}: {reason}; {_EXPECTED}") from error
    if stat.S_ISDIR(mode):
        return "pictures"
    if stat.S_ISREG(mode):
        return "recording"
    if stat.S_ISCHR(mode):
        return "device"
    raise CameraError(f"{shown_source(source)}: neither device, file nor folder; {_EXPECTED}")


def first_pictures(config: CameraConfig, *, count: int, seconds: float = math.inf) -> list[Picture]:
    """Open a camera and take its first pictures, transformed: `count`, or those of `seconds` but at least one.

    Raises:
        CameraError: as `open_camera` and `Camera`.
    """
    from edge_agent.camera.transform import transform

    pictures: list[Picture] = []
    with closing(open_camera(config)) as camera:
        until = time.monotonic() + seconds
        while len(pictures) < count and (not pictures or time.monotonic() < until) and camera.grab():
            pictures.append(transform(camera.retrieve(), config))
    return pictures


def _open_stream(config: CameraConfig, *, stop: threading.Event) -> Camera:
    """Open a network address; over HTTP, the response decides between stream and still pictures."""
    is_bare_mjpeg = False
    if config.source.lower().startswith("http"):
        from edge_agent.camera.still import StillCamera, kind_of_address

        kind = kind_of_address(config)
        if kind == "picture":
            return StillCamera(config, stop=stop)
        is_bare_mjpeg = kind == "pictures"
    with _pyav():
        from edge_agent.camera.stream import StreamCamera

    return StreamCamera(config, stop=stop, is_bare_mjpeg=is_bare_mjpeg)


def open_recording(path: Path, config: CameraConfig | None = None) -> Recording:
    """Open a video file.

    Raises:
        CameraError: the file is missing, empty, not a video, or holds no frame.
    """
    with _pyav():
        from edge_agent.camera.recording import Recording

    return Recording(path, config)


@contextmanager
def _pyav() -> Iterator[None]:
    """Explain that PyAV, which has no wheel for some systems, cannot be imported."""
    try:
        yield
    except ImportError as error:
        raise CameraError(
            f"recordings and network streams need PyAV, which cannot be imported ({error}); 'pip install av', or where "
            "it has no wheel write 'source: \"ffmpeg: ADDRESS\"' (docs/platforms.md)"
        ) from error
