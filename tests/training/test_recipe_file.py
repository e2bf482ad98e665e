"""Recipe files: errors for invalid recipes."""

from __future__ import annotations

import pytest

from edge_agent.errors import ConfigError
from training.masks.recipe import MaskRecipe
from training.recipe_file import read_recipe

GOOD = """\
name: one
data:
  - folders: faces
"""


def complaint(tmp_path, text: str) -> str:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_recipe(path, MaskRecipe)
    assert caught.value.exit_code == 78
    return str(caught.value)


def test_a_good_recipe_is_read(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(GOOD)

    assert read_recipe(path, MaskRecipe).name == "one"


def test_all_errors_are_reported_together_with_line_key_and_value(tmp_path):
    text = complaint(tmp_path, GOOD + "seed: many\nmodel:\n  alpha: 9\n  input_size: 96\nmarginn_fraction: 0.2\n")

    assert "line 4   seed: 'many'" in text
    assert "line 6   model.alpha: 9" in text
    assert "line 8   marginn_fraction: unknown key; did you mean 'margin_fraction'?" in text


def test_an_unknown_key_inside_a_list_names_its_place_and_the_nearest_key(tmp_path):
    text = complaint(tmp_path, GOOD + "    shaer: 2\n")

    assert "line 4   data.0.shaer: unknown key; did you mean 'share'?" in text


def test_a_change_applies_to_an_item_of_a_list(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(GOOD)

    assert read_recipe(path, MaskRecipe, changes=["data.0.share=2"]).data[0].share == 2
    with pytest.raises(ConfigError, match=r"data\.2\.share: no such item; the file has 1"):
        read_recipe(path, MaskRecipe, changes=["data.2.share=2"])


def test_a_missing_key_is_reported(tmp_path):
    assert "data: is missing" in complaint(tmp_path, "name: one\n")


def test_an_empty_file_is_no_recipe(tmp_path):
    assert "recipe" in complaint(tmp_path, "")


def test_invalid_yaml_is_reported(tmp_path):
    assert "not YAML" in complaint(tmp_path, "name: [one\n")


def test_an_error_about_a_missing_file_names_the_folder_of_examples(tmp_path):
    with pytest.raises(ConfigError, match="training/recipes"):
        read_recipe(tmp_path / "none.yaml", MaskRecipe)


def test_an_unknown_key_of_an_optional_section_names_the_nearest_key(tmp_path):
    text = complaint(tmp_path, GOOD + "teacher:\n  modl: a.keras\n")

    assert "line 5   teacher.modl: unknown key; did you mean 'model'?" in text


def test_the_value_of_sources_is_no_secret(tmp_path):
    assert "line 4   data.0.sources: 3 is not a list" in complaint(tmp_path, GOOD + "    sources: 3\n")


def test_an_unknown_label_is_one_error_with_all_labels_and_one_label_is_too_few(tmp_path):
    text = complaint(tmp_path, GOOD + "labels: [masked]\n")

    assert text.count("labels.0: 'masked' is not one of") == 1
    assert "'no_face'" in text
    assert "labels: needs 2 or more values" in text
