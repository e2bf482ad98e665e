"""Examples: which faces are read from folders and scenes."""

from __future__ import annotations

import json
from collections import Counter

import cv2
import numpy as np
import pytest

from edge_agent.domain import LABELS
from edge_agent.errors import ConfigError, PictureError
from edge_agent.vision.images import read_picture
from training.faces.scenes import annotated_scenes
from training.masks.examples import (
    from_class_folders,
    from_one_label,
    read_corrections,
    read_scenes,
)


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
            {"image_id": 1, "category_id": 1, "bbox": [5, 6, 30, 40], "pose": "profile"},
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

    assert Counter(example.label for example in examples) == {"with_mask": 20, "without_mask": 20}
    assert {example.box for example in examples} == {None}


@pytest.mark.parametrize("name", ["no_face", "background"])
def test_false_detections_of_an_export_are_examples_of_no_face(class_folders, name):
    a_picture(class_folders / name / "1.png")

    examples = from_class_folders(class_folders, source="reviewed")

    assert Counter(example.label for example in examples) == {"with_mask": 20, "without_mask": 20, "no_face": 1}
    faces = from_class_folders(class_folders, source="reviewed", labels=LABELS)
    assert Counter(example.label for example in faces) == {"with_mask": 20, "without_mask": 20}


def test_false_detections_and_faces_of_one_label_are_enough(tmp_path):
    a_picture(tmp_path / "without_mask" / "1.png")
    a_picture(tmp_path / "no_face" / "1.png")

    assert len(from_class_folders(tmp_path, source="reviewed")) == 2


def test_folder_names_of_well_known_data_sets_are_recognised(tmp_path):
    a_picture(tmp_path / "WithMask" / "1.png")
    a_picture(tmp_path / "WithoutMask" / "1.png")

    examples = from_class_folders(tmp_path, source="one")

    assert {example.label for example in examples} == {"with_mask", "without_mask"}


def test_an_empty_class_folder_is_reported(tmp_path):
    a_picture(tmp_path / "with_mask" / "1.png")
    (tmp_path / "without_mask").mkdir()

    with pytest.raises(ConfigError, match=r"without_mask: no pictures .* fill or remove the folder"):
        from_class_folders(tmp_path, source="one")


def test_a_single_label_is_reported(tmp_path):
    a_picture(tmp_path / "with_mask" / "1.png")

    with pytest.raises(ConfigError, match="pictures of 'with_mask' only"):
        from_class_folders(tmp_path, source="one")


@pytest.mark.parametrize("name", ["below nose", "bare", "2"])
def test_pictures_under_an_unknown_name_are_not_left_out_silently(name, tmp_path, caplog):
    for folder in [name, "with_mask", "without_mask"]:
        a_picture(tmp_path / folder / "1.png")

    assert len(from_class_folders(tmp_path, source="one")) == 2
    (warning,) = caplog.messages
    assert warning.startswith(f"{tmp_path / name}: left out")


def test_folders_to_be_ignored_hidden_or_without_pictures_are_left_out_silently(tmp_path, caplog):
    for folder in ("with_mask", "without_mask", "ignore", "Unsure", ".cache"):
        a_picture(tmp_path / folder / "1.png")
    (tmp_path / "annotations").mkdir()

    assert len(from_class_folders(tmp_path, source="one")) == 2
    assert not caplog.messages


def test_a_folder_without_labels_is_reported(tmp_path):
    a_picture(tmp_path / "cats" / "1.png")

    with pytest.raises(ConfigError, match="holds none of the folders"):
        from_class_folders(tmp_path, source="one")


def test_a_missing_folder_is_reported(tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        from_class_folders(tmp_path / "none", source="one")


def test_a_test_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="for evaluation only"):
        from_class_folders(tmp_path / "test", source="one")
    with pytest.raises(ConfigError, match="for evaluation only"):
        from_one_label(tmp_path / "test", label="with_mask", source="one")


def test_scenes_give_boxes_of_the_chosen_sources_and_sizes(tmp_path):
    examples = read_scenes(some_scenes(tmp_path), sources=["street"], min_face_px=16)

    assert [(example.path.name, example.label) for example in examples] == [("1.jpg", "with_mask")]
    assert examples[0].box is not None
    assert examples[0].box.as_ints() == (5, 6, 35, 46)


def test_faces_of_chosen_poses(tmp_path):
    assert [example.path.name for example in read_scenes(some_scenes(tmp_path), poses=["profile"])] == ["1.jpg"]
    with pytest.raises(ConfigError, match="of pose tilted"):
        read_scenes(some_scenes(tmp_path), poses=["tilted"])


def test_only_the_train_split_is_read_unless_another_is_named(tmp_path):
    path = some_scenes(tmp_path)

    assert "2.jpg" not in {example.path.name for example in read_scenes(path)}
    assert "2.jpg" in {example.path.name for example in read_scenes(path, splits=())}


def test_scenes_without_any_face_left_are_reported(tmp_path):
    with pytest.raises(ConfigError, match="no face of"):
        read_scenes(some_scenes(tmp_path), sources=["nowhere"])


def test_a_file_that_is_not_coco_is_reported(tmp_path):
    path = tmp_path / "annotations.json"
    path.write_text('{"images": []}')

    with pytest.raises(ConfigError, match="not a COCO file"):
        read_scenes(path)


def test_a_truncated_picture_is_reported(tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0 and nothing more")

    with pytest.raises(PictureError):
        read_picture(path)


def annotated(tmp_path, *annotations):
    """Scenes of one picture, 100x80, with annotations of ids 1, 2, ..."""
    content = {
        "categories": [{"id": 1, "name": "with_mask"}, {"id": 2, "name": "without_mask"}],
        "images": [{"id": 1, "file_name": "1.jpg", "width": 100, "height": 80}],
        "annotations": [{"id": number, "image_id": 1} | one for number, one in enumerate(annotations, 1)],
    }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    return path


FACE = {"category_id": 1, "bbox": [10, 10, 30, 30]}
UNDECIDABLE = {"bbox": [50, 10, 30, 30], "ignore": 1}


def test_an_undecidable_face_is_neither_learnt_nor_counted_but_ignored(tmp_path):
    scenes = annotated(tmp_path, FACE, UNDECIDABLE | {"category_id": 2}, UNDECIDABLE)

    assert [example.label for example in read_scenes(scenes)] == ["with_mask"]
    (scene,) = annotated_scenes(scenes)
    assert (scene.path.name, scene.ignored[:, 0].tolist(), scene.labels) == ("1.jpg", [50, 50], ("with_mask",))


def test_an_annotation_without_a_category_is_an_error_unless_ignored(tmp_path):
    with pytest.raises(ConfigError, match="annotation 2 has neither category_id nor ignore"):
        read_scenes(annotated(tmp_path, FACE, {"bbox": [50, 10, 30, 30]}))


def test_a_box_outside_its_picture_is_omitted_and_reported(tmp_path, caplog):
    scenes = annotated(tmp_path, FACE, FACE | {"bbox": [120, 10, 30, 30]}, FACE | {"bbox": [10, 10, 0, 30]})

    assert len(read_scenes(scenes)) == 1
    assert "2 boxes" in caplog.text
    assert "annotation 2" in caplog.text


def test_unknown_keys_of_annotations_are_reported_once(tmp_path, caplog):
    read_scenes(annotated(tmp_path, FACE | {"colour": "red"}, FACE | {"colour": "blue", "pose": "frontal"}))

    assert caplog.text.count("colour") == 1
    assert "pose" not in caplog.text


def test_corrections_change_labels_and_remove_faces(tmp_path):
    scenes = annotated(tmp_path, FACE, FACE, FACE)
    file = tmp_path / "corrections.yaml"
    file.write_text("2: without_mask  # bare\n3: ignore\n")

    corrected = read_scenes(scenes, corrections=read_corrections(file))

    assert [example.label for example in corrected] == ["with_mask", "without_mask"]


@pytest.mark.parametrize("text", ["1: nonsense", "face: ignore", "- 1", "{"])
def test_an_invalid_list_of_corrections_is_refused(tmp_path, text):
    file = tmp_path / "corrections.yaml"
    file.write_text(text)

    with pytest.raises(ConfigError, match=r"corrections\.yaml"):
        read_corrections(file)


def test_a_correction_of_a_missing_annotation_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no annotation 7"):
        read_scenes(annotated(tmp_path, FACE), corrections={7: "ignore"})
