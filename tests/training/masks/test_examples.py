"""Tests of which faces are read from folders and scenes."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from edge_agent.errors import ConfigError, PictureError
from training.masks.examples import count_labels, from_class_folders, from_one_label, from_scenes, read_picture


def a_picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((20, 20, 3), 90, np.uint8))


def some_scenes(tmp_path):
    categories = ["with_mask", "without_mask"]
    content = {
        "categories": [{"id": number, "name": name} for number, name in enumerate(categories, 1)],
        "images": [
            {"id": 1, "file_name": "street/1.jpg", "source": "street", "split": "train"},
            {"id": 2, "file_name": "street/2.jpg", "source": "street", "split": "test"},
            {"id": 3, "file_name": "groups/3.jpg", "source": "groups", "split": "train"},
        ],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [5, 6, 30, 40]},
            {"image_id": 1, "category_id": 2, "bbox": [50, 6, 8, 9]},
            {"image_id": 2, "category_id": 2, "bbox": [5, 6, 30, 40]},
            {"image_id": 3, "category_id": 2, "bbox": [5, 6, 30, 40]},
        ],
    }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def test_class_folders_give_a_label_per_folder(class_folders):
    examples = from_class_folders(class_folders, source="drawn")

    assert count_labels(examples) == {"with_mask": 20, "without_mask": 20}
    assert {example.box for example in examples} == {None}


def test_folders_spelt_as_in_well_known_data_sets_are_understood(tmp_path):
    a_picture(tmp_path / "WithMask" / "1.png")
    a_picture(tmp_path / "WithoutMask" / "1.png")

    assert set(count_labels(from_class_folders(tmp_path, source="one"))) == {"with_mask", "without_mask"}


def test_an_empty_class_folder_is_told(tmp_path):
    a_picture(tmp_path / "with_mask" / "1.png")
    (tmp_path / "without_mask").mkdir()

    with pytest.raises(ConfigError, match=r"without_mask: no pictures .* fill the folder or take it away"):
        from_class_folders(tmp_path, source="one")


def test_one_label_alone_is_told(tmp_path):
    a_picture(tmp_path / "with_mask" / "1.png")

    with pytest.raises(ConfigError, match="pictures of 'with_mask' only"):
        from_class_folders(tmp_path, source="one")


def test_a_folder_without_labels_is_told(tmp_path):
    a_picture(tmp_path / "cats" / "1.png")

    with pytest.raises(ConfigError, match="holds none of the folders"):
        from_class_folders(tmp_path, source="one")


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        from_class_folders(tmp_path / "none", source="one")


def test_a_test_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="for judging only"):
        from_class_folders(tmp_path / "test", source="one")
    with pytest.raises(ConfigError, match="for judging only"):
        from_one_label(tmp_path / "test", label="with_mask", source="one")


def test_scenes_give_boxes_of_the_chosen_sources_and_sizes(tmp_path):
    examples = from_scenes(some_scenes(tmp_path), sources=["street"], smallest_px=16)

    assert [(example.path.name, example.label) for example in examples] == [("1.jpg", "with_mask")]
    assert examples[0].box is not None
    assert examples[0].box.as_ints() == (5, 6, 35, 46)


def test_the_test_split_is_never_learnt(tmp_path):
    path = some_scenes(tmp_path)

    assert "2.jpg" not in {example.path.name for example in from_scenes(path)}
    with pytest.raises(ConfigError, match="for judging only"):
        from_scenes(path, splits=["test"])


def test_scenes_without_a_face_left_are_told(tmp_path):
    with pytest.raises(ConfigError, match="no face of"):
        from_scenes(some_scenes(tmp_path), sources=["nowhere"])


def test_a_file_that_is_not_coco_is_told(tmp_path):
    path = tmp_path / "annotations.json"
    path.write_text('{"images": []}')

    with pytest.raises(ConfigError, match="not a COCO file"):
        from_scenes(path)


def test_a_picture_that_is_cut_off_is_told(tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0 and nothing more")

    with pytest.raises(PictureError, match="not a picture"):
        read_picture(path)
