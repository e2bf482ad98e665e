"""A predictable face detector: every sufficiently red cell of 32 px is a face as large as the cell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from training.coco import CocoFile

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.domain import Image

STRIDES = (8, 16, 32)
WIDTH_PX, HEIGHT_PX = 128, 96
FACE = (64, 32, 96, 64)
"""Where `a_scene` has its face: x1, y1, x2, y2."""


def red_cells(*, threshold: float = 150.0) -> Any:
    """The network; faces are redder than the threshold."""
    import keras

    pixels = keras.Input((None, None, 3))
    outputs = {}
    for stride in STRIDES:
        cells = keras.layers.AveragePooling2D(stride)(pixels)
        slope = 0.2 if stride == 32 else 0.0
        kernel = np.zeros((1, 1, 3, 2), np.float32)
        kernel[0, 0, 2] = slope
        logits = keras.layers.Conv2D(2, 1, name=f"logits_{stride}")
        outputs[f"logits_{stride}"] = logits(cells)
        logits.set_weights([kernel, np.full(2, -slope * threshold if slope else -9.0, np.float32)])
        boxes = keras.layers.Conv2D(4, 1, name=f"boxes_{stride}")
        outputs[f"boxes_{stride}"] = boxes(cells)
        boxes.set_weights([np.zeros((1, 1, 3, 4), np.float32), np.array([0.5, 0.5, 0, 0], np.float32)])
    return keras.Model(pixels, outputs)


def a_run(folder: Path, *, threshold: float = 150.0) -> Path:
    """Write a run as `edge-train faces` does; returns the folder."""
    folder.mkdir(parents=True)
    red_cells(threshold=threshold).save(folder / "model.keras")
    said = {
        "name": "faces",
        "kind": "face_detector",
        "strides": list(STRIDES),
        "training_data": ["street"],
        "validation": {"all": {"ap_50_16px": 0.9}},
    }
    (folder / "run.json").write_text(json.dumps(said))
    return folder


def a_scene(*, red: int = 255) -> Image:
    """A dark picture with one face."""
    picture = np.full((HEIGHT_PX, WIDTH_PX, 3), 60, np.uint8)
    x1, y1, x2, y2 = FACE
    picture[y1:y2, x1:x2] = (255, 255, red)
    return picture


def write_scenes(folder: Path, *, splits: tuple[str, ...] = ("train", "test"), count: int = 2) -> Path:
    """Write this many scenes of each split and their COCO file."""
    folder.mkdir(parents=True)
    path = folder / "annotations.json"
    scenes = CocoFile(path, ["face"])
    for number in range(count * len(splits)):
        picture = folder / f"{number}.png"
        cv2.imwrite(str(picture), a_scene())
        scenes.add_picture(picture, source="street", split=splits[number % len(splits)])
        scenes.add_face(picture, FACE, category="face")
    scenes.write()
    return path


def write_noise(folder: Path, *, count: int = 24) -> Path:
    """Write pictures for calibration."""
    folder.mkdir()
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(noise, (160, 120)))
    return folder
