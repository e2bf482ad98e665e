"""Annotation: results are drawn into a copy."""

import numpy as np

from edge_agent.domain import Box
from edge_agent.vision.annotation import COLOURS, annotate


def test_the_box_is_drawn_in_the_colour_of_its_label_and_the_original_stays():
    image = np.zeros((200, 300, 3), np.uint8)

    drawn = annotate(image, [(Box(50, 60, 120, 150), "without_mask", 0.93)])

    assert image.max() == 0
    assert tuple(int(value) for value in drawn[149, 80]) == COLOURS["without_mask"]


def test_a_label_fits_into_the_picture_at_every_edge():
    image = np.zeros((60, 80, 3), np.uint8)
    for box in (Box(-5, -5, 20, 20), Box(70, 50, 90, 70), Box(0, 0, 80, 60)):
        assert annotate(image, [(box, "mask_worn_incorrectly", 1.0)]).shape == image.shape
