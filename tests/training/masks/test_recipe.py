"""Recipe: the keys of the mask classifier's recipe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from edge_agent.errors import ConfigError
from training.faces.recipe import FaceRecipe
from training.masks.recipe import DataRecipe, MaskRecipe
from training.recipe_file import read_recipe
from training.run_folder import RECIPE, prepare_run_folder

RECIPES = sorted((Path(__file__).parents[3] / "training" / "recipes").glob("*.yaml"))


def test_the_test_split_of_scenes_is_refused():
    with pytest.raises(ValidationError, match="for evaluation only"):
        DataRecipe(scenes=Path("annotations.json"), splits=("train", "test"))


@pytest.mark.parametrize("keys", [{}, {"scenes": "a.json", "folders": "b"}])
def test_data_has_exactly_one_kind(keys):
    with pytest.raises(ValidationError, match="exactly one of scenes, folders, faces and empty"):
        DataRecipe(**keys)


def test_faces_of_one_label_need_the_label():
    with pytest.raises(ValidationError, match="belong together"):
        DataRecipe(faces=Path("photos"))


@pytest.mark.parametrize("key", [{"sources": ["street"]}, {"poses": ["profile"]}, {"corrections": "wrong.yaml"}])
def test_folders_have_no_keys_of_annotations(key):
    with pytest.raises(ValidationError, match=f"only 'scenes' can have '{next(iter(key))}'"):
        DataRecipe(folders=Path("faces"), **key)


def test_a_boolean_is_no_number():
    with pytest.raises(ValidationError, match="not a number"):
        DataRecipe(folders=Path("faces"), share=True)


@pytest.mark.parametrize(
    ("recipe", "change", "key"),
    [
        (MaskRecipe, "schedule.learning_rate=.inf", "schedule.learning_rate"),
        (MaskRecipe, "class_weights={with_mask: .inf}", "class_weights.with_mask"),
        (MaskRecipe, "validation.min_face_px=.nan", "validation.min_face_px"),
        (MaskRecipe, f"seed={2**32}", "seed"),
        (FaceRecipe, f"seed={2**32}", "seed"),
    ],
)
def test_a_number_that_training_cannot_use_is_reported(tmp_path, recipe, change, key):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: one\ndata: [{folders: faces}]\n")

    with pytest.raises(ConfigError, match=f" {re.escape(key)}: "):
        read_recipe(path, recipe, changes=[change])


def test_finding_faces_needs_a_detector():
    with pytest.raises(ValidationError, match="detector: needed"):
        MaskRecipe(name="one", data=[{"folders": "faces", "detect_faces": True}])


def test_pictures_without_people_need_an_output_for_them():
    with pytest.raises(ValidationError, match="needs 'no_face'"):
        MaskRecipe(name="one", data=[{"folders": "faces"}, {"empty": "empty"}])


def test_labels_are_distinct():
    with pytest.raises(ValidationError, match="not distinct"):
        MaskRecipe(name="one", labels=("with_mask", "with_mask"), data=[{"folders": "faces"}])


def test_a_key_of_the_command_line_overrides_the_file(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: one\nmodel: {alpha: 0.35}\ndata:\n  - folders: faces\n")

    recipe = read_recipe(
        path, MaskRecipe, changes=["model.alpha=0.5", "model.input_size=96", "schedule.epochs=3", "name=other"]
    )

    assert (recipe.model.alpha, recipe.model.input_size, recipe.schedule.epochs, recipe.name) == (0.5, 96, 3, "other")


@pytest.mark.parametrize(("text", "told"), [("", "data: is missing"), ("- one\n", "keys are expected")])
def test_a_file_without_keys_is_reported(tmp_path, text, told):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=told):
        read_recipe(path, MaskRecipe, changes=["model.alpha=0.5"])


@pytest.mark.parametrize(("change", "told"), [("alpha", "KEY=VALUE"), ("name.first=x", "name is a single value")])
def test_a_malformed_change_is_reported(tmp_path, change, told):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: one\ndata:\n  - folders: faces\n")

    with pytest.raises(ConfigError, match=told):
        read_recipe(path, MaskRecipe, changes=[change])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_project_is_good(path):
    assert read_recipe(path, MaskRecipe).name


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipe_in_the_folder_of_a_run_can_be_used_again(path, tmp_path):
    recipe = read_recipe(path, MaskRecipe)
    prepare_run_folder(tmp_path, recipe)

    assert read_recipe(tmp_path / RECIPE, MaskRecipe) == recipe


def test_the_project_has_recipes():
    assert RECIPES
