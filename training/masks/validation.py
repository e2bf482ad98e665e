"""Validation: which faces judged a run, for whoever fits a card to them?"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from training.masks.dataset import Faces
    from training.masks.recipe import MaskRecipe


def write_validation(faces: Faces, recipe: MaskRecipe, path: Path) -> None:
    """Write the judging faces as a COCO file of split `validation`; pictures are named as seen from its folder.

    A picture that is wholly a face gets a box that, with the recipe's margin, is the picture again.
    """
    numbers = {label: index for index, label in enumerate(recipe.labels, 1)}
    images: dict[Path, dict[str, Any]] = {}
    annotations = []
    for row in range(len(faces)):
        example = faces.example(row)
        image = images.setdefault(
            example.path,
            {
                "id": len(images) + 1,
                "file_name": os.path.relpath(example.path, path.parent),
                "source": example.source,
                "split": "validation",
            },
        )
        box, is_whole = faces.place(row)
        if is_whole:
            # The margin m is taken from the box: w = (1 + 2m) * b, so b = w - 2 * (m / (1 + 2m)) * w.
            box = box.grown(-recipe.margin_fraction / (1 + 2 * recipe.margin_fraction))
        bbox = [round(value, 2) for value in (box.x1, box.y1, box.width_px, box.height_px)]
        annotations.append(
            {"id": row + 1, "image_id": image["id"], "category_id": numbers[example.label], "bbox": bbox}
        )
    content = {
        "categories": [{"id": number, "name": label} for label, number in numbers.items()],
        "images": list(images.values()),
        "annotations": annotations,
    }
    path.write_text(json.dumps(content), encoding="utf-8")
