"""Fixtures of the training tests: small drawn faces that a network can learn to distinguish in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from training.masks.recipe import MaskRecipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIDE_PX = 48
MASK = (200, 160, 60)
BARE = (120, 150, 200)


def a_face(*, covered: bool, seed: int) -> np.ndarray[Any, Any]:
    """A skin-coloured disc with pupils on a noisy background, its lower half blue if covered: BGR, uint8."""
    random = np.random.default_rng(seed)
    image = cv2.resize(random.integers(0, 256, (6, 6, 3), np.uint8), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    centre = (SIDE_PX // 2 + int(random.integers(-3, 4)), SIDE_PX // 2 + int(random.integers(-3, 4)))
    cv2.circle(image, centre, 18, BARE, -1)
    for side in (-7, 7):
        cv2.circle(image, (centre[0] + side, centre[1] - 5), 2, (20, 20, 20), -1)
    if covered:
        cv2.rectangle(image, (centre[0] - 14, centre[1]), (centre[0] + 14, centre[1] + 14), MASK, -1)
    return image


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    """Twenty pictures of each label."""
    return write_class_folders(tmp_path / "faces", count=20)


def write_class_folders(folder: Path, *, count: int) -> Path:
    """Write pictures of each label as PNG."""
    for number, label in enumerate(("with_mask", "without_mask")):
        (folder / label).mkdir(parents=True)
        for index in range(count):
            image = a_face(covered=label == "with_mask", seed=1000 * number + index)
            cv2.imwrite(str(folder / label / f"{index:03d}.png"), image)
    return folder


TINY = {
    "name": "tiny",
    "labels": ["with_mask", "without_mask"],
    "margin_fraction": 0.0,
    "model": {"architecture": "cnn", "input_size": 32, "weights": "scratch"},
    "validation": {"fraction": 0.3, "duplicate_bits": 0},
    "schedule": {"epochs": 2, "faces_per_epoch": 32, "batch_size": 8},
}
"""The plain network at 32 px, of which an epoch takes a second."""


@pytest.fixture
def tiny_recipe(class_folders: Path) -> Callable[..., MaskRecipe]:
    """A recipe of the plain network; given keys override its own."""

    def make(**changed: object) -> MaskRecipe:
        data = [{"folders": str(class_folders)}]
        jitter = {"min_face_px": 16, "distance_share": 0.3}
        return MaskRecipe.model_validate({**TINY, "data": data, "jitter": jitter, **changed})

    return make
