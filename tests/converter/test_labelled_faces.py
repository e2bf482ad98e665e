"""Labelled faces: read from folders and scenes."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from converter.labelled_faces import (
    LabelledFace,
    faces_in,
    faces_of_scenes,
    labelled_faces_in,
    validation_faces,
)
from edge_agent.domain import Box
from edge_agent.errors import ConfigError
from tests.alerts.test_export import Alerts, exported, review
from tests.alerts.test_history import an_id
from tests.converter.colour_classifier import BLUE, RED, write_pictures
from training.masks.examples import with_pictures


def labels_of(faces):
    return sorted({face.label for face in faces})


def test_folder_names_give_labels_in_the_spellings_of_public_data_sets(tmp_path):
    write_pictures(tmp_path / "WithMask", BLUE, count=2)
    write_pictures(tmp_path / "no_mask" / "deeper", RED, count=3)
    write_pictures(tmp_path / "mask_weared_incorrect", RED, count=1)
    write_pictures(tmp_path / "holiday", RED, count=5)

    faces = labelled_faces_in(tmp_path)

    assert labels_of(faces) == ["mask_worn_incorrectly", "with_mask", "without_mask"]
    assert len(faces) == 6


def test_pictures_outside_class_folders_have_no_label(tmp_path):
    write_pictures(tmp_path / "faces", BLUE, count=4)

    assert [face.label for face in faces_in(tmp_path)] == [None] * 4
    with pytest.raises(ConfigError, match="no folder in it is named after a label; sort the pictures into with_mask/"):
        labelled_faces_in(tmp_path)


def test_a_folder_without_pictures_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("")

    with pytest.raises(ConfigError, match=r"no pictures \(\.bmp"):
        faces_in(tmp_path)
    with pytest.raises(ConfigError, match="nowhere: no such folder"):
        faces_in(tmp_path / "nowhere")


def test_the_whole_picture_is_the_face_and_a_box_gets_its_margin():
    image = np.zeros((40, 60, 3), np.uint8)
    path = Path("a.png")

    assert LabelledFace(path, None).region(image, margin_fraction=0.5) == Box(0, 0, 60, 40)
    boxed = LabelledFace(path, None, Box(10, 10, 20, 30))
    assert boxed.region(image, margin_fraction=0.25) == Box(0, 5, 30, 35)
    assert boxed.side_px(image) == 10


@pytest.fixture
def scenes(tmp_path):
    """One picture of 100x50 px in each of three splits and sources, with a face of 40, of 20 and of 10 px in each."""
    for name in ("a", "b", "c"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((50, 100, 3), np.uint8))
    images = [
        {"id": 1, "file_name": "a.png", "split": "train", "source": "street"},
        {"id": 2, "file_name": "b.png", "split": "test", "source": "street"},
        {"id": 3, "file_name": "c.png"},
    ]
    boxes = [(1, [0, 0, 40, 45]), (2, [40, 0, 20, 20]), (3, [60, 0, 30, 10])]
    annotations = [
        {"image_id": image["id"], "category_id": category, "bbox": box} for image in images for category, box in boxes
    ]
    names = ("with_mask", "without_mask", "dog")
    categories = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def test_scenes_give_the_large_faces_of_a_split_and_source(scenes):
    faces = faces_of_scenes(scenes, split="test", source="street", min_side_px=16)

    assert [(face.path.name, face.label, face.box) for face in faces] == [
        ("b.png", "with_mask", Box(0, 0, 40, 45)),
        ("b.png", "without_mask", Box(40, 0, 60, 20)),
    ]


def test_pictures_without_a_split_belong_to_training(scenes):
    assert {face.path.name for face in faces_of_scenes(scenes, split="train")} == {"a.png", "c.png"}
    assert {face.path.name for face in faces_of_scenes(scenes)} == {"a.png", "b.png", "c.png"}


def test_undecidable_faces_are_left_out(scenes):
    before = faces_of_scenes(scenes, split="test")
    content = json.loads(scenes.read_text())
    content["annotations"].append({"image_id": 2, "bbox": [70, 20, 9, 9], "ignore": 1, "pose": "profile"})
    scenes.write_text(json.dumps(content))

    assert faces_of_scenes(scenes, split="test") == before


def test_an_error_about_missing_faces_lists_the_available_ones(scenes):
    with pytest.raises(ConfigError, match=r"no face of source any and split val; sources there: .*; splits: .*test"):
        faces_of_scenes(scenes, split="val", min_side_px=16)


def test_validation_faces_are_never_those_of_another_split(scenes):
    with pytest.raises(ConfigError, match="split validation"):
        validation_faces(scenes)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"images": []}', '{"images": [], "categories": [{}], "annotations": []}']
)
def test_a_file_that_is_not_coco_is_rejected(tmp_path, content):
    (tmp_path / "a.json").write_text(content)

    with pytest.raises(ConfigError, match=r"a\.json: not a COCO file of faces"):
        faces_of_scenes(tmp_path / "a.json")


def test_a_picture_with_many_faces_is_opened_and_reported_once(tmp_path):
    write_pictures(tmp_path / "good", BLUE, count=1)
    (tmp_path / "bad.png").write_bytes(b"not a png")
    good = [LabelledFace(tmp_path / "good" / "000.png", None, Box(0, 0, side, side)) for side in (1, 2)]
    bad = [LabelledFace(tmp_path / "bad.png", None, Box(0, 0, side, side)) for side in (1, 2)]
    unreadable: list[str] = []

    found = list(with_pictures([*good, *bad], unreadable=unreadable))

    assert [face for face, _ in found] == good
    assert found[0][1] is found[1][1]
    (reason,) = unreadable
    assert reason.startswith(f"{tmp_path / 'bad.png'}: ")


def test_all_faces_of_an_agent_export_are_labelled_faces(tmp_path):
    with closing(Alerts(tmp_path)) as alerts:
        review(alerts, tmp_path, 1, "with_mask")
        review(alerts, tmp_path, 2, "without_mask")
        review(alerts, tmp_path, 3, "no_face")
        exported(alerts, tmp_path)

    found = labelled_faces_in(tmp_path / "reviewed")

    assert [(face.label, face.path.stem) for face in found] == [
        ("with_mask", an_id(1)),
        ("without_mask", an_id(2)),
    ]
