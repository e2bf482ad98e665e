"""Letterbox: any picture fits any input as a whole, and scales back by one factor."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_agent.vision.detector.scaling import letterboxed


def test_a_picture_fills_one_side_and_the_rest_is_black():
    boxed, back = letterboxed(np.full((100, 400, 3), 200, np.uint8), width_px=320, height_px=256)

    assert boxed.shape == (256, 320, 3)
    assert (boxed[:80] == 200).all()
    assert not boxed[80:].any()
    assert back == pytest.approx(400 / 320)


def test_a_small_picture_is_scaled_up():
    boxed, back = letterboxed(np.full((30, 40, 3), 7, np.uint8), width_px=320, height_px=240)

    assert (boxed == 7).all()
    assert back == pytest.approx(1 / 8)


@pytest.mark.parametrize("shape", [(1, 8000), (8000, 1), (1, 1), (3000, 20)])
def test_a_thin_picture_keeps_a_row_and_a_column(shape):
    boxed, _ = letterboxed(np.full((*shape, 3), 9, np.uint8), width_px=320, height_px=256)

    assert boxed.shape == (256, 320, 3)
    assert boxed.max() == 9


@pytest.mark.parametrize("width_px", [160, 192, 224, 288])
def test_a_line_of_one_pixel_survives_downscaling(width_px):
    for column in range(320):
        picture = np.zeros((240, 320, 3), np.uint8)
        picture[:, column] = 255

        boxed, _ = letterboxed(picture, width_px=width_px, height_px=width_px)

        assert boxed.max() > 40, column


def test_strong_shrinking_averages_all_pixels():
    picture = np.zeros((240, 330, 3), np.uint8)
    picture[:, ::3] = 255

    boxed, _ = letterboxed(picture, width_px=110, height_px=80)

    assert boxed.min() > 0
    assert boxed.mean() == pytest.approx(85, abs=6)


@pytest.mark.parametrize("size", [(1920, 1080), (1281, 963), (2591, 1943), (3840, 2160)])
def test_large_pictures_are_scaled_as_by_the_mean_of_every_pixel(size):
    width_px, height_px = size
    rows, columns = np.mgrid[:height_px, :width_px]
    waves = 127 + 100 * np.sin(columns / width_px * 40) * np.cos(rows / height_px * 30)
    picture = np.repeat(waves.astype(np.uint8)[..., np.newaxis], 3, axis=2)

    boxed, back = letterboxed(picture, width_px=640, height_px=384)

    wanted = cv2.resize(picture, (round(width_px / back), round(height_px / back)), interpolation=cv2.INTER_AREA)
    apart = np.abs(boxed[: wanted.shape[0], : wanted.shape[1]].astype(int) - wanted)
    assert apart.mean() < 2
    assert apart.max() < 8
