"""Scene: the surroundings of one person, with all other faces hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge_agent.alerts.anonymise import LONG_SIDE_PX, draw_scene
from edge_agent.config.model import Config
from edge_agent.domain import Box, Face, Frame, Image, Track
from edge_agent.vision.detector import open_detector
from edge_agent.vision.images import decode_picture
from edge_agent.wiring import hiding_detection, scenes_of
from tests.faces import COLLINS, HOPPER, scene
from tests.values import NOON, a_track

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.domain import Picture

HOPPER_PLACE, COLLINS_PLACE = (0.5, (40, 60)), (0.5, (330, 80))


def finds(*boxes: Box) -> Callable[[object], list[Face]]:
    """A detector that finds these."""
    return lambda _picture: [Face(box, 0.3) for box in boxes]


@pytest.fixture(scope="module")
def hiding() -> Callable[[Picture], list[Face]]:
    """What a device hides by."""
    return hiding_detection(Config(), open_detector(Config().faces))


@pytest.fixture(scope="module")
def two_people() -> tuple[Image, list[Box]]:
    """Hopper and Collins in front of the wall."""
    return scene((HOPPER, False, *HOPPER_PLACE), (COLLINS, False, *COLLINS_PLACE))


def a_frame(image: Image) -> Frame:
    return Frame("door", 0, image, 0.0, NOON)


def tracks(*boxes: Box) -> list[Track]:
    return [a_track(number, face=Face(box, 0.9)) for number, box in enumerate(boxes, start=1)]


def drawn(detect: Callable[[Picture], list[Face]], image: Image, *boxes: Box) -> Image:
    """The scene of an alert about the first of these."""
    return decode_picture(draw_scene(detect, a_frame(image), 1, tracks(*boxes)))


def difference(one: Image, other: Image, box: Box) -> float:
    """Grey levels between two pictures of one size, within a box."""
    x1, y1, x2, y2 = box.as_ints()
    return float(np.abs(one[y1:y2, x1:x2].astype(int) - other[y1:y2, x1:x2]).mean())


def test_the_other_face_is_hidden_and_the_alerted_one_is_not(hiding, two_people):
    image, (hopper, collins) = two_people

    shown = drawn(hiding, image, hopper, collins)

    assert shown.shape == image.shape
    assert difference(shown, image, collins) > 15
    assert difference(shown, image, hopper) < 8
    # The place as well, and all of the other head.
    assert difference(shown, image, Box(560, 0, 640, 360)) < 8
    assert difference(shown, image, Box(collins.x1, collins.y1 - 0.4 * collins.height_px, collins.x2, collins.y1)) > 10


def test_a_face_without_a_track_is_hidden_too(hiding, two_people):
    image, (hopper, collins) = two_people

    shown = drawn(hiding, image, hopper)

    assert difference(shown, image, collins) > 15
    assert difference(shown, image, hopper) < 8


def test_a_face_too_faint_for_alerts_is_hidden(two_people):
    image, (hopper, collins) = two_people
    # Most of it behind the wall.
    x1, y1, x2, y2 = collins.as_ints()
    image, covered = image.copy(), x1 + round(0.7 * (x2 - x1))
    image[y1:y2, x1:covered] = image[: y2 - y1, : covered - x1]
    config = Config()
    alerting = open_detector(config.faces)
    hiding = hiding_detection(config, alerting)
    found, alerted = (
        [face for face in detect(image) if face.box.overlap(collins) > 0.2] for detect in (hiding, alerting.detect)
    )
    assert found
    assert not alerted

    shown = drawn(hiding, image, hopper)

    assert difference(shown, image, Box(covered, y1, x2, y2)) > 15


def test_a_second_detection_of_the_alerted_face_does_not_hide_it(two_people):
    image, (hopper, _) = two_people

    shown = drawn(finds(hopper.grown(0.1)), image, hopper)

    assert difference(shown, image, Box(0, 0, 320, 360)) < 8


def test_a_large_frame_is_scaled_down_with_its_hidden_faces(two_people):
    image, (hopper, collins) = two_people
    large = np.asarray(cv2.resize(image, None, fx=3.0, fy=3.0), np.uint8)

    shown = drawn(finds(), large, *(Box(*(3.0 * side for side in _sides(box))) for box in (hopper, collins)))

    assert shown.shape == (540, LONG_SIDE_PX, 3)
    small, scale = np.asarray(cv2.resize(image, (960, 540)), np.uint8), 1.5
    assert difference(shown, small, Box(*(scale * side for side in _sides(collins)))) > 15
    assert difference(shown, small, Box(*(scale * side for side in _sides(hopper)))) < 8


def test_nothing_is_drawn_if_scenes_are_disabled(two_people):
    image, (hopper, _) = two_people
    draw = scenes_of(Config(), open_detector(Config().faces))

    assert draw(a_frame(image), 1, tracks(hopper)) is None


def _sides(box: Box) -> tuple[float, float, float, float]:
    return box.x1, box.y1, box.x2, box.y2
