"""Tensors: the classifier gets the same pixels everywhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.domain import Box
from edge_agent.vision.card import RESAMPLINGS, InputCard, OutputCard
from edge_agent.vision.tensors import (
    cut_region,
    face_pixels,
    face_region,
    input_conversion,
    probabilities,
    resize,
)

PICTURE = np.arange(40 * 60 * 3, dtype=np.uint32).reshape(40, 60, 3).astype(np.uint8)


def an_input(dtype: str, *, zero_point: float = 127.5) -> InputCard:
    return InputCard.model_validate(
        {"width": 96, "height": 96, "dtype": dtype, "scale": 1 / 127.5, "zero_point": zero_point}
    )


def test_the_region_is_a_square_around_the_middle_with_the_margin_on_every_side():
    assert face_region(Box(10, 20, 30, 60), margin_fraction=0.25) == Box(-10, 10, 50, 70)


def test_a_region_inside_is_cut_out_as_it_is():
    assert np.array_equal(cut_region(PICTURE, Box(5, 7, 25, 17)), PICTURE[7:17, 5:25])


def test_pixels_outside_repeat_the_edge():
    cut = cut_region(PICTURE, Box(-3, -2, 4, 5))

    assert cut.shape == (7, 7, 3)
    assert np.array_equal(cut[2:, 3:], PICTURE[:5, :4])
    assert (cut[:3, :4] == PICTURE[0, 0]).all()


regions = st.builds(Box, *[st.floats(-200, 200)] * 4)


@given(regions)
def test_every_region_is_cut_to_its_size_with_at_least_one_pixel(region: Box):
    x1, y1, x2, y2 = region.as_ints()

    assert cut_region(PICTURE, region).shape == (max(y2 - y1, 1), max(x2 - x1, 1), 3)


def test_shrinking_averages_without_aliasing():
    stripes = np.zeros((100, 100, 3), np.uint8)
    stripes[:, ::2] = 200

    assert resize(stripes, width_px=10, height_px=10).std() < 1


def test_pixels_come_in_the_colour_order_of_the_model():
    blue = np.full((10, 10, 3), (255, 0, 0), np.uint8)
    region = Box(0, 0, 10, 10)

    assert tuple(face_pixels(blue, region, width_px=4, height_px=4)[0, 0]) == (0, 0, 255)
    assert tuple(face_pixels(blue, region, width_px=4, height_px=4, colour_order="bgr")[0, 0]) == (255, 0, 0)


EVERY_PIXEL = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)


def test_for_models_of_this_project_preprocessing_is_only_a_resize():
    card = an_input("uint8", zero_point=127)

    assert np.shares_memory(input_conversion(card, scale=1 / 127.5, zero_point=127)(EVERY_PIXEL), EVERY_PIXEL)


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "middle"),
    [
        ("uint8", 1 / 127.5, 127, 127.5),
        ("uint8", 1 / 127.5, 128, 127.5),
        ("int8", 1 / 127.5, -1, 127.0),
        ("int8", 1 / 127.5, 0, 127.5),
        ("float32", 0.0, 0, 127.5),
    ],
)
def test_every_pixel_gets_the_value_that_the_tensor_has_for_it(dtype, scale, zero_point, middle):
    card = an_input(dtype, zero_point=middle)

    values = input_conversion(card, scale=scale, zero_point=zero_point)(EVERY_PIXEL)

    assert (values.shape, values.dtype.name) == ((1, 16, 16, 3), dtype)
    real = (values[0].astype(float) - zero_point) * scale if scale else values[0]
    # A step, as 127.5 lies between two of them.
    assert np.abs(real - (EVERY_PIXEL.astype(float) - middle) / 127.5).max() <= 1.01 / 127.5


def test_outputs_become_probabilities_that_sum_to_one():
    card = OutputCard(dtype="uint8", scale=1 / 256, zero_point=0)

    shares = probabilities(np.array([[255, 0, 1]], np.uint8), card, temperature=1.0)

    assert shares.sum() == pytest.approx(1)
    assert shares[0] > 0.99
    assert shares.min() > 0


def test_a_temperature_above_one_lowers_confidence_and_keeps_the_order():
    card = OutputCard(dtype="float32", scale=1.0)
    output = np.array([[0.9, 0.07, 0.03]], np.float32)

    sure, less_sure = (probabilities(output, card, temperature=value) for value in (1.0, 2.0))

    assert less_sure[0] < sure[0]
    assert np.argsort(less_sure).tolist() == np.argsort(sure).tolist()


def test_pictures_of_one_row_or_column_are_accepted():
    for shape in ((1, 50, 3), (50, 1, 3)):
        pixels = face_pixels(np.zeros(shape, np.uint8), Box(-5, -5, 60, 60), width_px=96, height_px=96)
        assert pixels.shape == (96, 96, 3)


def test_a_resize_keeps_a_flat_colour_exactly():
    flat = np.full((37, 53, 3), 77, np.uint8)

    assert (resize(flat, width_px=96, height_px=96) == 77).all()


def test_pictures_are_scaled_down_by_the_mean_or_between_the_nearest_pixels():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::4] = 200
    region = Box(0, 0, 64, 64)

    by_mean = face_pixels(stripes, region, width_px=16, height_px=16)
    by_nearest = face_pixels(stripes, region, width_px=16, height_px=16, resampling="linear")

    assert np.unique(by_mean).tolist() == [50]
    assert np.unique(by_nearest).tolist() == [0]


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_small_pictures_are_scaled_up_alike(resampling):
    picture = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)

    assert np.array_equal(
        resize(picture, width_px=20, height_px=20, resampling=resampling), resize(picture, width_px=20, height_px=20)
    )
