"""Listing: records the training and validation scenes of a run, for the conversion of its detector."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from training.faces.scenes import SceneSet

CATEGORY = {"id": 1, "name": "face"}


def write_listing(scenes: SceneSet, path: Path) -> None:
    """Write the scenes as a COCO file, with splits `train` and `validation`.

    File names are relative to its folder; boxes are in the style used for training.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for split, part in (("train", scenes.learnt), ("validation", scenes.judging)):
        for scene in part:
            number = len(images) + 1
            name = os.path.relpath(scene.path, path.parent)
            images.append({"id": number, "file_name": name, "source": scene.source, "split": split})
            for ignore, boxes in ((0, scene.faces), (1, scene.ignored)):
                for x1, y1, x2, y2 in boxes.tolist():
                    box = [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]
                    one = {"id": len(annotations) + 1, "image_id": number, "category_id": 1, "bbox": box}
                    annotations.append(one | ({"ignore": 1} if ignore else {}))
    content = {"categories": [CATEGORY], "images": images, "annotations": annotations}
    path.write_text(json.dumps(content), encoding="utf-8")
