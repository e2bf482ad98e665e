"""Run folder: the files of a training run."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter.data_sources import source_of
from edge_agent.domain import LABELS
from edge_agent.errors import ConfigError
from tests.file_sizes import limited_file_size
from training.coco import CocoFile
from training.masks.recipe import MaskRecipe
from training.run_folder import data_name, keep_manifest, prepare_run_folder


@pytest.mark.parametrize(
    ("folder", "name", "source"),
    [
        ("../shared/data/faces/web/train", "web/train", "web"),
        ("../shared/data/faces/web/train/without_mask", "web/train/without_mask", "web"),
        ("runs/drawn_web/annotations.json", "drawn_web/annotations.json", "drawn"),
    ],
)
def test_the_source_of_a_folder_of_pictures_is_its_name(folder, name, source):
    assert data_name(Path(folder)) == name
    assert source_of(name).name == source


def test_a_run_that_a_full_disk_stopped_at_its_start_can_begin_again(tmp_path):
    recipe = MaskRecipe.model_validate({"name": "one", "data": [{"folders": "faces"}]})
    with limited_file_size(100), pytest.raises(OSError, match="too large"):
        prepare_run_folder(tmp_path, recipe)

    prepare_run_folder(tmp_path, recipe)

    assert (tmp_path / "recipe.yaml").read_text().startswith("name: one")


def test_the_recipe_of_a_run_that_never_began_can_be_corrected(tmp_path):
    recipe = MaskRecipe.model_validate({"name": "one", "data": [{"folders": "faces"}]})
    prepare_run_folder(tmp_path, recipe)
    keep_manifest(CocoFile(tmp_path / "faces.json", LABELS), has_begun=False)

    corrected = recipe.model_copy(update={"seed": 2})
    prepare_run_folder(tmp_path, corrected)
    assert "seed: 2" in (tmp_path / "recipe.yaml").read_text()

    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(ConfigError, match="another recipe"):
        prepare_run_folder(tmp_path, recipe)
