"""Models that several threads use."""

from __future__ import annotations

import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from edge_agent.config.model import Config
from edge_agent.domain import Box
from edge_agent.errors import ModelError
from edge_agent.vision import tflite
from edge_agent.vision.detector import open_detector
from edge_agent.vision.tflite import Interpreter
from edge_agent.wiring import open_models
from tests.faces import COLLINS, portrait

OPENCV_HAS_CASCADES = hasattr(cv2, "CascadeClassifier")
TIMEOUT_SECONDS = 60


class Native:
    """A fake interpreter of a runtime: fails if two threads use it at once; each call waits at a barrier."""

    built = 0

    def __init__(self, *, model_content: bytes, num_threads: int) -> None:
        assert num_threads == 1
        self._meeting = MEETINGS[model_content]
        self._used = threading.Lock()
        self._value = 0
        Native.built += 1

    def allocate_tensors(self) -> None:
        """Nothing to allocate."""

    def get_input_details(self) -> list[dict[str, object]]:
        return [{"index": 0, "name": "in", "shape": (1,), "dtype": np.int64, "quantization": (0.0, 0)}]

    get_output_details = get_input_details

    def set_tensor(self, _index: int, value: int) -> None:
        assert self._used.acquire(blocking=False), "two threads use one interpreter"
        self._value = value

    def invoke(self) -> None:
        if self._value < 0:
            self._used.release()
            raise RuntimeError("damaged")
        self._meeting.wait(TIMEOUT_SECONDS)

    def get_tensor(self, _index: int) -> int:
        self._used.release()
        return self._value


MEETINGS = {b"alone": threading.Barrier(1), b"pairs": threading.Barrier(2)}


def test_the_log_is_not_lost_if_two_threads_open_models_at_once():
    began, both, ended = threading.Event(), threading.Event(), threading.Event()
    before = os.fstat(tflite.STDERR)

    def first() -> None:
        with tflite._quiet():
            began.set()
            both.wait(0.5)
        ended.set()

    def second() -> None:
        began.wait(TIMEOUT_SECONDS)
        with tflite._quiet():
            both.set()
            ended.wait(TIMEOUT_SECONDS)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda open_model: open_model(), (first, second)))

    assert os.path.samestat(os.fstat(tflite.STDERR), before)


def test_the_log_of_other_threads_is_not_lost_while_a_model_opens(capfd):
    with open(tflite.STDERR, "w", closefd=False) as stderr:
        handler = logging.StreamHandler(stderr)
        logging.getLogger().addHandler(handler)
        logged = threading.Thread(target=logging.getLogger("other").warning, args=["the camera is lost"])
        with tflite._quiet():
            os.write(tflite.STDERR, b"created a delegate\n")
            logged.start()
            logged.join(0.5)
        logged.join(TIMEOUT_SECONDS)
        logging.getLogger().removeHandler(handler)

    assert capfd.readouterr().err == "the camera is lost\n"


@pytest.fixture
def native(monkeypatch):
    monkeypatch.setattr(tflite, "_interpreter_class", lambda _: Native)
    monkeypatch.setattr(Native, "built", 0)


@pytest.mark.usefixtures("native")
def test_as_many_threads_run_a_model_at_once_as_it_has_copies():
    interpreter = Interpreter(b"pairs", runtime="litert", threads=1, copies=2)

    # The barrier opens for two at a time: with one copy, or one for each call, it would not open.
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(interpreter.run, map(np.array, range(4)), timeout=TIMEOUT_SECONDS))

    assert answers == [[0], [1], [2], [3]]
    assert Native.built == 2


@pytest.mark.usefixtures("native")
def test_an_interpreter_that_failed_is_used_again():
    interpreter = Interpreter(b"alone", runtime="litert", threads=1)

    with pytest.raises(ModelError):
        interpreter.run(np.array(-1))

    assert interpreter.run(np.array(7)) == [7]


@pytest.mark.parametrize(("threads", "users", "copies"), [(1, 8, 4), (1, 2, 2), (1, 1, 1), (2, 8, 2), (4, 8, 1)])
def test_no_more_models_are_opened_than_threads_use_and_cores_can_run(monkeypatch, threads, users, copies):
    opened = []
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.setattr("edge_agent.wiring.open_detector", lambda *_, copies, **__: opened.append(copies))
    monkeypatch.setattr("edge_agent.wiring.open_classifier", lambda *_, copies, **__: opened.append(copies))

    open_models(Config.model_validate({"threads": threads}), users=users)

    assert opened == [copies, copies]


@pytest.mark.parametrize(
    "detector",
    [
        "tflite",
        pytest.param("haar", marks=pytest.mark.skipif(not OPENCV_HAS_CASCADES, reason="OpenCV 5 has no cascades")),
    ],
)
def test_threads_get_the_same_faces_as_a_single_thread(detector):
    config = Config.model_validate({"faces": {"detector": detector}}).faces
    images = [np.ascontiguousarray(portrait(COLLINS)[:, shift:]) for shift in range(0, 60, 10)]
    alone, shared = open_detector(config), open_detector(config, copies=2)

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(shared.detect, images))

    assert any(found)
    assert found == [alone.detect(image) for image in images]


def test_threads_get_the_same_labels_as_a_single_thread():
    rng = np.random.default_rng(5)
    images = [rng.integers(0, 255, (240, 320, 3), dtype=np.uint8) for _ in range(12)]
    boxes = [Box(20, 20, 60 + 10 * number, 70 + 10 * number) for number in range(12)]
    (_, alone), (_, shared) = open_models(Config()), open_models(Config(), users=2)

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(shared.classify, images, boxes))

    assert answers == [alone.classify(image, box) for image, box in zip(images, boxes, strict=True)]
