"""Transform: rotate, flip and crop, in this order."""

import numpy as np
import pytest

from edge_agent.camera.transform import transform
from edge_agent.config.model import CameraConfig

# Four by three pixels, each with its own number.
PICTURE = np.repeat(np.arange(12, dtype=np.uint8).reshape(3, 4, 1), 3, axis=2)


def transformed(image, config):
    return np.asarray(transform(image, config))


def numbers(**keys):
    return transformed(PICTURE, CameraConfig(**keys))[:, :, 0].tolist()


def test_an_unchanged_picture_is_not_copied():
    assert transformed(PICTURE, CameraConfig()) is PICTURE


@pytest.mark.parametrize(
    ("degrees", "top_row"), [(0, [0, 1, 2, 3]), (90, [8, 4, 0]), (180, [11, 10, 9, 8]), (270, [3, 7, 11])]
)
def test_rotation_is_clockwise(degrees, top_row):
    assert numbers(rotate=degrees)[0] == top_row


def test_flip_is_horizontal_or_vertical():
    assert numbers(flip="horizontal")[0] == [3, 2, 1, 0]
    assert numbers(flip="vertical")[0] == [8, 9, 10, 11]


def test_the_picture_is_cropped_to_the_roi():
    assert numbers(roi=(0.5, 0, 1, 0.67)) == [[2, 3], [6, 7]]


def test_the_roi_refers_to_the_rotated_and_flipped_picture():
    assert numbers(rotate=90, flip="horizontal", roi=(0, 0, 0.34, 0.25)) == [[0]]


def test_a_roi_smaller_than_a_pixel_is_one_pixel():
    assert numbers(roi=(0.999, 0.999, 1, 1)) == [[11]]


def test_the_result_is_accepted_by_opencv():
    image = transformed(PICTURE, CameraConfig(rotate=90, flip="vertical", roi=(0, 0, 0.5, 0.5)))

    assert image.flags.c_contiguous
    assert image.dtype == np.uint8
