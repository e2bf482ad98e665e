"""Cameras: one feed per camera; unchanged ones keep running across reloads."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.camera import EagerCamera
from edge_agent.camera.cameras import Cameras
from edge_agent.camera.feed import CLOSE_SECONDS
from edge_agent.config.model import CameraConfig
from edge_agent.errors import CameraError
from tests.recordings import write_recording

if TYPE_CHECKING:
    from edge_agent.domain import Frame


class Ticker(EagerCamera):
    """A live camera with a picture every `seconds`; None: it fails repeatedly."""

    grabbed = np.zeros((12, 16, 3), np.uint8)

    def __init__(self, seconds):
        self.seconds = seconds
        self.is_closed = False

    def grab(self):
        if self.seconds is None:
            raise CameraError("fake: silent")
        time.sleep(self.seconds)
        return True

    def close(self):
        self.is_closed = True


def live_cameras(**seconds):
    """Cameras of these kinds, and every one that was opened."""
    opened = []

    def open_one(config, stop):
        opened.append((config.source, Ticker(seconds[config.source])))
        return opened[-1][1]

    return Cameras(opener=open_one), opened


def configs(*names, **keys):
    return {name: CameraConfig(source=name, **keys) for name in names}


def frames_of(feed):
    """Every frame until the end."""
    frames: list[Frame] = []
    while (frame := feed.wait(0.1)) is not None or not feed.state().finished:
        frames += [frame] if frame is not None else []
    return frames


def test_a_silent_camera_does_not_delay_others():
    cameras, _ = live_cameras(silent=None, fast=0.002)
    with cameras:
        cameras.follow(configs("silent", "fast"))

        assert cameras.feeds["fast"].wait(60.0) is not None
        assert cameras.feeds["silent"].wait(0.05) is None
        assert [state.name for state in cameras.states()] == ["silent", "fast"]


def test_several_hanging_cameras_are_closed_in_parallel():
    names = [f"camera {number}" for number in range(40)]
    cameras, opened = live_cameras(**dict.fromkeys(names, 120.0))
    with cameras:
        cameras.follow(configs(*names))
        while len(opened) < len(names):
            time.sleep(0.01)
        began_at = time.monotonic()

    # Closing them one after the other would take this long.
    assert time.monotonic() - began_at < len(names) * CLOSE_SECONDS


def test_a_camera_with_unchanged_settings_is_not_reopened():
    cameras, opened = live_cameras(same=0.002, changed=0.002, gone=0.002, new=0.002)
    with cameras:
        cameras.follow(configs("same", "changed", "gone"))
        for feed in cameras.feeds.values():
            assert feed.wait(60.0) is not None
        index = cameras.states()[0].frames

        cameras.follow({**configs("new", "same"), **configs("changed", rotate=90)})
        for feed in cameras.feeds.values():
            assert feed.wait(60.0) is not None

        assert list(cameras.feeds) == ["new", "same", "changed"]
        assert cameras.states()[1].frames >= index
        assert sorted(name for name, _ in opened) == ["changed", "changed", "gone", "new", "same"]
        assert [name for name, camera in opened if camera.is_closed] == ["changed", "gone"]


def test_recordings_and_folders_end_after_their_last_frame(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(2):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((20, 30, 3), number, np.uint8))
    write_recording(tmp_path / "one.avi", frames=10)

    with Cameras() as cameras:
        cameras.follow(
            {"folder": CameraConfig(source=str(folder)), "file": CameraConfig(source=str(tmp_path / "one.avi"))}
        )
        with ThreadPoolExecutor(2) as both:
            pictures, recording = both.map(frames_of, cameras.feeds.values())
        states = cameras.states()

    assert all(state.finished and not state.is_open for state in states)
    assert [frame.index for frame in pictures][-1] == 1
    assert [frame.index for frame in recording][-1] == 9
