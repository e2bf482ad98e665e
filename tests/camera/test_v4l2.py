"""V4L2: devices and their settings."""

import os

import cv2
import pytest

from edge_agent.camera import open_camera
from edge_agent.camera.v4l2 import DeviceCamera, device_settings, open_device
from edge_agent.config.model import CameraConfig
from edge_agent.errors import CameraError

NOBODY = 65534


def opened(source, **keys):
    return open_camera(CameraConfig(source=source, **keys))


@pytest.mark.parametrize("source", ["/dev/video97", "97", "/dev/v4l/by-id/usb-gone-index0"])
def test_a_missing_device_is_an_error_that_lists_the_existing_ones(source):
    with pytest.raises(CameraError, match=r"^/dev/\S*: no such device; there (is no /dev/video\*|are /dev/video)"):
        opened(source)


def test_a_path_that_is_not_a_device_is_an_error(tmp_path):
    path = tmp_path / "video0"
    path.write_bytes(b"")

    with pytest.raises(CameraError, match="is not a device"):
        open_device(str(path), CameraConfig())


def test_a_device_that_is_not_a_camera_is_an_error():
    with pytest.raises(CameraError, match="/dev/null: exists but delivers no pictures; close other programs"):
        opened("/dev/null")


@pytest.fixture
def unprivileged():
    """Drop root's privileges for the duration of a test."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)


@pytest.mark.usefixtures("unprivileged")
def test_missing_permission_is_reported_with_the_group_to_join():
    # Every system has this device, restricted to root and its group, as a camera is to the group 'video'.
    with pytest.raises(CameraError, match="/dev/console: no permission to use it; add this user to the group 'video'"):
        opened("/dev/console")


def test_format_size_and_rate_are_requested_in_this_order():
    """The available sizes depend on the format, and the rates on both."""
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


def test_a_picture_that_cannot_be_decoded_is_an_error():
    with pytest.raises(CameraError, match="/dev/video0: a picture cannot be decoded"):
        DeviceCamera(cv2.VideoCapture(), shown="/dev/video0").retrieve()
