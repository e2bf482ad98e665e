"""Quality: lower for everything that hides how a mask is worn."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from edge_agent.domain import Box, Face, Image
from edge_agent.vision.quality import LOWEST, face_quality
from tests.faces import COLLINS, HOPPER, face_box, scene

PLACE = (200.0, 60.0)


def a_picture(*, scale: float = 0.8) -> tuple[Image, Face]:
    """A clearly visible person in front of a wall."""
    image, (box,) = scene((COLLINS, False, scale, PLACE))
    return image, Face(box, 0.9)


def test_a_large_sharp_face_in_good_light_has_full_quality():
    assert face_quality(*a_picture()) == 1.0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda image: cv2.GaussianBlur(image, (0, 0), 8),
        lambda image: (image * 0.08).astype(np.uint8),
        lambda image: np.clip(image.astype(int) + 130, 0, 255).astype(np.uint8),
        lambda image: (128 + 0.1 * (image.astype(int) - 128)).astype(np.uint8),
    ],
    ids=["blurred", "dark", "bright", "flat"],
)
def test_a_darkened_blurred_or_flat_face_has_lower_quality(spoil):
    image, face = a_picture()

    assert LOWEST <= face_quality(spoil(image), face) < 0.7


def test_quality_grows_with_the_face():
    qualities = [face_quality(*a_picture(scale=scale)) for scale in (0.05, 0.1, 0.2, 0.4)]

    assert qualities == sorted(qualities)
    assert qualities[0] < 0.5 < qualities[-1]


def test_a_face_cut_off_by_the_edge_of_the_picture_has_half_the_quality():
    image, face = a_picture()
    cut = image[:, round(face.box.x1) :]
    box = Box(0, face.box.y1, face.box.width_px, face.box.y2)

    assert face_quality(np.ascontiguousarray(cut), Face(box, 0.9)) == pytest.approx(0.5)


def test_low_face_scores_and_profiles_have_lower_quality():
    image, face = a_picture()
    x, _ = face.box.centre
    narrow = Box(x - 0.25 * face.box.height_px, face.box.y1, x + 0.25 * face.box.height_px, face.box.y2)

    assert face_quality(image, Face(face.box, 0.35)) == pytest.approx(0.5)
    assert face_quality(image, Face(narrow, 0.9)) < 0.7


def test_a_box_outside_the_picture_has_the_lowest_quality():
    image, _ = a_picture()

    assert face_quality(image, Face(Box(-300, -300, -200, -200), 0.9)) == LOWEST
    assert face_quality(image, Face(Box(10, 10, 10, 10), 0.0)) == LOWEST


def test_a_masked_face_has_the_quality_of_a_bare_one():
    """Otherwise masked and bare faces would contribute different evidence."""
    image, (box,) = scene((HOPPER, True, 0.5, PLACE))

    assert box == face_box(HOPPER, scale=0.5, at=PLACE)
    assert face_quality(image, Face(box, 0.9)) == 1.0


def test_the_quality_is_computed_quickly():
    image, face = a_picture()
    times = []
    for _ in range(50):
        began = time.perf_counter()
        face_quality(image, face)
        times.append(time.perf_counter() - began)

    # It takes 0.05 to 0.2 ms; the best of fifty runs, because the machine may be busy.
    assert min(times) < 0.002
