"""Teacher: learning from a larger model."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edge_agent.errors import ConfigError, ModelError
from training.masks.network import build_network
from training.masks.recipe import ModelRecipe
from training.masks.teacher import open_teacher

pytestmark = pytest.mark.tensorflow


def a_teacher(folder, **said):
    network = build_network(ModelRecipe(architecture="cnn", input_size=48, weights="scratch"), labels=2)
    network.save(folder / "model.keras")
    known = {"labels": ["with_mask", "without_mask"], "margin_fraction": 0.0}
    (folder / "run.json").write_text(json.dumps(known | said))
    return folder / "model.keras"


def test_a_teacher_answers_for_pixels_of_another_size(tiny_recipe, tmp_path):
    teacher = open_teacher(tiny_recipe(teacher={"model": str(a_teacher(tmp_path))}))

    assert teacher is not None
    targets = teacher.soft_targets(np.zeros((3, 32, 32, 3), np.float32))

    assert targets.shape == (3, 2)
    assert np.allclose(targets.sum(axis=1), 1.0)


def test_a_recipe_without_a_teacher_has_none(tiny_recipe):
    assert open_teacher(tiny_recipe()) is None


def test_a_teacher_of_other_labels_is_refused(tiny_recipe, tmp_path):
    model = a_teacher(tmp_path, labels=["without_mask", "with_mask"])

    with pytest.raises(ConfigError, match="differ from the recipe's"):
        open_teacher(tiny_recipe(teacher={"model": str(model)}))


def test_a_teacher_without_its_run_is_refused(tiny_recipe, tmp_path):
    with pytest.raises(ModelError, match=r"run\.json"):
        open_teacher(tiny_recipe(teacher={"model": str(tmp_path / "model.keras")}))
