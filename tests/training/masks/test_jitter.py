"""Jitter: variations by other detectors and more distant cameras."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from edge_agent.domain import Box
from training.masks.jitter import FaceCropper, jittered
from training.masks.recipe import JitterRecipe

VIEW = FaceCropper(margin_fraction=0.25, input_px=48)
STILL = JitterRecipe(shift_fraction=0, scale_fraction=0, aspect_fraction=0, distance_share=0, jpeg_share=0)
BOX = Box(60, 60, 140, 150)


def an_image() -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)


def detail(pixels: np.ndarray[Any, Any]) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def test_without_jitter_the_pixels_are_those_of_the_device():
    pixels = jittered(an_image(), BOX, whole=False, cropper=VIEW, recipe=STILL, random=np.random.default_rng(1))

    assert np.array_equal(pixels, VIEW.crop(an_image(), BOX, whole=False))


def test_a_distant_face_has_less_detail():
    far = STILL.model_copy(update={"distance_share": 1.0, "min_face_px": 8.0})
    random = np.random.default_rng(1)
    near = detail(VIEW.crop(an_image(), BOX, whole=False))

    seen = [detail(jittered(an_image(), BOX, whole=False, cropper=VIEW, recipe=far, random=random)) for _ in range(20)]

    assert np.median(seen) < near / 2
    assert min(seen) < near / 10


def test_the_box_moves_and_changes_its_size():
    moved = STILL.model_copy(update={"shift_fraction": 0.1, "scale_fraction": 0.2})
    random = np.random.default_rng(1)

    seen = [jittered(an_image(), BOX, whole=False, cropper=VIEW, recipe=moved, random=random) for _ in range(3)]

    assert not np.array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[1], seen[2])


def test_the_same_seed_gives_the_same_pixels():
    one, other = (
        jittered(an_image(), BOX, whole=False, cropper=VIEW, recipe=JitterRecipe(), random=np.random.default_rng(7))
        for _ in range(2)
    )

    assert np.array_equal(one, other)


def test_a_whole_picture_gets_no_margin():
    image = an_image()

    assert np.array_equal(
        VIEW.crop(image, Box(0, 0, 200, 200), whole=True),
        cv2.cvtColor(cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB),
    )
