"""Measurement: results and recommendation."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from edge_agent.config.model import Config
from edge_agent.diagnosis.measurement import (
    Candidate,
    Spread,
    frames_of_camera,
    frames_of_recording,
    measure_cameras,
    measure_candidates,
    measure_whole_path,
    recommend,
)
from edge_agent.domain import Frame
from edge_agent.errors import UnavailableError
from edge_agent.wiring import alone_in
from tests.journeys.agent import EXAMPLE


def a_candidate(runtime, threads, faces_ms, masks_ms=1.0):
    return Candidate(runtime, threads, Spread(faces_ms, 2 * faces_ms), Spread(masks_ms, 2 * masks_ms))


def test_the_fastest_is_recommended():
    slow, fast = a_candidate("litert", 1, 40.0), a_candidate("litert", 2, 22.0)

    assert recommend([slow, fast]) is fast


def test_threads_with_negligible_gain_are_not_recommended():
    one, two, four = (a_candidate("litert", threads, ms) for threads, ms in ((1, 40.0), (2, 22.0), (4, 21.0)))

    assert recommend([one, two, four]) is two


def test_of_equal_runtimes_the_preferred_one_is_recommended():
    preferred, other = a_candidate("litert", 1, 20.0), a_candidate("tflite-runtime", 1, 19.5)

    assert recommend([preferred, other]) is preferred


def test_a_slow_runtime_is_not_preferred_for_using_one_thread():
    assert recommend([a_candidate("litert", 2, 20.0), a_candidate("tflite-runtime", 1, 200.0)]).runtime == "litert"


def test_every_runtime_is_measured_with_every_number_of_threads(tmp_path):
    images = [np.zeros((180, 320, 3), np.uint8)] * 2

    found = measure_candidates(Config(state_dir=tmp_path), images)

    assert {one.threads for one in found} == set(range(1, len(os.sched_getaffinity(0)) + 1))
    assert len({(one.runtime, one.threads) for one in found}) == len(found)
    assert all(0 < one.faces_ms.p50 <= one.faces_ms.p95 and one.masks_ms.p50 > 0 for one in found)


def test_the_whole_path_is_measured_as_fast_as_it_can_run(tmp_path):
    frames, decoding_seconds = frames_of_recording(EXAMPLE, count=12)

    measured = measure_whole_path(Config(state_dir=tmp_path), frames, decoding_seconds=decoding_seconds)

    assert measured.frames == len(frames) == 12
    assert measured.frames_per_second > 0
    assert {"motion", "faces", "frame"} <= set(measured.stages_ms)
    assert measured.memory_bytes is not None
    assert measured.memory_bytes > 10_000_000


def test_decoding_counts_towards_the_limit_share(tmp_path):
    frames, decoding_seconds = frames_of_recording(EXAMPLE, count=12)
    config = Config(state_dir=tmp_path)

    # Pretend that decoding took an hour: the time of the pipeline is negligible.
    slow = measure_whole_path(config, frames, decoding_seconds=3600.0)

    assert decoding_seconds > 0
    assert slow.limit_share == pytest.approx(1.0, abs=0.01)


class InterruptedFrames(list[Frame]):
    """Frames during whose use Ctrl-C is pressed."""

    pressed_at, used = 5, 0

    def __iter__(self):
        for frame in super().__iter__():
            self.used += 1
            if self.used == self.pressed_at:
                os.kill(os.getpid(), signal.SIGINT)
            yield frame


def test_an_interrupted_measurement_does_not_use_all_frames(tmp_path):
    frames = InterruptedFrames(frames_of_recording(EXAMPLE, count=60)[0])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            measure_cameras(Config(state_dir=tmp_path), frames, cameras=1)
    finally:
        signal.signal(signal.SIGINT, before)

    assert frames.used < len(frames)


def test_frames_of_a_camera_are_rotated_and_cropped_as_the_agent_analyses_them(tmp_path):
    door = {"source": str(EXAMPLE), "rotate": 90, "roi": (0, 0, 1, 0.5)}

    (frame,) = frames_of_camera(Config(state_dir=tmp_path, cameras={"door": door}), "door", count=1)

    assert (frame.width_px, frame.height_px) == (360, 320)


def test_frames_of_a_camera_are_its_last_ones_unless_an_agent_uses_it(tmp_path):
    config = Config(state_dir=tmp_path, cameras={"door": {"source": str(EXAMPLE)}})

    assert len(frames_of_camera(config, "door", count=3)) == 3
    with alone_in(tmp_path), pytest.raises(UnavailableError, match="stop it first"):
        frames_of_camera(config, "door", count=3)
