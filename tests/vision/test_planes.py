"""Planes: the same picture in BGR, whole, in parts and scaled down."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge_agent.config.model import Config, MotionConfig
from edge_agent.domain import Box, Face, Frame
from edge_agent.vision.motion import MotionGate
from edge_agent.vision.planes import ColourSpace, Planes
from edge_agent.vision.quality import face_quality
from edge_agent.vision.tensors import cut_region
from edge_agent.wiring import open_models
from tests.faces import COLLINS, HOPPER, scene, street
from tests.values import NOON

WIDTH_PX, HEIGHT_PX = 640, 360
LIMITED_709 = ColourSpace("bt709", is_full_range=False)
# Published coefficients: of luma, of V in red, of U and V in green, and of U in blue.
COEFFICIENTS = {
    ColourSpace("bt601", is_full_range=False): (1.164, 1.596, -0.392, -0.813, 2.017),
    LIMITED_709: (1.164, 1.793, -0.213, -0.533, 2.112),
    ColourSpace("bt601", is_full_range=True): (1.0, 1.402, -0.344, -0.714, 1.772),
    ColourSpace("bt709", is_full_range=True): (1.0, 1.5748, -0.1873, -0.4681, 1.8556),
}


def converted(planes):
    """Convert to BGR pixel by pixel; four pixels share a chroma sample."""
    scale, v_red, u_green, v_green, u_blue = COEFFICIENTS[planes.colour]
    luma = scale * (planes.luma.astype(float) - (0 if planes.colour.is_full_range else 16))
    u, v = (plane.repeat(2, axis=0).repeat(2, axis=1).astype(float) - 128 for plane in (planes.u, planes.v))
    return np.clip(np.stack([luma + u_blue * u, luma + u_green * u + v_green * v, luma + v_red * v], axis=2), 0, 255)


def a_picture():
    """A BGR picture of smooth colours."""
    small = np.random.default_rng(4).integers(0, 255, (9, 16, 3), np.uint8)
    return cv2.resize(small, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)


def planes_of(picture, colour=LIMITED_709):
    """Planes as a decoder returns them: rows in memory are longer than the picture is wide."""
    scale, v_red, u_green, v_green, u_blue = COEFFICIENTS[colour]
    to_bgr = np.array([[scale, u_blue, 0], [scale, u_green, v_green], [scale, 0, v_red]])
    yuv = picture @ np.linalg.inv(to_bgr).T + (0 if colour.is_full_range else 16, 128, 128)
    luma, *chroma = cv2.split(yuv)
    size = picture.shape[1] // 2, picture.shape[0] // 2
    planes = [luma, *(cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in chroma)]
    luma, u, v = (np.pad(np.clip(plane.round(), 0, 255).astype(np.uint8), ((0, 0), (0, 32))) for plane in planes)
    return Planes(luma[:, :-32], u[:, :-32], v[:, :-32], colour)


def difference(one, other):
    return np.abs(one.astype(int) - other).max()


@pytest.mark.parametrize("colour", COEFFICIENTS, ids=str)
def test_the_whole_picture_has_the_colours_of_its_standard(colour):
    planes = planes_of(a_picture(), colour)

    found = np.asarray(planes)

    assert found.shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert difference(found, converted(planes)) <= 1
    assert difference(found, a_picture()) < 50
    # Another standard or range differs by more than rounding.
    others = [replace(planes, colour=other) for other in COEFFICIENTS if other != colour]
    assert all(difference(np.asarray(other), found) > 5 for other in others)


def test_black_and_white_are_black_and_white_in_both_ranges():
    for is_full_range, black, white in ((False, 16, 235), (True, 0, 255)):
        luma = np.array([[black, white], [white, black]], np.uint8)
        middle = np.full((1, 1), 128, np.uint8)
        planes = Planes(luma, middle, middle, ColourSpace("bt709", is_full_range))

        assert np.asarray(planes).tolist() == [[[0] * 3, [255] * 3], [[255] * 3, [0] * 3]]
        assert planes.grey(width_px=2, height_px=2).tolist() == [[0, 255], [255, 0]]


def test_grey_levels_darker_than_black_are_black():
    luma, middle = np.full((2, 2), 3, np.uint8), np.full((1, 1), 128, np.uint8)

    assert (
        not Planes(luma, middle, middle, ColourSpace("bt601", is_full_range=False)).grey(width_px=2, height_px=2).any()
    )


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (slice(0, 2), slice(0, 2)),
        (slice(1, 2), slice(1, 2)),
        (slice(3, 100), slice(5, 206)),
        (slice(8, 101), slice(2, 33)),
        (slice(359, 360), slice(639, 640)),
        (slice(None), slice(None)),
        (slice(-7, None), slice(600, 9999)),
    ],
    ids=str,
)
def test_a_region_equals_that_part_of_the_whole_frame(rows, columns):
    planes = planes_of(a_picture())

    assert np.array_equal(planes[rows, columns], np.asarray(planes)[rows, columns])


@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_halving_a_region_equals_halving_the_frame_within_rounding(times):
    planes = planes_of(a_picture())
    width_px, height_px = WIDTH_PX >> times, HEIGHT_PX >> times

    found = planes.halved(width_px=width_px, height_px=height_px)

    whole = cv2.resize(np.asarray(planes), (width_px, height_px), interpolation=cv2.INTER_AREA)
    assert found.shape == (height_px, width_px, 3)
    assert np.abs(found.astype(int) - whole).mean() < 1


def test_a_frame_of_planes_is_cut_measured_and_gated_as_one_in_bgr():
    picture = cv2.resize(street(), (WIDTH_PX, HEIGHT_PX))
    planes = planes_of(picture)
    one, other = (Frame("door", 0, pixels, 0.0, NOON) for pixels in (planes, np.asarray(planes)))
    box = Box(101, 51, 300, 320)

    assert (one.width_px, one.height_px) == (other.width_px, other.height_px) == (WIDTH_PX, HEIGHT_PX)
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.cut(box), other.cut(box))
    assert np.array_equal(cut_region(one.picture, box.grown(0.5)), cut_region(other.picture, box.grown(0.5)))
    assert face_quality(one.picture, Face(box, 0.9)) == face_quality(other.picture, Face(box, 0.9))


def test_the_shipped_models_give_the_same_results_in_planes():
    picture, _ = scene((COLLINS, False, 0.9, (80, 60)), (HOPPER, True, 0.9, (700, 80)), width_px=1280, height_px=720)
    planes = planes_of(picture)
    detector, classifier = open_models(Config())

    faces = detector.detect(planes)

    assert len(faces) == 2
    for face, same in zip(faces, detector.detect(np.asarray(planes)), strict=True):
        assert face.box.overlap(same.box) > 0.9
        assert face.score == pytest.approx(same.score, abs=0.03)
        assert classifier.classify(planes, face.box) == classifier.classify(np.asarray(planes), face.box)
    assert {classifier.classify(planes, face.box).label for face in faces} == {"with_mask", "without_mask"}


def test_motion_is_detected_in_planes_as_in_bgr():
    gates = MotionGate(MotionConfig()), MotionGate(MotionConfig())
    seen = []
    for step in range(4):
        picture = a_picture()
        if step == 2:
            picture[100:200, 100:200] //= 2
        planes = planes_of(picture)
        frames = [Frame("door", step, one, float(step), NOON) for one in (planes, np.asarray(planes))]
        seen.append([gate.sees_change(frame) for gate, frame in zip(gates, frames, strict=True)])

    assert seen == [[True, True], [False, False], [True, True], [False, False]]


def test_planes_take_half_of_the_memory():
    planes = planes_of(a_picture())

    assert 2 * planes.nbytes == np.asarray(planes).nbytes
