"""Tests of what a recipe may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from training.masks.recipe import DataRecipe, MaskRecipe, read_recipe

RECIPES = sorted((Path(__file__).parents[3] / "training" / "recipes").glob("*.yaml"))


def test_the_test_split_of_scenes_is_refused():
    with pytest.raises(ValidationError, match="for judging only"):
        DataRecipe(scenes=Path("annotations.json"), splits=("train", "test"))


@pytest.mark.parametrize("keys", [{}, {"scenes": "a.json", "folders": "b"}])
def test_data_is_one_thing(keys):
    with pytest.raises(ValidationError, match="exactly one of scenes, folders and faces"):
        DataRecipe(**keys)


def test_faces_of_one_label_need_the_label():
    with pytest.raises(ValidationError, match="belong together"):
        DataRecipe(faces=Path("photos"))


def test_faces_that_have_to_be_found_need_a_finder():
    with pytest.raises(ValidationError, match="finder: needed"):
        MaskRecipe(name="one", data=[{"folders": "faces", "find": True}])


def test_labels_are_distinct():
    with pytest.raises(ValidationError, match="not distinct"):
        MaskRecipe(name="one", labels=("with_mask", "with_mask"), data=[{"folders": "faces"}])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_project_is_good(path):
    assert read_recipe(path).name


def test_the_project_has_recipes():
    assert RECIPES
