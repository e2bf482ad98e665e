"""Manifest: records the training and validation faces of a run, for the conversion of its model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.coco import CocoFile

if TYPE_CHECKING:
    from pathlib import Path

    from training.masks.dataset import DataSet
    from training.masks.recipe import MaskRecipe


def write_manifest(data_set: DataSet, recipe: MaskRecipe, path: Path) -> None:
    """Write the faces as a COCO file, with splits `train` and `validation`.

    A picture that is a whole face gets a box that, grown by the recipe's margin, is the picture again.
    """
    manifest = CocoFile(path, recipe.labels)
    for split, faces in (("train", data_set.train), ("validation", data_set.validation)):
        for row in range(len(faces)):
            example = faces.example(row)
            manifest.add_picture(example.path, source=example.source, split=split)
            box, is_whole = faces.location(row)
            if is_whole:
                # The box b is the picture w without margin m: w = (1 + 2m) * b, so b = w - 2 * (m / (1 + 2m)) * w.
                box = box.grown(-recipe.margin_fraction / (1 + 2 * recipe.margin_fraction))
            manifest.add_face(example.path, (box.x1, box.y1, box.x2, box.y2), category=example.label)
    manifest.write()
