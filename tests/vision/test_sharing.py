"""Sharing: models used by several threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edge_agent.config.model import Config
from edge_agent.domain import Box, Face, Image
from edge_agent.errors import PictureError
from edge_agent.vision.sharing import SharedDetector
from edge_agent.wiring import open_models, open_shared_models

IMAGE = np.zeros((48, 64, 3), np.uint8)
PATIENCE_SECONDS = 60


class Detector:
    """Detects nothing, and notes when two threads use it at once."""

    def __init__(self, meeting: threading.Barrier) -> None:
        self._meeting = meeting
        self._used = threading.Lock()
        self.calls = 0

    def detect(self, _image: Image) -> list[Face]:
        assert self._used.acquire(blocking=False), "two threads use one detector"
        try:
            self.calls += 1
            self._meeting.wait(PATIENCE_SECONDS)
        finally:
            self._used.release()
        return []


def test_each_thread_has_a_detector_of_its_own_while_it_uses_it():
    meeting = threading.Barrier(2)
    detectors = [Detector(meeting), Detector(meeting)]
    shared = SharedDetector(detectors)

    # The barrier opens for two at a time: four calls need both detectors twice.
    with ThreadPoolExecutor(4) as threads:
        found = [future.result(PATIENCE_SECONDS) for future in [threads.submit(shared.detect, IMAGE) for _ in range(4)]]

    assert found == [[]] * 4
    assert sum(detector.calls for detector in detectors) == 4


def test_one_after_the_other_use_the_same_detector():
    detectors = [Detector(threading.Barrier(1)) for _ in range(2)]
    shared = SharedDetector(detectors)

    for _ in range(5):
        shared.detect(IMAGE)

    assert sorted(detector.calls for detector in detectors) == [0, 5]


def test_a_detector_that_failed_can_be_used_again():
    detector, _ = open_models(Config(), checked=True)
    shared = SharedDetector([detector])

    with pytest.raises(PictureError):
        shared.detect(IMAGE.astype(np.float32))

    assert shared.detect(IMAGE) == []


def test_no_more_models_are_opened_than_cores_can_run(monkeypatch):
    opened = []

    def opening(_config, *, checked):
        opened.append(checked)
        return MODELS

    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.setattr("edge_agent.wiring.open_models", opening)

    open_shared_models(Config(), threads=8)
    open_shared_models(Config(), threads=1)
    open_shared_models(Config.model_validate({"threads": 2}), threads=8)

    assert opened == [False, True, True, False, False]


def test_threads_get_the_same_results_as_a_single_one():
    rng = np.random.default_rng(5)
    images = [rng.integers(0, 255, (240, 320, 3), dtype=np.uint8) for _ in range(12)]
    boxes = [Box(20, 20, 60 + 10 * number, 70 + 10 * number) for number in range(12)]
    _, alone = MODELS
    _, shared = open_shared_models(Config(), threads=2)

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(shared.classify, images, boxes))

    assert answers == [alone.classify(image, box) for image, box in zip(images, boxes, strict=True)]


MODELS = open_models(Config(), checked=True)
