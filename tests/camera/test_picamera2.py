"""Picamera2: with a small fake of the library's API."""

import sys

import pytest

from edge_agent.camera import open_camera
from edge_agent.config.model import CameraConfig
from edge_agent.errors import CameraError
from tests.cameras import next_picture

LIBRARY = """
import numpy as np
from concurrent.futures import Future

cameras = []

class Job:
    def __init__(self, future): self.future = future
    def get_result(self, timeout=None): return self.future.result(timeout=timeout)

class Picamera2:
    def __init__(self, camera_num=0):
        if camera_num > 1:
            raise IndexError("list index out of range")
        self.number, self.closed, self.pictures = camera_num, 0, 2
        cameras.append(self)
    def create_video_configuration(self, main, controls): return {"main": main, "controls": controls}
    def configure(self, configuration):
        if configuration["main"]["size"][0] > 4000:
            raise RuntimeError("Failed to configure camera: unsupported size")
        self.configuration = configuration
    def start(self): pass
    def capture_array(self, name, wait=None):
        assert name == "main" and wait is False
        future = Future()
        if self.pictures > 0:
            width, height = self.configuration["main"]["size"]
            future.set_result(np.full((height, width, 3), (200, 0, 0), np.uint8))
        elif self.pictures < 0:
            future.set_exception(RuntimeError("camera frontend has timed out"))
        self.pictures -= 1
        return Job(future)
    def close(self): self.closed += 1
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    (tmp_path / "picamera2.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    import picamera2

    yield picamera2
    del sys.modules["picamera2"]


def opened(source="picamera2", **keys):
    return open_camera(CameraConfig(source=source, **keys))


def test_pictures_are_bgr_in_the_requested_size(library):
    camera = opened(frame_size=(64, 48), capture_fps=5)

    image = next_picture(camera)
    camera.close()

    assert image.shape == (48, 64, 3)
    assert image[0, 0].tolist() == [200, 0, 0]
    (fake,) = library.cameras
    assert fake.configuration == {"main": {"size": (64, 48), "format": "RGB888"}, "controls": {"FrameRate": 5}}
    assert (fake.number, fake.closed) == (0, 1)


def test_the_second_camera_has_index_one(library):
    opened("picamera2: 1")

    assert library.cameras[0].number == 1


def test_silence_and_failures_are_losses(library):
    camera = opened(read_timeout_seconds=0.1)
    next_picture(camera)
    next_picture(camera)

    with pytest.raises(CameraError, match="picamera2: no picture for 0 s; check the camera's ribbon"):
        next_picture(camera)
    with pytest.raises(CameraError, match=r"stopped delivering pictures .camera frontend has timed out"):
        next_picture(camera)


@pytest.mark.usefixtures("library")
def test_a_missing_camera_is_an_error():
    with pytest.raises(CameraError, match="picamera2: 2: no such camera, or in use"):
        opened("picamera2: 2")


def test_a_camera_that_rejects_the_settings_is_closed(library):
    with pytest.raises(CameraError, match=r"does not start .*unsupported size"):
        opened(frame_size=(5000, 4000))

    assert library.cameras[0].closed == 1


def test_a_missing_library_is_reported_with_its_package():
    with pytest.raises(CameraError, match="apt-get install python3-picamera2"):
        opened()
