"""Explore: a first look at a data set."""

from __future__ import annotations

import json
import shutil

import pytest

from edge_agent.errors import ConfigError
from edge_agent.vision.images import read_picture
from tests.training.faces.conftest import write_scenes
from training.explore import explore


def test_explore_counts_faces_sizes_and_duplicates_and_lists_unreadable_pictures(class_folders, tmp_path):
    shutil.copy(class_folders / "with_mask" / "000.png", class_folders / "with_mask" / "copy.png")
    (class_folders / "without_mask" / "broken.png").write_bytes(b"no picture")

    text = explore(class_folders, output=None, duplicate_bits=0)

    assert "with_mask                     21" in text
    assert "41 pictures, 1 of them near-duplicates" in text
    assert "2 alike: 000.png, copy.png" in text
    assert "1 pictures cannot be read" in text
    assert "broken.png: " in text


def test_the_sheet_shows_each_label(class_folders, tmp_path):
    explore(class_folders, output=tmp_path / "sheets" / "sheet.png", duplicate_bits=6)

    assert read_picture(tmp_path / "sheets" / "sheet.png").shape == (4 * 96, 12 * 96, 3)


def test_a_folder_without_labels_is_reported(tmp_path):
    with pytest.raises(ConfigError, match="named after a label"):
        explore(tmp_path, output=None, duplicate_bits=6)


def test_a_data_set_of_unreadable_pictures_is_reported(tmp_path):
    (tmp_path / "with_mask").mkdir()
    (tmp_path / "with_mask" / "1.png").write_bytes(b"no picture")

    with pytest.raises(ConfigError, match="none of its 1 faces can be read"):
        explore(tmp_path, output=None, duplicate_bits=6)


def test_the_faces_of_every_split_are_counted(tmp_path):
    scenes = write_scenes(tmp_path / "scenes", count=3, split="validation")
    faces = len(json.loads(scenes.read_text())["annotations"])

    assert f"with_mask {faces:>22}" in explore(scenes, output=None, duplicate_bits=0)


@pytest.mark.reference_data
def test_annotated_scenes_are_counted_by_source(shared, tmp_path):
    scenes = shared / "data" / "scenes"
    content = json.loads((scenes / "annotations.json").read_text())
    # Two sources of five: to read all pictures takes half a minute.
    content["images"] = [image for image in content["images"] if image["source"] in ("street", "portraits")]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [face for face in content["annotations"] if face["image_id"] in kept]
    for folder in {image["file_name"].split("/")[0] for image in content["images"]}:
        (tmp_path / folder).symlink_to(scenes / folder)
    (tmp_path / "annotations.json").write_text(json.dumps(content))

    text = explore(tmp_path / "annotations.json", output=None, duplicate_bits=6)

    assert "street                       without_mask                 404" in text
