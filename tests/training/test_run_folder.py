"""Run folder: the files of a training run."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter.data_sources import source_of
from training.run_folder import data_name


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
