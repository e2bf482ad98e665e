"""Data set: the faces of training and of validation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.errors import ConfigError
from edge_agent.vision.images import read_picture
from edge_agent.vision.tensors import face_pixels, face_region
from training.coco import CocoFile
from training.masks.batches import unaugmented_pixels
from training.masks.dataset import manifest_of, open_data_set
from training.masks.examples import read_scenes

MODELS = Path(__file__).parents[3] / "models"


def names(part) -> set[tuple[str, str]]:
    return {(part.example(row).label, part.example(row).path.name) for row in range(len(part))}


def test_the_two_sides_of_the_split_share_no_picture(tiny_recipe, tmp_path):
    data_set = open_data_set(tiny_recipe(), packs_folder=tmp_path / "packs")

    assert len(data_set.train) + len(data_set.validation) == 40
    assert len(data_set.validation) == 12
    assert not names(data_set.train) & names(data_set.validation)


def test_pictures_of_a_test_set_are_in_neither_split(tiny_recipe, class_folders, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(class_folders / "with_mask" / "000.png", elsewhere / "copy.png")
    recipe = tiny_recipe(validation={"fraction": 0.3, "duplicate_bits": 0, "test_sets": [str(elsewhere)]})

    data_set = open_data_set(recipe, packs_folder=tmp_path / "packs")

    assert ("with_mask", "000.png") not in names(data_set.train) | names(data_set.validation)
    assert data_set.excluded == 1
    assert data_set.table().splitlines()[-1].startswith("excluded: 1,")


def test_all_data_that_is_not_held_out_is_used_for_training(tiny_recipe, class_folders, tmp_path):
    more = tmp_path / "more"
    shutil.copytree(class_folders, more)
    for number, path in enumerate(sorted(more.rglob("*.png"))):
        if number % 2:
            path.unlink()
    recipe = tiny_recipe(data=[{"folders": str(class_folders)}, {"folders": str(more), "held_out": False}])

    data_set = open_data_set(recipe, packs_folder=tmp_path / "packs")

    copied = {(path.parent.name, path.name) for path in more.rglob("*.png")}
    assert not copied & names(data_set.validation), "a near-duplicate of a training picture is used for validation"


def test_what_is_drawn_on_a_picture_of_the_validation_is_not_learnt(tiny_recipe, class_folders, tmp_path):
    drawn = CocoFile(tmp_path / "drawn" / "annotations.json", ["without_mask"])
    originals = sorted((class_folders / "without_mask").glob("*.png"))
    (tmp_path / "drawn").mkdir()
    for original in originals:
        # Too different from the original to be a near-duplicate.
        picture = tmp_path / "drawn" / original.name
        cv2.imwrite(str(picture), cv2.flip(read_picture(original), 0))
        drawn.add_picture(picture, source="drawn", split="train", drawn_on=original)
        drawn.add_face(picture, (0, 0, 20, 20), category="without_mask")
    drawn.write()
    scenes = str(tmp_path / "drawn" / "annotations.json")
    recipe = tiny_recipe(data=[{"folders": str(class_folders)}, {"scenes": scenes, "held_out": False}])

    data_set = open_data_set(recipe, packs_folder=tmp_path / "packs")

    held_out = {name for label, name in names(data_set.validation) if label == "without_mask"}
    paths = [data_set.train.example(row).path for row in range(len(data_set.train))]
    assert held_out
    assert {path.name for path in paths if path.parent == tmp_path / "drawn"} == {
        original.name for original in originals
    } - held_out
    assert data_set.excluded == len(held_out)


def test_what_is_drawn_on_a_picture_is_on_the_same_side_of_the_split(tiny_recipe, class_folders, tmp_path):
    drawn = CocoFile(tmp_path / "drawn" / "annotations.json", ["with_mask"])
    (tmp_path / "drawn").mkdir()
    for original in sorted((class_folders / "without_mask").glob("*.png")):
        picture = tmp_path / "drawn" / original.name
        cv2.imwrite(str(picture), cv2.flip(read_picture(original), 0))
        drawn.add_picture(picture, source="drawn", split="train", drawn_on=original)
        drawn.add_face(picture, (0, 0, 20, 20), category="with_mask")
    drawn.write()
    data = [{"folders": str(class_folders)}, {"scenes": str(tmp_path / "drawn" / "annotations.json")}]

    data_set = open_data_set(tiny_recipe(data=data), packs_folder=tmp_path / "packs")

    for part in (data_set.train, data_set.validation):
        originals = {name for label, name in names(part) if label == "without_mask"}
        paths = [part.example(row).path for row in range(len(part))]
        assert {path.name for path in paths if path.parent == tmp_path / "drawn"} == originals != set()
    assert data_set.excluded == 0


def test_the_share_of_a_source_determines_how_often_it_is_drawn(tiny_recipe, class_folders, tmp_path):
    recipe = tiny_recipe(
        data=[
            {"folders": str(class_folders), "labels": ["with_mask"], "share": 3.0},
            {"folders": str(class_folders), "labels": ["without_mask"], "share": 1.0},
        ]
    )
    data_set = open_data_set(recipe, packs_folder=tmp_path / "packs")

    assert data_set.train.sampling_probabilities[data_set.train.targets == 0].sum() == pytest.approx(0.75)


def test_a_face_in_two_sources_is_evaluated_once(tiny_recipe, class_folders, tmp_path):
    twice = tiny_recipe(data=[{"folders": str(class_folders)}, {"folders": str(class_folders), "share": 3.0}])

    data_set = open_data_set(twice, packs_folder=tmp_path / "packs")

    assert len(data_set.validation) == 12
    assert len(data_set.train) == 56


def test_unreadable_pictures_are_listed_and_not_fatal(tiny_recipe, class_folders, tmp_path):
    (class_folders / "with_mask" / "broken.jpg").write_bytes(b"no picture")

    data_set = open_data_set(tiny_recipe(), packs_folder=tmp_path / "packs")

    assert len(data_set.unreadable) == 1
    assert len(data_set.train) + len(data_set.validation) == 40


@pytest.mark.parametrize("label", ["mask_worn_incorrectly", "no_face"])
def test_a_label_without_faces_to_evaluate_is_reported(tiny_recipe, tmp_path, label):
    recipe = tiny_recipe(labels=["with_mask", "without_mask", label])

    with pytest.raises(ConfigError, match=f"no training faces of {label}"):
        open_data_set(recipe, packs_folder=tmp_path / "packs")


def test_parts_of_pictures_without_people_are_no_faces(tiny_recipe, class_folders, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for number in range(10):
        noise = np.random.default_rng(number).integers(0, 256, (60 + 10 * number, 90, 3), np.uint8)
        cv2.imwrite(str(empty / f"{number}.png"), noise)
    recipe = tiny_recipe(
        labels=["with_mask", "without_mask", "no_face"], data=[{"folders": str(class_folders)}, {"empty": str(empty)}]
    )

    first, second = (open_data_set(recipe, packs_folder=tmp_path / packs) for packs in ("first", "second"))

    of_empty = [row for row in range(len(first.train)) if first.train.example(row).label == "no_face"]
    parts = [first.train.location(row) for row in of_empty]
    assert len(parts) == 3 * len({first.train.example(row).path for row in of_empty})
    assert len({box for box, _ in parts}) == len(parts)
    assert not any(is_whole for _, is_whole in parts)
    assert all(0 <= box.x1 < box.x2 <= 90 and box.width_px == pytest.approx(box.height_px) for box, _ in parts)
    assert [second.train.location(row) for row in of_empty] == parts


@pytest.mark.reference_data
def test_faces_are_detected_by_the_released_detector_or_another(tiny_recipe, class_folders, shared, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    (picture,) = sorted((shared / "data" / "faces" / "web" / "train" / "without_mask").iterdir())[:1]
    shutil.copy(picture, photos)
    boxes = []
    for detector in (MODELS / "faces.json", shared / "weights" / "face_detection_yunet_2023mar.onnx"):
        recipe = tiny_recipe(
            detector=str(detector),
            data=[{"folders": str(class_folders)}, {"faces": str(photos), "label": "without_mask", "held_out": False}],
        )
        train = open_data_set(recipe, packs_folder=tmp_path / "packs").train
        (row,) = (row for row in range(len(train)) if train.example(row).path.parent == photos)
        boxes.append(train.location(row)[0])

    assert boxes[0].overlap(boxes[1]) > 0.5
    assert boxes[0] != boxes[1]


def test_a_selection_of_the_best_epoch_on_nothing_is_refused(tiny_recipe, tmp_path):
    recipe = tiny_recipe(validation={"sources": ["stret"], "duplicate_bits": 0})

    with pytest.raises(ConfigError, match="no validation faces of stret, only of faces"):
        open_data_set(recipe, packs_folder=tmp_path / "packs")


def test_the_listed_faces_are_those_of_the_evaluation(tiny_recipe, tmp_path):
    recipe = tiny_recipe(margin_fraction=0.25)
    data_set = open_data_set(recipe, packs_folder=tmp_path / "packs")
    validation = data_set.validation
    path = tmp_path / "run" / "faces.json"
    path.parent.mkdir()

    manifest_of(data_set, recipe, path).write()

    faces = read_scenes(path, splits=("validation",))
    assert len(faces) == len(validation)
    side = recipe.model.input_size
    for face, pixels, row in zip(faces, unaugmented_pixels(validation, recipe), range(len(validation)), strict=True):
        assert face.box is not None
        region = face_region(face.box, margin_fraction=0.25)
        assert face.label == validation.example(row).label
        assert np.array_equal(face_pixels(read_picture(face.path), region, width_px=side, height_px=side), pixels)


def test_pictures_are_named_as_seen_from_the_file_and_are_on_one_side(tiny_recipe, tmp_path):
    data_set = open_data_set(tiny_recipe(), packs_folder=tmp_path / "packs")

    manifest_of(data_set, tiny_recipe(), tmp_path / "faces.json").write()

    images = json.loads((tmp_path / "faces.json").read_text())["images"]
    assert all(image["file_name"].startswith("faces/") for image in images)
    assert [image["split"] for image in images].count("train") == len(data_set.train)
    assert [image["split"] for image in images].count("validation") == len(data_set.validation)
