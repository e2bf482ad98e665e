"""Presets: the command line of each name."""

import pytest
from pydantic import ValidationError

from edge_agent.camera.presets import command_of
from edge_agent.config.model import CameraConfig


def command(source, **keys):
    return " ".join(command_of(CameraConfig(source=source, **keys)))


def test_a_raspberry_pi_camera_needs_only_its_name():
    assert command("rpicam") == (
        "rpicam-vid --nopreview --timeout 0 --codec mjpeg --flush --width 1280 --height 720 --framerate 15 --output -"
    )


def test_size_rate_and_further_options_are_passed_to_rpicam_vid():
    words = command("rpicam: --camera 1 --hflip", frame_size=(640, 480), capture_fps=7.5)

    assert "--width 640 --height 480 --framerate 7.5 --camera 1 --hflip --output -" in words


def test_a_jetson_camera_is_read_by_gstreamer():
    words = command("jetson-csi: sensor-id=1", frame_size=(1920, 1080), capture_fps=30)

    assert words.startswith("gst-launch-1.0 --quiet nvarguscamerasrc sensor-id=1 ! ")
    assert "video/x-raw(memory:NVMM),width=1920,height=1080,framerate=30/1" in words
    assert words.endswith("jpegenc ! fdsink fd=1")


def test_ffmpeg_takes_options_before_its_input_and_rtsp_over_tcp():
    assert "-rtsp_transport tcp -i rtsp://camera.local/live -map 0:v:0" in command("ffmpeg: rtsp://camera.local/live")
    assert " -rtsp_transport udp -i rtsp://c/live" in command("ffmpeg: -rtsp_transport udp rtsp://c/live")
    assert " -f v4l2 -i /dev/video0 " in command("ffmpeg: -f v4l2 /dev/video0")
    assert " -s 640x480 -r 5 " in command("ffmpeg: in.ts", frame_size=(640, 480), capture_fps=5)


def test_a_command_is_split_into_words_as_by_a_shell():
    assert command_of(CameraConfig(source="pipe: camera --name 'front door'")) == ["camera", "--name", "front door"]


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"source": "pipe:"}, "pipe: COMMAND"),
        ({"source": "pipe: camera 'door"}, "no closing quotation"),
        ({"source": "ffmpeg"}, "ffmpeg: rtsp:"),
        ({"source": "picamera2: second"}, "picamera2: 1"),
        ({"source": "pipe: camera", "pixel_format": "bgr"}, "needs frame_size"),
        ({"source": "pipe: camera", "pixel_format": "nv12", "frame_size": (640, 481)}, "even width and height"),
        ({"source": "rpicam", "pixel_format": "bgr", "frame_size": (640, 480)}, "pixel_format: bgr"),
        ({"roi": (0.5, 0, 0.5, 1)}, "is empty; it is left, top, right, bottom"),
        ({"rotate": 45}, "0, 90, 180"),
        ({"fourcc": "MJPEG"}, "four capital letters"),
    ],
)
def test_impossible_settings_are_rejected_before_a_camera_is_opened(keys, reason):
    with pytest.raises(ValueError, match=reason):
        CameraConfig(**keys)


def test_errors_about_a_source_contain_no_password():
    with pytest.raises(ValidationError, match="ffmpeg:") as raised:
        CameraConfig(source="ffmpeg: rtsp://admin:hunter2@camera/live 'x")

    assert "hunter2" not in raised.value.errors()[0]["msg"]
