"""V4L2: devices and their settings."""

import os

import cv2
import pytest

from edge_agent.camera import open_camera
from edge_agent.camera.v4l2 import device_settings, open_device
from edge_agent.config.model import CameraConfig
from edge_agent.errors import CameraError

NOBODY = 65534


def opened(source, **keys):
    return open_camera(CameraConfig(source=source, **keys))


@pytest.mark.parametrize("source", ["/dev/video97", "97", "/dev/v4l/by-id/usb-gone-index0"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(source):
    with pytest.raises(CameraError, match=r"^/dev/\S*: no such device; there (is no /dev/video\*|are /dev/video)"):
        opened(source)


def test_what_is_no_device_is_refused(tmp_path):
    path = tmp_path / "video0"
    path.write_bytes(b"")

    with pytest.raises(CameraError, match="is not a device"):
        open_device(str(path), CameraConfig())


def test_a_device_that_is_no_camera_is_refused():
    with pytest.raises(CameraError, match="/dev/null: exists but gives no pictures; close other programs"):
        opened("/dev/null")


@pytest.fixture
def unprivileged():
    """Root, who may use everything, becomes nobody for the length of a test."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)


@pytest.mark.usefixtures("unprivileged")
def test_a_device_without_permission_is_refused_with_the_group_to_join():
    # Every system has it, for root and its group alone, as a camera is for the group 'video'.
    with pytest.raises(CameraError, match="/dev/console: no permission to use it; add this user to the group 'video'"):
        opened("/dev/console")


def test_a_device_is_asked_for_format_size_and_rate_in_this_order():
    """The sizes that it has depend on the format, and the rates on both."""
    config = CameraConfig(fourcc="MJPG", frame_size=(1280, 720), capture_fps=15)

    names = [name for name, _ in device_settings(config)]
    settings = dict(device_settings(config))

    assert names == [
        cv2.CAP_PROP_FOURCC,
        cv2.CAP_PROP_FRAME_WIDTH,
        cv2.CAP_PROP_FRAME_HEIGHT,
        cv2.CAP_PROP_FPS,
        cv2.CAP_PROP_BUFFERSIZE,
    ]
    assert int(settings[cv2.CAP_PROP_FOURCC]).to_bytes(4, "little") == b"MJPG"
    assert (settings[cv2.CAP_PROP_FRAME_WIDTH], settings[cv2.CAP_PROP_FRAME_HEIGHT]) == (1280, 720)
    assert dict(device_settings(CameraConfig())) == {cv2.CAP_PROP_BUFFERSIZE: 1}
