"""Scenes: the split of each picture, the style of its boxes, and a teacher's additions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.errors import ConfigError
from edge_agent.vision.images import read_picture
from tests.training.faces.conftest import write_scenes
from training.faces.boxes import pairwise_iou
from training.faces.recipe import StyleRecipe
from training.faces.scenes import Scene, SceneSet, converted_to_style, manifest_of, open_scenes

NOTHING = np.zeros((0, 4), np.float32)
A_FIND = np.array([[140, 100, 156, 120]], np.float32)


def test_training_and_validation_share_no_picture(tiny_recipe, tmp_path):
    opened = open_scenes(tiny_recipe(), folder=tmp_path)

    assert len(opened.validation) == 4
    assert not {scene.path for scene in opened.train} & {scene.path for scene in opened.validation}
    assert sum(scene.sampling_probability for scene in opened.train) == pytest.approx(1.0)


def test_near_duplicates_stay_on_one_side(tiny_recipe, scenes_file, tmp_path):
    content = json.loads(scenes_file.read_text())
    for image in list(content["images"]):
        copy = image | {"id": image["id"] + 100, "file_name": f"copy-{image['file_name']}"}
        shutil.copy(scenes_file.parent / image["file_name"], scenes_file.parent / copy["file_name"])
        content["images"].append(copy)
        content["annotations"] += [
            one | {"image_id": copy["id"]} for one in content["annotations"] if one["image_id"] == image["id"]
        ]
    scenes_file.write_text(json.dumps(content))

    opened = open_scenes(tiny_recipe(), folder=tmp_path)

    train, validation = (
        {scene.path.name.removeprefix("copy-") for scene in part} for part in (opened.train, opened.validation)
    )
    assert validation
    assert not train & validation


def test_pictures_with_a_label_are_drawn_more_often_but_validated_once(tiny_recipe, scenes_file, tmp_path):
    content = json.loads(scenes_file.read_text())
    content["categories"].append({"id": 2, "name": "without_mask"})
    bare = {image["id"]: image["file_name"] for image in content["images"][::2]}
    for one in content["annotations"]:
        if one["image_id"] in bare:
            one["category_id"] = 2
    scenes_file.write_text(json.dumps(content))
    data = [{"scenes": str(scenes_file)}, {"scenes": str(scenes_file), "labels": ["without_mask"], "share": 3}]

    opened = open_scenes(tiny_recipe(data=data), folder=tmp_path)

    of_bare = sum(scene.sampling_probability for scene in opened.train if scene.path.name in bare.values())
    assert of_bare > 3 / 4
    assert len({scene.path for scene in opened.validation}) == len(opened.validation)

    data = [{"scenes": str(scenes_file), "labels": ["mask_worn_incorrectly"]}]
    with pytest.raises(ConfigError, match="no picture has a face of mask_worn_incorrectly"):
        open_scenes(tiny_recipe(data=data), folder=tmp_path)


def test_a_picture_of_two_sources_is_validated_once(tiny_recipe, scenes_file, tmp_path):
    once = open_scenes(tiny_recipe(), folder=tmp_path).validation

    twice = open_scenes(tiny_recipe(data=2 * [{"scenes": str(scenes_file)}]), folder=tmp_path).validation

    assert [scene.path for scene in twice] == [scene.path for scene in once]


def test_pictures_without_a_detection_do_not_reduce_the_share_of_their_source(tiny_recipe, scenes_file, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(4):
        cv2.imwrite(
            str(photos / f"{number}.png"), np.random.default_rng(number).integers(0, 256, (200, 200, 3), np.uint8)
        )

    def teacher(_image, path):
        return (A_FIND, np.array([0.9], np.float32)) if path.name == "0.png" else (NOTHING, np.zeros(0, np.float32))

    recipe = tiny_recipe(
        data=[{"scenes": str(scenes_file)}, {"pictures": str(photos), "share": 3}], teacher={"detector": "teacher.onnx"}
    )
    opened = open_scenes(recipe, folder=tmp_path, teacher=teacher)

    (photo,) = [scene for scene in opened.train if scene.source == "photos"]
    assert photo.sampling_probability == pytest.approx(3 / 4)


def test_near_duplicates_of_pictures_kept_apart_are_in_neither_split(tiny_recipe, tmp_path, scenes_file):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    image = read_picture(scenes_file.parent / "003.png")
    cv2.imwrite(str(elsewhere / "like.jpg"), image)
    validation = {
        "sources": ["drawn"],
        "selection_sources": ["drawn"],
        "test_sets": [str(elsewhere)],
        "duplicate_bits": 4,
    }

    opened = open_scenes(tiny_recipe(validation=validation), folder=tmp_path)

    assert opened.excluded >= 1
    assert "003.png" not in {scene.path.name for scene in (*opened.train, *opened.validation)}


def test_boxes_of_another_style_are_moved_and_scaled(tmp_path):
    moved = converted_to_style(
        np.array([[0, 0, 20, 40]], np.float32), StyleRecipe(down_fraction=0.25, width_factor=0.5)
    )

    assert moved.tolist() == [[5, 10, 15, 50]]


def test_a_teacher_marks_uncertain_background(tiny_recipe, tmp_path):
    def teacher(_image, _path):
        return A_FIND, np.array([0.5], np.float32)

    opened = open_scenes(tiny_recipe(teacher={"detector": "teacher.onnx"}), folder=tmp_path, teacher=teacher)

    unknown = [scene for scene in opened.train if pairwise_iou(A_FIND, scene.faces).max(initial=0.0) == 0]
    assert unknown
    assert all(scene.ignored.tolist() == A_FIND.tolist() for scene in unknown)
    assert all(not len(scene.ignored) for scene in opened.validation)


def test_a_detection_inside_an_annotated_face_is_no_separate_face(tiny_recipe, tmp_path):
    def teacher(_image, path):
        faces = scenes[path].faces
        centres = (faces[:, :2] + faces[:, 2:]) / 2
        return np.concatenate([centres - 2, centres + 2], axis=1), np.full(len(faces), 0.9, np.float32)

    scenes = {scene.path: scene for scene in open_scenes(tiny_recipe(), folder=tmp_path).train}
    opened = open_scenes(tiny_recipe(teacher={"detector": "teacher.onnx"}), folder=tmp_path, teacher=teacher)

    assert all(not len(scene.ignored) for scene in opened.train)


def test_a_teacher_finds_the_faces_of_pictures_without_boxes(tiny_recipe, tmp_path, scenes_file):
    write_scenes(tmp_path / "photos", count=5)

    def teacher(_image, _path):
        return np.concatenate([A_FIND, A_FIND - 50]), np.array([0.9, 0.5], np.float32)

    recipe = tiny_recipe(
        data=[{"scenes": str(scenes_file)}, {"pictures": str(tmp_path / "photos"), "max_pictures": 3}],
        teacher={"detector": "teacher.onnx"},
    )
    opened = open_scenes(recipe, folder=tmp_path, teacher=teacher)

    photos = [scene for scene in opened.train if scene.source == "photos"]
    # The photos are copies of drawn scenes: some are near-duplicates of a validation scene, and left out.
    assert photos
    assert all(scene.faces.tolist() == A_FIND.tolist() for scene in photos)
    assert all(scene.ignored.tolist() == (A_FIND - 50).tolist() for scene in photos)


def test_an_unreadable_picture_is_reported_and_omitted(tiny_recipe, scenes_file, tmp_path):
    (scenes_file.parent / "005.png").write_bytes(b"no picture")

    opened = open_scenes(tiny_recipe(), folder=tmp_path)

    assert ["005.png" in line for line in opened.unreadable] == [True]


def test_an_evaluation_without_faces_is_reported(tiny_recipe, tmp_path):
    with pytest.raises(ConfigError, match="no validation faces"):
        open_scenes(tiny_recipe(validation={"sources": ["street"]}), folder=tmp_path)


def test_a_selection_of_the_best_epoch_on_nothing_is_refused(tiny_recipe, tmp_path):
    validation = {"sources": ["drawn"], "selection_sources": ["street"], "duplicate_bits": 0}

    with pytest.raises(ConfigError, match="no validation faces of street, only of drawn"):
        open_scenes(tiny_recipe(validation=validation), folder=tmp_path)


def test_an_undecidable_face_has_no_loss(tiny_recipe, tmp_path, scenes_file):
    content = json.loads(scenes_file.read_text())
    count = len(content["annotations"])
    content["annotations"] += [{"image_id": one["id"], "bbox": [1, 1, 9, 9], "ignore": 1} for one in content["images"]]
    scenes_file.write_text(json.dumps(content))

    opened = open_scenes(tiny_recipe(), folder=tmp_path)

    scenes = (*opened.train, *opened.validation)
    assert sum(len(scene.faces) for scene in scenes) == count
    assert all(scene.ignored.tolist() == [[1, 1, 10, 10]] for scene in scenes)


def test_pictures_are_named_from_the_folder_of_the_file_with_their_boxes(tmp_path):
    train = Scene(
        tmp_path / "a.png",
        "street",
        np.array([[10, 20, 30, 60]], np.float32),
        np.array([[1, 1, 3, 4]], np.float32),
        1.0,
    )
    validation = Scene(tmp_path / "b.png", "groups", NOTHING, NOTHING, 0.0)
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / "scenes.json"

    manifest_of(SceneSet((train,), (validation,), (), 0), path).write()

    content = json.loads(path.read_text())
    assert [(one["file_name"], one["split"], one["source"]) for one in content["images"]] == [
        (str(Path("..") / "a.png"), "train", "street"),
        (str(Path("..") / "b.png"), "validation", "groups"),
    ]
    assert [one["bbox"] for one in content["annotations"]] == [[10, 20, 20, 40], [1, 1, 2, 3]]
    assert [one.get("ignore") for one in content["annotations"]] == [None, 1]
