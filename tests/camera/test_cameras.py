"""Cameras: whose frame is next."""

import itertools
import threading
import time

import cv2
import numpy as np
import pytest

from edge_agent.camera.cameras import Cameras
from edge_agent.config import CameraConfig
from edge_agent.errors import CameraError
from tests.recordings import write_recording


class Ticker:
    """A live camera with a picture every `seconds`; None: it is lost again and again."""

    position_seconds = None

    def __init__(self, seconds):
        self.seconds = seconds

    def read(self):
        if self.seconds is None:
            raise CameraError("fake: silent")
        time.sleep(self.seconds)
        return np.zeros((12, 16, 3), np.uint8)

    def close(self):
        """Nothing is held open."""


def live_cameras(**seconds):
    configs = {name: CameraConfig(source=name) for name in seconds}
    return Cameras(configs, opener=lambda config, stop: Ticker(seconds[config.source]))


def test_cameras_take_turns_however_many_frames_each_has():
    stop = threading.Event()
    with live_cameras(fast=0.002, slow=0.02, slower=0.02) as cameras:
        seen = []
        for frame in itertools.islice(cameras.frames(stop), 40):
            seen.append(frame.camera)
            time.sleep(0.03)  # meanwhile every camera has a new one

    assert all(10 <= seen.count(name) <= 16 for name in ("fast", "slow", "slower"))


def test_silence_gives_none_at_every_tick():
    with live_cameras(silent=None) as cameras:
        began_at = time.monotonic()
        ticks = list(itertools.islice(cameras.frames(threading.Event(), tick_seconds=0.1), 3))
        waited_seconds = time.monotonic() - began_at

    assert ticks == [None, None, None]
    assert 0.3 <= waited_seconds < 0.6


def test_the_word_to_stop_is_heard_while_all_is_silent():
    stop = threading.Event()
    with live_cameras(silent=None) as cameras:
        timer = threading.Timer(0.2, stop.set)
        began_at = time.monotonic()
        timer.start()
        assert list(cameras.frames(stop, tick_seconds=60)) == []
        ended_at = time.monotonic()
        timer.join()

    assert ended_at - began_at < 0.4


def test_cameras_that_hang_are_left_behind_together():
    with live_cameras(one=5.0, two=5.0, three=5.0) as cameras:
        list(itertools.islice(cameras.frames(threading.Event(), tick_seconds=0.05), 1))
        began_at = time.monotonic()

    assert time.monotonic() - began_at < 2


def test_recordings_and_folders_come_to_an_end_with_their_last_frames(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(2):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((20, 30, 3), number, np.uint8))
    write_recording(tmp_path / "one.avi", frames=10)
    configs = {"folder": CameraConfig(source=str(folder)), "file": CameraConfig(source=str(tmp_path / "one.avi"))}

    with Cameras(configs) as cameras:
        frames = [frame for frame in cameras.frames(threading.Event()) if frame is not None]
        states = cameras.states()

    assert [state.name for state in states] == ["folder", "file"]
    assert all(state.finished and not state.is_open for state in states)
    assert [frame.index for frame in frames if frame.camera == "folder"] == [0, 1]
    assert [frame.index for frame in frames if frame.camera == "file"][-1] == 9


def test_a_live_camera_keeps_the_others_company_when_a_recording_has_ended(tmp_path):
    path = write_recording(tmp_path / "one.avi", frames=2)
    configs = {"file": CameraConfig(source=str(path)), "gone": CameraConfig(source=str(tmp_path / "gone.avi"))}

    with Cameras(configs) as cameras:
        frames = list(itertools.islice(cameras.frames(threading.Event(), tick_seconds=0.3), 4))
        states = {state.name: state for state in cameras.states()}

    assert None in frames
    assert states["file"].finished
    assert not states["gone"].finished
    assert "No such file or directory" in states["gone"].reason


def test_a_bug_in_a_thread_ends_the_frames():
    def broken(config, stop):
        raise ZeroDivisionError("ours")

    with (
        Cameras({"entrance": CameraConfig()}, opener=broken) as cameras,
        pytest.raises(ZeroDivisionError, match="ours"),
    ):
        list(cameras.frames(threading.Event()))
