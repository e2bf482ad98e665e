"""V4L2: reads cameras with a kernel driver, such as USB cameras."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.camera import Camera
from edge_agent.errors import CameraError

if TYPE_CHECKING:
    from edge_agent.config.model import CameraConfig
    from edge_agent.domain import Image

# OpenCV's default, fixed when its library is loaded (OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT).
READ_TIMEOUT_SECONDS = 10.0
OPENCV_SAYS_NOTHING = 0  # LOG_LEVEL_SILENT


class DeviceCamera(Camera):
    """A V4L2 device. Owned by one thread."""

    def __init__(self, capture: cv2.VideoCapture, *, shown: str) -> None:
        """Read from an open capture; `shown` is its name in errors."""
        self._capture, self._shown = capture, shown

    def grab(self) -> bool:
        """Wait for the next picture, as `Camera`."""
        asked_at = time.monotonic()
        is_there = self._capture.grab()
        waited_seconds = time.monotonic() - asked_at
        if waited_seconds >= READ_TIMEOUT_SECONDS:
            raise CameraError(f"{self._shown}: no picture for {waited_seconds:.0f} s; check its power and its cable")
        if not is_there:
            raise CameraError(f"{self._shown}: stopped delivering pictures; check its power and its cable")
        return True

    def retrieve(self) -> Image:
        """Decode the last grabbed picture, as `Camera`."""
        reason = "damaged"
        try:
            # Whatever the format of the device: OpenCV converts it to BGR, uint8.
            is_decoded, pixels = self._capture.retrieve()
            if is_decoded:
                return np.asarray(pixels, np.uint8)
        except cv2.error as error:
            reason = " ".join(str(error).split())
        raise CameraError(f"{self._shown}: a picture cannot be decoded ({reason}); restart the camera")

    def close(self) -> None:
        """Release the camera."""
        self._capture.release()


def open_device(path: str, config: CameraConfig) -> DeviceCamera:
    """Open a V4L2 device by its path, /dev/video0 or a link such as /dev/v4l/by-id/..., and apply the settings.

    Raises:
        CameraError: it is missing, not permitted, busy, or not a camera.
    """
    _check_device(Path(path))
    # The agent logs the same failures itself. cv2.utils.logging in OpenCV 5, cv2 itself in OpenCV 4.
    getattr(cv2.utils, "logging", cv2).setLogLevel(OPENCV_SAYS_NOTHING)
    capture = cv2.VideoCapture(path, cv2.CAP_V4L2)
    if not capture.isOpened():
        raise CameraError(
            f"{path}: exists but delivers no pictures; close other programs that use it ('fuser {path}'), "
            f"or take the next device of the same camera ({_devices()})",
            fix=f"fuser -v {path}",
        )
    for name, value in device_settings(config):
        # Drivers ignore what they do not support; the feed reports a different size.
        capture.set(name, value)
    return DeviceCamera(capture, shown=path)


def device_settings(config: CameraConfig) -> list[tuple[int, float]]:
    """Settings of a V4L2 device, in order: sizes and rates depend on the format, and rates on the size."""
    settings: list[tuple[int, float]] = []
    if config.fourcc:
        settings.append((cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*config.fourcc)))
    if config.frame_size is not None:
        width_px, height_px = config.frame_size
        settings += [(cv2.CAP_PROP_FRAME_WIDTH, width_px), (cv2.CAP_PROP_FRAME_HEIGHT, height_px)]
    if config.capture_fps:
        settings.append((cv2.CAP_PROP_FPS, config.capture_fps))
    # Buffer one picture only, because older ones are outdated. Some drivers keep their own number.
    return [*settings, (cv2.CAP_PROP_BUFFERSIZE, 1)]


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
            "('sudo usermod -aG video USER') and log in again",
            fix="sudo usermod -aG video $USER",
        )


def _devices() -> str:
    """The existing devices, for an error message."""
    found = sorted(str(path) for path in Path("/dev").glob("video*"))
    if found:
        return f"there are {', '.join(found)}"
    return "there is no /dev/video*: check the cable, and the kernel's log ('dmesg')"
