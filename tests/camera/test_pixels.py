"""Pixels: every format is converted to BGR uint8."""

import numpy as np
import pytest

from edge_agent.camera.pixels import as_bgr


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_colour_and_transparent_pictures_are_converted_to_8_bit_bgr(shape, dtype):
    pixels = np.full(shape, 200 * (257 if dtype == np.uint16 else 1), dtype)

    image = as_bgr(pixels)

    assert image.shape == (4, 6, 3)
    assert image.dtype == np.uint8
    assert (image == 200).all()


@pytest.mark.parametrize("pixels", [np.zeros((4, 6, 3), np.float32), np.zeros((4, 6, 2), np.uint8)])
def test_an_array_that_is_not_a_picture_is_rejected(pixels):
    with pytest.raises(ValueError, match="not grey, BGR or BGRA"):
        as_bgr(pixels)
