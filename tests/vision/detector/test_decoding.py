"""Decoding: outputs of a network become boxes, one per face."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.vision.detector.decoding import MAX_CANDIDATES, Level, candidates, cell_scores, decode, suppress


def silent(rows: int = 4, columns: int = 6, stride: int = 8) -> Level:
    """The outputs of a level without any face."""
    return Level(stride, np.full((rows, columns, 2), -9, np.float32), np.zeros((rows, columns, 4), np.float32))


def test_a_cell_is_decoded_to_the_box_around_its_centre():
    level = silent()
    level.logits[1, 2] = 9
    level.boxes[1, 2] = (0.5, 0.25, np.log(4), np.log(2))

    boxes, scores = decode([level, silent(2, 3, 16)], min_score=0.5)

    # Centre (2.5, 1.25) cells of 8 px, 4 cells wide and 2 high.
    assert boxes.tolist() == [pytest.approx([4, 2, 36, 18], abs=1e-4)]
    assert scores[0] == pytest.approx(1.0, abs=1e-3)


def test_a_score_is_the_geometric_mean_of_both_answers():
    logits = np.log(np.array([[[0.9 / 0.1, 0.4 / 0.6]]], np.float32))

    assert cell_scores(logits)[0, 0] == pytest.approx((0.9 * 0.4) ** 0.5)


def test_scores_below_the_threshold_give_no_face():
    boxes, scores = decode([silent()], min_score=0.5)

    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_boxes_on_the_same_face_give_way_to_the_surest():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [40, 0, 50, 10]], np.float32)

    assert suppress(boxes, np.array([0.7, 0.9, 0.8], np.float32)).tolist() == [1, 2]


def test_a_level_full_of_faces_is_bounded():
    level = Level(8, np.full((80, 80, 2), 5, np.float32), np.zeros((80, 80, 4), np.float32))

    boxes, _ = decode([level], min_score=0.5)

    assert len(boxes) == MAX_CANDIDATES


def test_a_damaged_output_overflows_nowhere():
    level = Level(8, np.full((2, 2, 2), 1e30, np.float32), np.full((2, 2, 4), 1e30, np.float32))

    boxes, scores = candidates([level], min_score=0.5)

    assert np.isfinite(boxes).all()
    assert np.isfinite(scores).all()


@given(st.lists(st.tuples(*[st.floats(0.125, 100, width=32)] * 5), max_size=30))
def test_remaining_boxes_do_not_overlap(rows):
    table = np.array(rows, np.float32).reshape(-1, 5)
    boxes = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4] + 1], axis=1)

    kept = boxes[suppress(boxes, table[:, 4])]

    assert len(kept) or not len(boxes)
    assert len(suppress(kept, np.arange(len(kept), 0, -1).astype(np.float32))) == len(kept)
