"""OpenCV: devices, network streams and time stamps."""

import os
import subprocess
import sys
import time

import cv2
import pytest

from edge_agent.camera import open_camera
from edge_agent.camera.opencv import device_settings, open_device, plausible_position
from edge_agent.config.model import CameraConfig
from edge_agent.errors import CameraError
from tests.rtsp_server import RtspServer

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
    with pytest.raises(CameraError, match="/dev/null: is there but gives no pictures; close other programs"):
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


def test_a_stream_plays_at_the_pace_of_its_camera():
    with RtspServer() as server:
        camera = opened(server.address())
        assert camera.position_seconds is None
        began = time.monotonic()
        images = [camera.read() for _ in range(25)]
        camera.close()

    assert all(image is not None and image.shape == (240, 320, 3) for image in images)
    assert time.monotonic() - began < 3


def test_a_camera_that_loses_power_is_noticed_at_once():
    with RtspServer() as server:
        camera = opened(server.address())
        camera.read()
        server.kill()
        killed_at = time.monotonic()
        with pytest.raises(CameraError, match=rf"rtsp://127\.0\.0\.1:{server.port}/live: stopped giving pictures"):
            read_until_lost(camera)
        camera.close()

    assert time.monotonic() - killed_at < 2


def test_a_camera_that_hangs_is_noticed_after_its_silence():
    with RtspServer() as server:
        camera = opened(server.address(), read_timeout_seconds=1.0)
        camera.read()
        server.freeze()
        frozen_at = time.monotonic()
        with pytest.raises(CameraError, match="no picture for 1 s"):
            read_until_lost(camera)
        camera.close()

    assert 0.9 < time.monotonic() - frozen_at < 2.5


def test_a_camera_with_a_password_plays_with_it_and_tells_it_nobody():
    with RtspServer("admin:hunter2") as server:
        camera = opened(server.address("admin:hunter2"))
        assert camera.read() is not None
        camera.close()

        with pytest.raises(CameraError, match="answers, but gives no video; check path, user and password") as raised:
            opened(server.address("admin:hunter3"))

    assert str(raised.value).startswith(f"rtsp://***@127.0.0.1:{server.port}/live: ")
    assert "hunter" not in str(raised.value)


def test_a_network_camera_that_is_not_there_is_refused_with_the_reason():
    server = RtspServer()

    with pytest.raises(CameraError, match=rf"port {server.port} cannot be reached \(Connection refused\)") as raised:
        opened(server.address("admin:hunter2"))

    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("place", ["127.0.0.1:none/live", "[127.0.0.1/live"])
def test_an_address_that_is_none_is_refused(place):
    with pytest.raises(CameraError, match=r"^rtsp://\*\*\*@[^ ]*127\.0\.0\.1[^ ]*/live: is not a valid address"):
        opened(f"rtsp://admin:hunter2@{place}")


def test_opencv_and_ffmpeg_keep_quiet(tmp_path):
    """In a process of its own: FFmpeg listens to how loud it may be only once."""
    (tmp_path / "letter.mp4").write_text("Dear Sir or Madam\n" * 100)
    program = """
import sys

from edge_agent.camera import open_camera
from edge_agent.config.model import CameraConfig
from edge_agent.errors import CameraError
for source in sys.argv[1:]:
    try:
        open_camera(CameraConfig(source=source))
    except CameraError:
        continue
    raise SystemExit(f"{source} opens")
"""
    sources = [str(tmp_path / "letter.mp4"), "rtsp://admin:hunter2@127.0.0.1:9/live", "/dev/null"]

    done = subprocess.run([sys.executable, "-c", program, *sources], capture_output=True, text=True, check=True)

    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize(
    ("stated", "previous", "position"),
    [
        (0.0, None, 0.0),
        (1.4, None, 1.4),
        (-5.0, None, 0.0),
        (95000.0, None, 0.0),
        (float("nan"), None, 0.0),
        (1.04, 1.0, 1.04),
        (31.0, 1.0, 31.0),
        (1.0, 1.0, 1.04),
        (0.0, 1.0, 1.04),
        (float("nan"), 1.0, 1.04),
        (95000.0, 1.0, 1.04),
    ],
)
def test_a_damaged_time_stamp_is_one_frame_after_the_previous(stated, previous, position):
    assert plausible_position(stated, previous_seconds=previous, frame_seconds=0.04) == pytest.approx(position)


def read_until_lost(camera):
    """What was on its way still comes."""
    while True:
        camera.read()
