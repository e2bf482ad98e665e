"""The example recording shows what the docs state about it."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import combinations, pairwise

import cv2
import numpy as np
import pytest

from edge_agent.config.model import FacesConfig
from edge_agent.domain import Box
from edge_agent.vision.detector import open_detector
from examples.make_recording import (
    DURATION_SECONDS,
    EVENTS,
    FRAMES_PER_SECOND,
    HEIGHT_PX,
    RECORDING,
    WALKS,
    WIDTH_PX,
    events,
    frames,
    moments,
)

MAX_RECORDING_BYTES = 1_000_000


@pytest.fixture(scope="module")
def recorded():
    capture = cv2.VideoCapture(str(RECORDING))
    pictures = []
    while True:
        there_is_one, picture = capture.read()
        if not there_is_one:
            break
        pictures.append(picture)
    capture.release()
    return pictures


def test_the_recording_stays_small():
    assert RECORDING.stat().st_size < MAX_RECORDING_BYTES


def test_the_documented_events_are_those_of_the_script():
    assert json.loads(EVENTS.read_text(encoding="utf-8")) == [asdict(event) for event in events()]


def test_two_people_wear_no_mask_and_two_do():
    labels = sorted(event["label"] for event in json.loads(EVENTS.read_text(encoding="utf-8")))
    assert labels == ["with_mask", "with_mask", "without_mask", "without_mask"]


def test_the_recording_has_the_documented_size_and_length(recorded):
    assert len(recorded) == len(moments()) == round(DURATION_SECONDS * FRAMES_PER_SECOND)
    assert {picture.shape for picture in recorded} == {(HEIGHT_PX, WIDTH_PX, 3)}


def test_the_recording_is_what_the_script_draws(recorded):
    for drawn, seen in zip(frames(), recorded, strict=True):
        # H.264 and other versions of OpenCV change pixels by a few levels; a changed scene differs much more.
        assert np.abs(drawn.astype(np.int16) - seen).mean() < 6


def test_no_two_faces_touch():
    for second in moments():
        boxes = [Box(*walk.face_box(second)) for walk in WALKS if walk.is_on_the_way(second)]
        assert all(one.overlap(other) == 0 for one, other in combinations(boxes, 2))


def test_no_person_is_in_view_during_the_pause(recorded):
    pause = [picture for second, picture in zip(moments(), recorded, strict=True) if 5.0 < second < 5.5]
    differences = [np.abs(a.astype(np.int16) - b).mean() for a, b in pairwise(pause)]
    assert len(pause) > 5
    assert max(differences) < 2


def test_the_shipped_detector_sees_most_of_every_crossing(recorded):
    detector = open_detector(FacesConfig())
    seen = [[face.box for face in detector.detect(picture)] for picture in recorded]
    for walk, event in zip(WALKS, events(), strict=True):
        shown = [
            any(box.overlap(Box(*walk.face_box(second))) > 0.4 for box in boxes)
            for second, boxes in zip(moments(), seen, strict=True)
            if event.from_seconds <= second <= event.to_seconds
        ]
        assert sum(shown) / len(shown) > 0.9, event
