"""Manifest: a card is fitted on the faces that validated the run."""

from __future__ import annotations

import json

import numpy as np

from edge_agent.vision.images import read_picture
from edge_agent.vision.tensors import face_pixels, face_region
from training.masks.batches import unaugmented_pixels
from training.masks.dataset import open_data_set
from training.masks.examples import read_scenes
from training.masks.manifest import write_manifest


def test_the_listed_faces_are_those_of_the_evaluation(tiny_recipe, tmp_path):
    recipe = tiny_recipe(margin_fraction=0.25)
    data_set = open_data_set(recipe, packs_folder=tmp_path / "packs")
    validation = data_set.validation
    path = tmp_path / "run" / "faces.json"
    path.parent.mkdir()

    write_manifest(data_set, recipe, path)

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

    write_manifest(data_set, tiny_recipe(), tmp_path / "faces.json")

    images = json.loads((tmp_path / "faces.json").read_text())["images"]
    assert all(image["file_name"].startswith("faces/") for image in images)
    assert [image["split"] for image in images].count("train") == len(data_set.train)
    assert [image["split"] for image in images].count("validation") == len(data_set.validation)
