"""Camera: where do frames come in, and which backend reads this source?"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edge_agent.camera.source import source_kind
from edge_agent.config.model import named_source

if TYPE_CHECKING:
    from edge_agent.config.model import CameraConfig
    from edge_agent.domain import Image


class Camera(Protocol):
    """Something open that gives pictures one after the other. Owned by the thread that reads it."""

    @property
    def position_seconds(self) -> float | None:
        """Where in the recording the picture read last stands; None for a live camera, which paces itself."""
        ...

    def read(self) -> Image | None:
        """Wait for the next picture: BGR uint8, (height, width, 3). None at the end of a recording or folder.

        Raises:
            CameraError: the source is lost.
        """
        ...

    def close(self) -> None:
        """Let go of the device, connection or file."""
        ...


def open_camera(config: CameraConfig, stop: threading.Event | None = None) -> Camera:
    """Open what `config.source` names: a V4L2 device, a network address, a recording, a folder, a program's output.

    Where `stop` is set, a read that can be ended ends soon.

    Raises:
        CameraError: it is not there, not allowed, or gives no pictures; the message holds no password.
    """
    source = config.source
    match source_kind(source):
        case "device":
            from edge_agent.camera.opencv import open_device

            return open_device(f"/dev/video{source}" if source.isdecimal() else source, config)
        case "stream":
            from edge_agent.camera.opencv import open_stream

            return open_stream(source, read_timeout_seconds=config.read_timeout_seconds)
        case "recording":
            from edge_agent.camera.opencv import Recording

            return Recording(Path(source))
        case "pictures":
            from edge_agent.camera.pictures import PictureFolder

            return PictureFolder(Path(source))
        case "pipe":
            from edge_agent.camera.pipe import open_pipe

            return open_pipe(config, stop=stop or threading.Event())
        case "picamera2":
            from edge_agent.camera.picamera2 import open_picamera2

            return open_picamera2(config, number=(named_source(source) or ("", ""))[1])
