"""Augmentation: boxes are transformed with their picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from training.faces.augment import Sample, degraded, flipped, mosaic, rotated, single_picture
from training.faces.recipe import AugmentationRecipe

NOTHING = np.zeros((0, 4), np.float32)
BOX = np.array([[60, 40, 100, 90]], np.float32)


def a_sample(width: int = 200, height: int = 150) -> Sample:
    """A black picture with one white box, which is its face."""
    image = np.zeros((height, width, 3), np.uint8)
    x1, y1, x2, y2 = BOX[0].astype(int)
    image[y1:y2, x1:x2] = 255
    return Sample(image, BOX.copy(), NOTHING)


def shares_of_white(sample: Sample) -> list[float]:
    """How much of each face's box is white."""
    shares = []
    for x1, y1, x2, y2 in np.rint(sample.faces).astype(int):
        shares.append(float((sample.pixels[y1:y2, x1:x2] > 127).mean()))
    return shares


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("plain_share", [0.0, 1.0])
def test_a_box_stays_on_its_face_at_every_scale(seed, plain_share):
    recipe = AugmentationRecipe(canvas=128, plain_share=plain_share)

    shown = single_picture(a_sample(), recipe, np.random.default_rng(seed))

    assert shown.pixels.shape == (128, 128, 3)
    # A face that the edge cuts is ignored, if too little of it is left.
    assert len(shown.faces) + len(shown.ignored) == 1
    for share, (x1, y1, x2, y2) in zip(shares_of_white(shown), shown.faces, strict=True):
        # A pixel on every side is the most that rounding may cost.
        assert share > 1 - 5 / min(x2 - x1, y2 - y1)


@pytest.mark.parametrize("seed", range(20))
def test_boxes_stay_on_the_faces_of_a_mosaic(seed):
    recipe = AugmentationRecipe(canvas=192, min_face_px=0)

    canvas = mosaic([a_sample() for _ in range(4)], recipe, np.random.default_rng(seed))

    assert len(canvas.faces) + len(canvas.ignored) >= 4
    for share, (x1, y1, x2, y2) in zip(shares_of_white(canvas), canvas.faces, strict=True):
        assert share > 1 - 5 / min(x2 - x1, y2 - y1)


def test_a_mirrored_picture_has_mirrored_boxes():
    mirrored = flipped(a_sample(), AugmentationRecipe(flip_share=1.0), np.random.default_rng(0))

    assert mirrored.faces.tolist() == [[100, 40, 140, 90]]
    assert shares_of_white(mirrored) == [1.0]


@pytest.mark.parametrize("seed", range(10))
def test_the_box_of_a_turned_picture_is_the_one_around_the_turned_face(seed):
    image = np.zeros((150, 200, 3), np.uint8)
    cv2.ellipse(image, (80, 65), (20, 25), 0, 0, 360, (255, 255, 255), cv2.FILLED)
    recipe = AugmentationRecipe(rotation_share=1.0, rotation_degrees=40.0)

    shown = rotated(Sample(image, BOX.copy(), BOX.copy()), recipe, np.random.default_rng(seed))

    rows, columns = np.nonzero(shown.pixels[..., 0] > 127)
    white = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert shown.faces[0] == pytest.approx(white, abs=2)
    assert shown.ignored[0] == pytest.approx(white, abs=2)


def test_faces_too_small_for_training_become_ignored_regions():
    recipe = AugmentationRecipe(canvas=64, plain_share=1.0, min_face_px=20)

    shown = single_picture(a_sample(), recipe, np.random.default_rng(0))

    assert len(shown.faces) == 0
    assert len(shown.ignored) == 1


def test_weather_keeps_the_shape_and_changes_the_pixels():
    image = cv2.resize(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8), (64, 64))
    everything = AugmentationRecipe(night_share=1.0, blur_share=1.0, noise_share=1.0, jpeg_share=1.0, grey_share=1.0)

    other = degraded(np.asarray(image, np.uint8), everything, np.random.default_rng(1))

    assert other.shape == image.shape
    assert other.dtype == np.uint8
    assert (other != image).any()


def test_a_picture_without_faces_is_shown_as_well():
    empty = Sample(np.full((90, 300, 3), 50, np.uint8), NOTHING, NOTHING)

    shown = single_picture(empty, AugmentationRecipe(canvas=96, plain_share=0.0), np.random.default_rng(3))

    assert shown.pixels.shape == (96, 96, 3)
    assert shown.pixels.any()
