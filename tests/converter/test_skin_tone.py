"""Skin tone: faces are sorted by lightness."""

from __future__ import annotations

import numpy as np
import pytest

from converter.skin_tone import thirds_of, typology_angle
from edge_agent.domain import Box

FACE = Box(20, 20, 80, 100)


def of_one_colour(bgr):
    return np.full((120, 100, 3), bgr, np.uint8)


def test_the_angle_is_computed_from_the_colour():
    # sRGB 200, 160, 120 is L* 69.0, a* 10.4, b* 26.4 (D65).
    assert typology_angle(of_one_colour((120, 160, 200)), FACE) == pytest.approx(35.7, abs=1.0)


def test_lighter_skin_has_a_larger_angle():
    shades = ((50, 70, 100), (100, 140, 190), (180, 205, 235))

    angles = [typology_angle(of_one_colour(bgr), FACE) or 0.0 for bgr in shades]

    assert angles[0] < 0 < angles[1] < angles[2]


def test_a_mask_or_hair_around_the_cheeks_changes_nothing():
    image = of_one_colour((120, 160, 200))
    plain = typology_angle(image, FACE)
    image[:45], image[75:] = 0, 255

    assert typology_angle(image, FACE) == plain


def test_a_face_outside_its_picture_has_no_angle():
    assert typology_angle(of_one_colour((120, 160, 200)), Box(-90, -90, -10, -10)) is None


def test_angles_are_grouped_by_thirds():
    thirds = thirds_of([-20.0, 50.0, None, 10.0, 12.0, -25.0, 60.0])

    assert thirds == [
        "darkest third", "lightest third", None, "middle third", "middle third", "darkest third", "lightest third",
    ]  # fmt: skip
    assert thirds_of([1.0, None]) == [None, None]
