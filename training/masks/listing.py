"""Listing: records the training and validation faces of a run, for the conversion of its model."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from training.masks.dataset import DataSet
    from training.masks.recipe import MaskRecipe


def write_listing(data_set: DataSet, recipe: MaskRecipe, path: Path) -> None:
    """Write the faces as a COCO file, with splits `train` and `validation`.

    File names are relative to its folder. A picture that is a whole face gets a box that, grown by the recipe's margin,
    is the picture again.
    """
    numbers = {label: index for index, label in enumerate(recipe.labels, 1)}
    images: dict[Path, dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    for split, faces in (("train", data_set.learnt), ("validation", data_set.judging)):
        for row in range(len(faces)):
            example = faces.example(row)
            image = {
                "id": len(images) + 1,
                "file_name": os.path.relpath(example.path, path.parent),
                "source": example.source,
                "split": split,
            }
            image = images.setdefault(example.path, image)
            box, is_whole = faces.place(row)
            if is_whole:
                # The box b is the picture w without margin m: w = (1 + 2m) * b, so b = w - 2 * (m / (1 + 2m)) * w.
                box = box.grown(-recipe.margin_fraction / (1 + 2 * recipe.margin_fraction))
            bbox = [round(value, 2) for value in (box.x1, box.y1, box.width_px, box.height_px)]
            row_of_file = {"id": len(annotations) + 1, "image_id": image["id"], "bbox": bbox}
            annotations.append(row_of_file | {"category_id": numbers[example.label]})
    content = {
        "categories": [{"id": number, "name": label} for label, number in numbers.items()],
        "images": list(images.values()),
        "annotations": annotations,
    }
    path.write_text(json.dumps(content), encoding="utf-8")
