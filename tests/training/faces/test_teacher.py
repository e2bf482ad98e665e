"""Teacher: asked once per picture."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

from tests.training.faces.conftest import RELEASED
from training.faces.recipe import TeacherRecipe
from training.faces.teacher import Teacher

pytestmark = pytest.mark.tensorflow

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)


def test_predictions_of_a_teacher_are_cached_in_a_file_also_when_interrupted(tmp_path):
    recipe = TeacherRecipe(detector=RELEASED, longer_side_px=96, ignore_score=0.0)
    cache = tmp_path / "teacher_detections.json"
    with contextlib.suppress(KeyboardInterrupt), Teacher(recipe, cache_path=cache) as first:
        boxes, scores = first(PICTURE, Path("one.png"))
        raise KeyboardInterrupt

    again = Teacher(recipe, cache_path=cache)
    same_boxes, same_scores = again(np.zeros((1, 1, 3), np.uint8), Path("one.png"))

    assert len(boxes) > 0
    np.testing.assert_allclose(same_boxes, boxes, atol=1e-3)
    np.testing.assert_allclose(same_scores, scores, atol=1e-3)
