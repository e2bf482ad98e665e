"""Score threshold: the best minimum score within the allowed false detections."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from converter.faces.score_threshold import SCORES, choose_min_score
from training.faces.metrics import SceneDetections
from training.faces.scenes import Scene

FACE, ELSEWHERE = (10.0, 10.0, 40.0, 40.0), (60.0, 60.0, 90.0, 90.0)


def found(face_score: float, *, false_score: float) -> SceneDetections:
    """A scene with one face, which is found, and something that is none."""
    scene = Scene(Path("scene.png"), "street", np.array([FACE], np.float32), np.zeros((0, 4), np.float32), 0.0)
    return SceneDetections(
        scene, np.array([FACE, ELSEWHERE], np.float32), np.array([face_score, false_score], np.float32)
    )


def test_the_score_lies_between_faces_and_false_detections():
    chosen = choose_min_score([found(0.7, false_score=0.4)], [[]], max_false_detections=0.01)

    assert 0.4 < chosen.min_score <= 0.7
    assert (chosen.recall, chosen.precision, chosen.false_detections_in_empty) == (1.0, 1.0, 0.0)


def test_pictures_without_people_raise_the_score_even_where_faces_are_lost():
    chosen = choose_min_score(
        [found(0.5, false_score=0.2), found(0.9, false_score=0.2)], [[0.6], []], max_false_detections=0.01
    )

    assert chosen.min_score > 0.6
    assert chosen.recall == 0.5


def test_the_highest_score_is_taken_if_no_score_allows_the_false_detections():
    assert choose_min_score([found(0.99, false_score=0.2)], [[0.99]], max_false_detections=0.01).min_score == SCORES[-1]


def test_with_a_classifier_the_lowest_score_within_the_false_detections_is_taken():
    found_low = [found(0.3, false_score=0.25), found(0.9, false_score=0.25)]

    chosen = choose_min_score(found_low, [[0.2], []], max_false_detections=0.01, lowest=True)

    assert 0.2 < chosen.min_score < 0.25
    assert chosen.recall == 1.0
