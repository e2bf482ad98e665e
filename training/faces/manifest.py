"""Manifest: records the training and validation scenes of a run, for the conversion of its detector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.coco import CocoFile

if TYPE_CHECKING:
    from pathlib import Path

    from training.faces.scenes import SceneSet

CATEGORY = "face"


def write_manifest(scenes: SceneSet, path: Path) -> None:
    """Write the scenes as a COCO file, with splits `train` and `validation`; boxes are in the style of training."""
    manifest = CocoFile(path, [CATEGORY])
    for split, part in (("train", scenes.train), ("validation", scenes.validation)):
        for scene in part:
            manifest.add_picture(scene.path, source=scene.source, split=split)
            for ignore, boxes in ((False, scene.faces), (True, scene.ignored)):
                for corners in boxes.tolist():
                    manifest.add_face(scene.path, corners, category=CATEGORY, ignore=ignore)
    manifest.write()
