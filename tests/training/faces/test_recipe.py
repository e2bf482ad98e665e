"""Recipe: the keys of the face detector's recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from edge_agent.errors import ConfigError
from training.faces.recipe import DataRecipe, FaceRecipe, ModelRecipe
from training.recipe_file import read_recipe

RECIPES = sorted((Path(__file__).parents[3] / "training" / "recipes" / "faces").glob("*.yaml"))


def test_the_test_split_is_refused():
    with pytest.raises(ValidationError, match="for evaluation only"):
        DataRecipe(scenes=Path("annotations.json"), splits=("train", "test"))


@pytest.mark.parametrize("keys", [{}, {"scenes": "a.json", "pictures": "b"}, {"pictures": "a", "empty": "b"}])
def test_data_has_exactly_one_kind(keys):
    with pytest.raises(ValidationError, match="exactly one of scenes, pictures and empty"):
        DataRecipe(**keys)


def test_pictures_without_boxes_need_a_teacher():
    with pytest.raises(ValidationError, match="teacher: needed by data with 'pictures'"):
        FaceRecipe(name="one", model={"weights": "a.json"}, data=[{"scenes": "a.json"}, {"pictures": "b"}])


def test_evaluation_needs_annotations():
    with pytest.raises(ValidationError, match="none has annotations"):
        FaceRecipe(name="one", model={"weights": "a.json"}, data=[{"empty": "b"}])


def test_a_network_starts_from_pretrained_weights():
    with pytest.raises(ValidationError, match="weights\n  Field required"):
        ModelRecipe.model_validate({})


def test_a_canvas_has_a_side_that_the_strides_divide():
    with pytest.raises(ValidationError, match="multiple of 32"):
        FaceRecipe(
            name="one",
            model={"weights": "a.json"},
            data=[{"scenes": "a.json"}],
            augmentation={"canvas": 400},
        )


def test_each_error_is_reported_with_its_line(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: one\nmodel: {weights: a.json}\ndata:\n  - scenes: a.json\n    shaer: 2\nsede: 3\n")

    with pytest.raises(ConfigError) as told:
        read_recipe(path, FaceRecipe)

    assert "line 5   data.0.shaer: unknown key; did you mean 'share'?" in str(told.value)
    assert "line 6   sede: unknown key; did you mean 'seed'?" in str(told.value)


def test_single_keys_can_be_overridden(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: one\nmodel: {weights: a.json}\ndata:\n  - scenes: a.json\n")

    assert read_recipe(path, FaceRecipe, changes=["schedule.epochs=3"]).schedule.epochs == 3


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_project_is_good(path):
    assert read_recipe(path, FaceRecipe).name


def test_the_project_has_recipes():
    assert RECIPES
