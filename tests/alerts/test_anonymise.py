"""Anonymise: a hidden face cannot be recovered."""

import numpy as np

from edge_agent.alerts.anonymise import without_faces
from edge_agent.domain import Box
from tests.values import noise


def colours(part):
    return len(np.unique(part.reshape(-1, 3), axis=0))


def test_the_face_of_a_bystander_becomes_a_mosaic_of_sixteen_colours():
    image = noise(100, 100)

    hidden = without_faces(image, [Box(20, 20, 60, 60)])

    assert colours(hidden[20:60, 20:60]) <= 16
    # Hair and chin are hidden as well.
    assert colours(hidden[12:20, 12:60]) <= 16
    assert np.array_equal(hidden[75:], image[75:])


def test_nothing_of_a_hidden_face_depends_on_more_than_the_mean_of_its_cells():
    image = noise(64, 64)
    other = image.copy()
    # The same pixels in another order within each cell: another face, the same mosaic.
    for y in range(0, 64, 16):
        for x in range(0, 64, 16):
            other[y : y + 16, x : x + 16] = other[y : y + 16, x : x + 16][::-1, ::-1]

    everything = Box(0, 0, 64, 64)

    assert not np.array_equal(image, other)
    assert np.array_equal(without_faces(image, [everything]), without_faces(other, [everything]))


def test_a_face_at_the_edge_or_outside_the_picture_is_accepted():
    image = noise(50, 50)

    hidden = without_faces(image, [Box(-30, -30, 5, 5), Box(48, 48, 90, 90), Box(200, 200, 220, 220), Box(5, 5, 5, 5)])

    assert hidden.shape == image.shape
    assert np.array_equal(image, noise(50, 50))


def test_the_excepted_face_stays_visible_under_a_hidden_one():
    image = noise(100, 100)

    hidden = without_faces(image, [Box(20, 20, 60, 60)], except_for=Box(30, 30, 50, 50))

    assert np.array_equal(hidden[30:50, 30:50], image[30:50, 30:50])
    assert not np.array_equal(hidden[20:30, 20:60], image[20:30, 20:60])
