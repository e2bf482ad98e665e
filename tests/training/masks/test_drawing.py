"""Drawing: masks and beards drawn on faces."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from edge_agent.domain import Box
from training.masks.drawing import Head, Wearing, choose_style, draw_mask
from training.masks.landmarks import FaceLandmarks

SKIN = 140


def a_face(*, degrees: float = 0.0, turn_px: float = 0.0) -> FaceLandmarks:
    """Landmarks of an upright face in the middle of 200x200, turned by some degrees about its middle."""
    upright = np.array([[85, 80], [115, 80], [100 + turn_px, 100], [88, 115], [112, 115]], float)
    angle = np.radians(degrees)
    turned = (upright - 100) @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) + 100
    return FaceLandmarks(Box(65, 55, 135, 140), 0.9, *turned)


def changed(face: FaceLandmarks, wearing: Wearing, seed: int = 1) -> np.ndarray[Any, Any]:
    """Where a mask without loops changes a grey picture: shape (200, 200)."""
    style = choose_style(np.random.default_rng(seed), wearing=wearing)
    image = np.full((200, 200, 3), SKIN, np.uint8)
    return np.asarray(np.abs(draw_mask(image, face, style).astype(int) - SKIN).max(axis=2) > 12)


def covered(face: FaceLandmarks, wearing: Wearing, v: float) -> float:
    """How often, of ten masks, the middle of the face at a height v is covered."""
    head = Head.of(face)
    x, y = head.to_pixels(head.ridge(np.array([v])), np.array([v]))[0].round().astype(int)
    return float(np.mean([changed(face, wearing, seed)[y, x] for seed in range(10)]))


def test_pixel_and_head_coordinates_convert_into_each_other():
    head = Head.of(a_face(degrees=30, turn_px=4))
    u, v = np.array([0.3, -0.8]), np.array([0.5, 1.6])

    points = head.to_pixels(u, v)

    assert np.allclose(head.to_head(points[:, 0], points[:, 1]), (u, v))


@pytest.mark.parametrize(
    ("wearing", "nose", "lips", "chin"),
    [("properly", True, True, True), ("nose_free", False, True, True), ("chin_only", False, False, True)],
)
def test_a_mask_covers_the_parts_of_the_face_that_its_wearing_determines(wearing, nose, lips, chin):
    for v, wanted in ((0.57, nose), (1.02, lips), (1.55, chin)):
        share = covered(a_face(), wearing, v)
        assert share >= 0.9 if wanted else share <= 0.1, f"v {v}: {share}"


def test_under_the_chin_leaves_the_whole_face_free():
    assert covered(a_face(), "under_the_chin", 1.2) <= 0.1
    assert covered(a_face(), "under_the_chin", 1.85) >= 0.9


@pytest.mark.parametrize("degrees", [0, 35, -60])
def test_a_mask_turns_with_the_head(degrees):
    ys, xs = np.nonzero(changed(a_face(degrees=degrees), "properly"))
    down = Head.of(a_face(degrees=degrees)).down

    middle = np.array([xs.mean(), ys.mean()]) - 100

    assert np.dot(middle, down) / (np.linalg.norm(middle) * np.linalg.norm(down)) > 0.85


def test_a_mask_on_a_turned_face_is_narrower_on_the_far_side():
    mask = changed(a_face(turn_px=10), "nose_free")
    columns = np.nonzero(mask.any(axis=0))[0]

    assert columns.max() - 100 < 100 - columns.min()


@pytest.mark.parametrize("wearing", get_args(Wearing))
def test_a_face_at_the_edge_of_the_picture_is_no_error(wearing):
    face = a_face()
    image = np.full((110, 105, 3), SKIN, np.uint8)

    for seed in range(10):
        drawn = draw_mask(image, face, choose_style(np.random.default_rng(seed), wearing=wearing))
        assert drawn.shape == image.shape


def test_the_picture_outside_of_the_mask_is_unchanged():
    image = np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)

    drawn = draw_mask(image, a_face(), choose_style(np.random.default_rng(3), wearing="nose_free"))

    assert np.array_equal(drawn[:60], image[:60])
    assert not np.array_equal(drawn[100:140, 90:110], image[100:140, 90:110])


def test_a_mask_in_a_dark_picture_is_dark():
    style = choose_style(np.random.default_rng(1), wearing="properly")
    bright, dark = (
        draw_mask(np.full((200, 200, 3), level, np.uint8), a_face(), style)[110:130, 95:105].mean()
        for level in (190, 50)
    )

    assert dark < bright / 1.5
