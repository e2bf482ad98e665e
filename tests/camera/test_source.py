"""Source: kinds of cameras."""

import os

import pytest

from edge_agent.camera import source_kind
from edge_agent.errors import CameraError


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("/dev/video0", "device"),
        ("/dev/v4l/by-id/usb-a-camera-index0", "device"),
        ("0", "device"),
        ("rtsp://camera.local/stream", "stream"),
        ("RTSP://camera.local/stream", "stream"),
        ("rtsps://camera.local:322/stream", "stream"),
        ("http://camera.local/video.mjpg", "stream"),
        ("https://camera.local/video.mjpg", "stream"),
        ("pipe: camera --output -", "pipe"),
        ("rpicam", "pipe"),
        ("rpicam: --camera 1", "pipe"),
        ("jetson-csi: sensor-id=1", "pipe"),
        ("ffmpeg: rtsp://camera.local/stream", "pipe"),
        ("picamera2", "picamera2"),
        ("picamera2: 1", "picamera2"),
    ],
)
def test_the_kind_of_a_source_is_recognised_by_its_notation(source, kind):
    assert source_kind(source) == kind


def test_an_existing_path_is_a_recording_or_a_folder_of_pictures(tmp_path):
    recording = tmp_path / "entrance.mp4"
    recording.write_bytes(b"")

    assert source_kind(str(recording)) == "recording"
    assert source_kind(str(tmp_path)) == "pictures"


def test_an_unknown_source_is_an_error_that_lists_the_kinds(tmp_path):
    with pytest.raises(CameraError, match=r"gone\.mp4: No such file or directory; give a device such as /dev/video0"):
        source_kind(str(tmp_path / "gone.mp4"))


@pytest.mark.parametrize(("source", "reason"), [("x" * 5000, "File name too long"), ("a\0b", "null")])
def test_an_impossible_file_name_is_an_error(source, reason):
    with pytest.raises(CameraError, match=reason):
        source_kind(source)


def test_a_fifo_is_rejected_without_blocking(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")

    with pytest.raises(CameraError, match="neither device, file nor folder"):
        source_kind(str(tmp_path / "pipe.mp4"))


def test_an_address_without_a_scheme_is_an_error_without_its_password():
    with pytest.raises(CameraError) as raised:
        source_kind("admin:hunter2@camera.local/stream")

    assert "hunter2" not in str(raised.value)
