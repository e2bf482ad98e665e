"""Manifest: the pictures of training and of validation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from training.faces.manifest import write_manifest
from training.faces.scenes import Scene, SceneSet

NOTHING = np.zeros((0, 4), np.float32)


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

    write_manifest(SceneSet((train,), (validation,), (), 0), path)

    content = json.loads(path.read_text())
    assert [(one["file_name"], one["split"], one["source"]) for one in content["images"]] == [
        (str(Path("..") / "a.png"), "train", "street"),
        (str(Path("..") / "b.png"), "validation", "groups"),
    ]
    assert [one["bbox"] for one in content["annotations"]] == [[10, 20, 20, 40], [1, 1, 2, 3]]
    assert [one.get("ignore") for one in content["annotations"]] == [None, 1]
