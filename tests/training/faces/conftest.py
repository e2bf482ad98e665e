"""What do the tests of the face detector share? Drawn scenes with discs for faces, and recipes that take seconds."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from training.coco import CocoFile
from training.faces.recipe import FaceRecipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.domain import Image

RELEASED = Path(__file__).parents[3] / "models" / "faces.json"
"""Training continues from the shipped detector."""
WIDTH_PX, HEIGHT_PX = 160, 128
SKIN = (120, 150, 200)


def draw_scene(seed: int) -> tuple[Image, list[list[int]]]:
    """A noisy ground with one to three skin-coloured discs: BGR, uint8, and their boxes as x, y, width, height."""
    random = np.random.default_rng(seed)
    image = cv2.resize(
        random.integers(0, 256, (8, 10, 3), np.uint8), (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC
    )
    boxes = []
    for place in range(int(random.integers(1, 4))):
        radius = int(random.integers(9, 22))
        x, y = 26 + 52 * place, int(random.integers(24, HEIGHT_PX - 24))
        cv2.circle(image, (x, y), radius, SKIN, -1)
        cv2.circle(image, (x - radius // 3, y - radius // 4), 2, (20, 20, 20), -1)
        cv2.circle(image, (x + radius // 3, y - radius // 4), 2, (20, 20, 20), -1)
        boxes.append([x - radius, y - radius, 2 * radius, 2 * radius])
    return np.asarray(image, np.uint8), boxes


def write_scenes(folder: Path, *, count: int, split: str = "train", source: str = "drawn") -> Path:
    """Drawn scenes and their COCO file."""
    folder.mkdir(parents=True)
    path = folder / "annotations.json"
    scenes = CocoFile(path, ["with_mask"])
    for number in range(count):
        image, boxes = draw_scene(number)
        picture = folder / f"{number:03d}.png"
        cv2.imwrite(str(picture), image)
        scenes.add_picture(picture, source=source, split=split)
        for x, y, width, height in boxes:
            scenes.add_face(picture, (x, y, x + width, y + height), category="with_mask")
    scenes.write()
    return path


@pytest.fixture
def scenes_file(tmp_path: Path) -> Path:
    """Twenty drawn scenes."""
    return write_scenes(tmp_path / "scenes", count=20)


@pytest.fixture
def tiny_recipe(scenes_file: Path) -> Callable[..., FaceRecipe]:
    """The released detector on small canvases, an epoch in seconds; keys given replace its own."""
    return partial(a_tiny_recipe, scenes_file)


def a_tiny_recipe(scenes: Path, **changed: object) -> FaceRecipe:
    """What `tiny_recipe` makes, for scenes of one's own."""
    keys: dict[str, object] = {
        "name": "tiny",
        "model": {"weights": str(RELEASED)},
        "data": [{"scenes": str(scenes)}],
        "validation": {
            "fraction": 0.2,
            "sources": ["drawn"],
            "selection_sources": ["drawn"],
            "duplicate_bits": 0,
            "width": 160,
            "height": 128,
        },
        "augmentation": {"canvas": 128},
        "schedule": {"batch_size": 2, "steps_per_epoch": 3, "epochs": 2, "warmup_steps": 2},
    }
    return FaceRecipe.model_validate(keys | changed)
