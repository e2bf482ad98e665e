"""Beards drawn on faces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.training.masks.test_drawing import SKIN, a_face
from training.masks.beards import BEARD_KINDS, RANGES, BeardKind, BeardStyle, choose_beard, draw_beard
from training.masks.drawing import Head

BLACK = (22, 22, 26)


def style_of(kind: BeardKind) -> BeardStyle:
    top, bottom, half_width, density = (sum(limits) / 2 for limits in RANGES[kind])
    return replace(
        choose_beard(np.random.default_rng(1)),
        kind=kind,
        colour=BLACK,
        grey_share=0.0,
        top=top,
        bottom=bottom,
        half_width=half_width,
        lips=(0.38, 0.1),
        density=density,
    )


def darkened(kind: BeardKind, *, degrees: float = 0.0) -> np.ndarray[Any, Any]:
    """How much darker a beard makes a grey picture: shape (200, 200)."""
    drawn = draw_beard(np.full((200, 200, 3), SKIN, np.uint8), a_face(degrees=degrees), style_of(kind))
    return np.asarray(SKIN - drawn.astype(int).mean(axis=2))


def at(change: np.ndarray[Any, Any], v: float, *, u: float = 0.0, degrees: float = 0.0) -> float:
    """The mean change around a place of the head."""
    x, y = Head.of(a_face(degrees=degrees)).to_pixels(np.array([u]), np.array([v]))[0].round().astype(int)
    return float(change[y - 2 : y + 3, x - 2 : x + 3].mean())


@pytest.mark.parametrize("degrees", [-30, 0, 30])
@pytest.mark.parametrize(
    ("kind", "upper_lip", "chin", "cheek"),
    [
        ("full", True, True, True),
        ("long", True, True, True),
        ("circle", True, True, False),
        ("goatee", False, True, False),
        ("moustache", True, False, False),
    ],
)
def test_a_beard_covers_the_parts_of_the_face_that_its_kind_determines(kind, upper_lip, chin, cheek, degrees):
    change = darkened(kind, degrees=degrees)

    for v, u, wanted in ((0.86, 0.0, upper_lip), (1.5, 0.0, chin), (1.2, 0.68, cheek)):
        darker = at(change, v, u=u, degrees=degrees)
        assert darker > 15 if wanted else darker < 8, f"v {v}, u {u}: {darker}"


@pytest.mark.parametrize("kind", BEARD_KINDS)
def test_eyes_nose_and_lips_stay_free(kind):
    change = darkened(kind)

    for u, v in ((-0.5, 0.0), (0.5, 0.0), (0.0, 0.55), (0.0, 1.03)):
        assert abs(at(change, v, u=u)) < 15, f"v {v}, u {u}"


def test_skin_shows_through_stubble():
    assert 10 < at(darkened("stubble"), 1.5) < 0.7 * at(darkened("full"), 1.5)


def test_the_same_seed_draws_the_same_beard():
    image = np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)
    one, same, other = (choose_beard(np.random.default_rng(seed)) for seed in (3, 3, 4))

    assert np.array_equal(draw_beard(image, a_face(), one), draw_beard(image, a_face(), same))
    assert not np.array_equal(draw_beard(image, a_face(), one), draw_beard(image, a_face(), other))


@pytest.mark.parametrize("size", [(110, 105), (40, 200), (200, 70), (1, 1)])
def test_a_face_at_the_edge_of_the_picture_is_no_error(size):
    image = np.full((*size, 3), SKIN, np.uint8)

    for seed in range(10):
        assert draw_beard(image, a_face(), choose_beard(np.random.default_rng(seed))).shape == image.shape
