"""Pipe: real programs that write pictures, exit, hang and have children."""

import os
import shlex
import shutil
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge_agent.camera import open_camera
from edge_agent.config.model import CameraConfig
from edge_agent.errors import CameraError
from tests.cameras import next_picture
from tests.rtsp_server import RtspServer

TIMEOUT_SECONDS = 60.0
MOVING = "testsrc=size=320x240:rate=25"


def opened(source, *, stop=None, **keys):
    return open_camera(CameraConfig(source=source, **keys), stop)


def a_program(code):
    """A source that runs this Python code."""
    return f"pipe: {shlex.quote(sys.executable)} -c {shlex.quote(code)}"


def is_alive(process_id):
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until_dead(process_id):
    until = time.monotonic() + TIMEOUT_SECONDS
    while is_alive(process_id):
        assert time.monotonic() < until, f"process {process_id} lives on"
        time.sleep(0.01)


def wait_for(file):
    until = time.monotonic() + TIMEOUT_SECONDS
    while not file.exists():
        assert time.monotonic() < until, f"{file} is not written"
        time.sleep(0.01)


def test_the_ffmpeg_preset_delivers_pictures_in_real_time():
    began_at = time.monotonic()
    with closing(opened(f"ffmpeg: -re -f lavfi {MOVING}")) as camera:
        images = [next_picture(camera) for _ in range(26)]
        took_seconds = time.monotonic() - began_at

    assert {image.shape for image in images} == {(240, 320, 3)}
    # A delayed program sends what it has missed at once, but no picture early.
    assert 0.9 < took_seconds < TIMEOUT_SECONDS


def test_the_ffmpeg_preset_delivers_the_requested_size_and_rate():
    began_at = time.monotonic()
    with closing(opened(f"ffmpeg: -re -f lavfi {MOVING}", frame_size=(160, 120), capture_fps=5)) as camera:
        images = [next_picture(camera) for _ in range(6)]

    assert images[-1].shape == (120, 160, 3)
    assert time.monotonic() - began_at > 0.6


@pytest.mark.parametrize(("pixels", "name"), [("bgr", "bgr24"), ("i420", "yuv420p"), ("nv12", "nv12")])
def test_raw_frames_of_ffmpeg_keep_their_colours(pixels, name):
    command = f"ffmpeg -v error -re -f lavfi -i color=red:size=64x48:rate=25 -pix_fmt {name} -f rawvideo -"
    with closing(opened(f"pipe: {command}", pixel_format=pixels, frame_size=(64, 48))) as camera:
        image = np.asarray(next_picture(camera))

    assert image.shape == (48, 64, 3)
    assert image[20, 30] == pytest.approx([0, 0, 255], abs=6)


@pytest.mark.skipif(not shutil.which("gst-launch-1.0"), reason="gst-launch-1.0: apt-get install gstreamer1.0-tools")
def test_the_jetson_preset_delivers_pictures_from_gst_launch():
    """The preset without its sensor, which only a Jetson has."""
    pipeline = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=15/1,format=I420"
    with closing(opened(f"pipe: gst-launch-1.0 --quiet {pipeline} ! jpegenc ! fdsink fd=1")) as camera:
        images = [next_picture(camera) for _ in range(5)]

    assert {image.shape for image in images} == {(240, 320, 3)}


def test_a_backlog_is_skipped_up_to_the_newest_picture(tmp_path):
    written = tmp_path / "written"
    code = f"""
import pathlib, sys, time, cv2, numpy as np
for n in range(20):
    sys.stdout.buffer.write(cv2.imencode(".jpg", np.full((48, 64, 3), 10 * n, np.uint8))[1].tobytes())
sys.stdout.buffer.flush()
pathlib.Path({str(written)!r}).touch()
time.sleep(600)
"""
    with closing(opened(a_program(code))) as camera:
        wait_for(written)
        newest = next_picture(camera)

    assert newest.mean() == pytest.approx(190, abs=3)


def test_a_program_that_exits_is_a_loss_with_its_last_output():
    code = "import sys; sys.stderr.write('looking\\nsensor 0 is not there\\n'); sys.exit(3)"
    with closing(opened(a_program(code))) as camera, pytest.raises(CameraError) as raised:
        next_picture(camera)

    assert str(raised.value) == (
        f"pipe: {sys.executable}: the program has ended with exit status 3: looking; sensor 0 is not there"
    )


def test_a_killed_program_is_a_loss():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with (
        closing(opened(a_program(code))) as camera,
        pytest.raises(CameraError, match="was ended by signal 9; run it manually to see why"),
    ):
        next_picture(camera)


def test_a_program_that_closes_its_output_is_a_loss():
    code = "import os, time; os.close(1); time.sleep(600)"
    with (
        closing(opened(a_program(code))) as camera,
        pytest.raises(CameraError, match="has closed its output"),
    ):
        next_picture(camera)


def test_a_stalled_program_is_a_loss_after_the_read_timeout():
    code = """
import sys, time, cv2, numpy as np
sys.stdout.buffer.write(cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes())
sys.stdout.buffer.flush()
time.sleep(600)
"""
    with closing(opened(a_program(code), read_timeout_seconds=0.5)) as camera:
        next_picture(camera)
        stalled_at = time.monotonic()
        with pytest.raises(CameraError, match="no picture for 0 s"):
            next_picture(camera)

    assert 0.4 < time.monotonic() - stalled_at < TIMEOUT_SECONDS


def test_a_program_that_is_not_installed_is_reported_with_its_package():
    with pytest.raises(CameraError, match=r"^rpicam: rpicam-vid: no such program; apt-get install rpicam-apps$"):
        opened("rpicam")
    with pytest.raises(CameraError, match=r"/nowhere/camera: no such program; install it"):
        opened("pipe: /nowhere/camera --password hunter2")


def test_a_program_without_execute_permission_is_an_error(tmp_path):
    (tmp_path / "camera").write_text("#!/bin/sh\n")

    with pytest.raises(CameraError, match=r"cannot be started \(Permission denied\)"):
        opened(f"pipe: {tmp_path}/camera")


def test_the_command_is_not_interpreted_by_a_shell(tmp_path):
    with (
        closing(opened(f"pipe: echo hello; touch {tmp_path}/made > {tmp_path}/redirected")) as camera,
        pytest.raises(CameraError, match="has ended"),
    ):
        next_picture(camera)

    assert list(tmp_path.iterdir()) == []


def test_closing_ends_the_program_and_its_children_even_if_they_ignore_sigterm(tmp_path):
    numbers = tmp_path / "numbers"
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
    code = f"""
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", {stubborn!r}], stdout=subprocess.PIPE)
child.stdout.readline()
open({str(numbers)!r} + ".new", "w").write(f"{{os.getpid()}} {{child.pid}}")
os.rename({str(numbers)!r} + ".new", {str(numbers)!r})
time.sleep(600)
"""
    camera = opened(a_program(code))
    wait_for(numbers)

    began_at = time.monotonic()
    camera.close()

    # Both would run forever.
    assert time.monotonic() - began_at < TIMEOUT_SECONDS
    for number in numbers.read_text().split():
        wait_until_dead(int(number))


def test_children_of_a_program_that_has_exited_are_ended(tmp_path):
    code = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(tmp_path / "number")!r}, "w").write(str(child.pid))
"""
    camera = opened(a_program(code), read_timeout_seconds=0.3)
    # Its child keeps the output open.
    with pytest.raises(CameraError):
        next_picture(camera)
    camera.close()

    wait_until_dead(int((tmp_path / "number").read_text()))


def test_a_waiting_read_ends_soon_after_the_stop_request():
    stop = threading.Event()
    with closing(opened(a_program("import time; time.sleep(600)"), stop=stop)) as camera:
        timer = threading.Timer(0.2, stop.set)
        timer.start()
        began_at = time.monotonic()
        with pytest.raises(CameraError, match="asked to stop"):
            next_picture(camera)
        timer.join()

    assert time.monotonic() - began_at < TIMEOUT_SECONDS


def test_endless_output_on_stderr_is_bounded_and_quoted_briefly():
    code = "import sys\nfor n in range(20000): sys.stderr.write('x' * 500 + str(n) + '\\n')\nsys.exit(1)"
    with closing(opened(a_program(code))) as camera, pytest.raises(CameraError) as raised:
        next_picture(camera)

    assert str(raised.value).endswith("x19999")
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("source", ["ffmpeg: {}", "pipe: ffmpeg -v error -rtsp_transport tcp -i {} -f mjpeg -"])
def test_a_password_in_a_command_is_redacted_even_in_the_output_of_the_program(source):
    server = RtspServer()
    address = server.address("admin:hunter2")

    with closing(opened(source.format(address))) as camera, pytest.raises(CameraError) as raised:
        next_picture(camera)

    assert "hunter2" not in str(raised.value)
    assert "Connection refused" in str(raised.value)
    assert "0x" not in str(raised.value)


def test_a_network_camera_can_be_read_through_ffmpeg():
    with (
        RtspServer("admin:hunter2") as server,
        closing(opened(f"ffmpeg: {server.address('admin:hunter2')}")) as camera,
    ):
        assert next_picture(camera).shape == (240, 320, 3)
