"""Liveness: distinguishes pictures on a wall from people."""

from __future__ import annotations

import math
from datetime import timedelta

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.decision.liveness import LivenessFilter
from edge_agent.domain import Box, Face, Frame, Image, Reading, Track
from tests.faces import COLLINS, HOPPER, Portrait, face_box, scene, street
from tests.values import NOON

MARGIN = 0.4
WIDTH_PX, HEIGHT_PX = 320, 180
SIZE = 0.35
"""Scale of the portraits: faces of 30 and 58 px."""


def shown(image: Image, box: Box, *, at: float, track: int = 1) -> Reading:
    """The reading of a face in a picture."""
    frame = Frame("door", 0, image, at, NOON + timedelta(seconds=at))
    seen = Track(track, "door", Face(box, 0.9), 0.0, NOON)
    size = (frame.width_px, frame.height_px)
    around = box.grown(MARGIN)
    place = around.clipped(width_px=frame.width_px, height_px=frame.height_px).as_ints()[:2]
    return Reading(seen, "without_mask", 0.9, {}, at, frame.taken_when, size, 1.0, frame.cut(around), place, ())


def hung(who: Portrait, *, x: float = 80.0, y: float = 20.0, size: float = SIZE) -> tuple[Image, Box]:
    """A portrait in front of a wall."""
    image, (box,) = scene((who, False, size, (x, y)), width_px=WIDTH_PX, height_px=HEIGHT_PX)
    return image, box


class Camera:
    """A camera with the noise of a small sensor and the inaccurate boxes of a detector."""

    def __init__(self, *, noise: float = 4.0, box_jitter_px: float = 0.8, seed: int = 1) -> None:
        self.noise, self.box_jitter_px = noise, box_jitter_px
        self.random = np.random.default_rng(seed)

    def picture(self, image: Image, *, gain: float = 1.0, offset: float = 0.0) -> Image:
        values = image * gain + offset + self.random.normal(0, self.noise, image.shape)
        return np.clip(np.round(values), 0, 255).astype(np.uint8)

    def found(self, box: Box) -> Box:
        dx1, dy1, dx2, dy2 = self.random.normal(0, self.box_jitter_px, 4)
        return Box(box.x1 + dx1, box.y1 + dy1, box.x2 + dx2, box.y2 + dy2)

    def read(self, image: Image, box: Box, *, at: float, track: int = 1) -> Reading:
        return shown(self.picture(image), self.found(box), at=at, track=track)


def swaying(at: float) -> float:
    """Sideways drift of a head that is held still, in widths: at least 1 % a second, as in recordings."""
    return 0.02 * math.sin(1.7 * at) + 0.01 * math.sin(4.1 * at)


def seconds_until_alive(*, frames_per_second: float, camera: Camera, begin: float = 0.0, size: float = SIZE) -> float:
    liveness = LivenessFilter()
    width_px = face_box(HOPPER, scale=size).width_px
    for step in range(round(4 * frames_per_second)):
        at = step / frames_per_second
        image, box = hung(HOPPER, x=80 + width_px * swaying(begin + at), size=size)
        if not liveness.update([camera.read(image, box, at=at)], following={1}):
            return at
    return float("inf")


@pytest.mark.parametrize("frames_per_second", [2, 10, 30])
@pytest.mark.parametrize("begin", [0.0, 0.8, 2.0])
def test_a_person_standing_nearly_still_is_live_within_a_second_and_a_half(frames_per_second, begin):
    assert seconds_until_alive(frames_per_second=frames_per_second, camera=Camera(), begin=begin) <= 1.5


def behind(hand_at: float, image: Image, box: Box) -> Image:
    """A face with a hand in front of it; its centre is at this fraction of the face's height."""
    hand = (round(box.centre[0]), round(box.y1 + hand_at * (box.y2 - box.y1)))
    size = (round(0.55 * box.width_px), round(0.25 * box.width_px))
    return np.asarray(cv2.ellipse(image.copy(), hand, size, 20.0, 0, 360, (90, 120, 190), -1), np.uint8)


HAND = [0.9, 0.5, 0.8, 0.3, 0.7, 1.0, 0.6]
"""Positions of a hand that takes a mask off, frame by frame."""


@pytest.mark.parametrize(("frames_per_second", "seconds"), [(1, 3.0), (2, 1.5), (5, 1.6)])
def test_a_person_with_a_hand_over_the_face_is_live_at_a_low_frame_rate(frames_per_second, seconds):
    liveness = LivenessFilter()
    camera = Camera()
    answers = {}
    for step in range(round(seconds * frames_per_second) + 1):
        at = step / frames_per_second
        image, box = hung(HOPPER, x=80 + face_box(HOPPER, scale=SIZE).width_px * swaying(at))
        seen = behind(HAND[step % len(HAND)], image, box)
        answers[at] = liveness.update([camera.read(seen, box, at=at)], following={1})

    assert answers[max(answers)] == frozenset()
    assert all(answer == {1} for at, answer in answers.items() if at < 1.5)


@pytest.mark.parametrize("frames_per_second", [1, 2, 5, 10])
@pytest.mark.parametrize("track_is_new", [False, True])
def test_a_still_picture_is_not_made_live_by_hands_in_front_of_it(frames_per_second, track_is_new):
    liveness = LivenessFilter()
    camera = Camera()
    image, box = hung(HOPPER)
    seconds_alone = 8 if track_is_new else 1
    for step in range(seconds_alone * frames_per_second + 1):
        liveness.update([camera.read(image, box, at=step / frames_per_second)], following={1})

    track = 1
    if track_is_new:
        track = 2
        liveness.update([camera.read(image, box, at=20.0, track=2)], following={2})
    for step in range(5 * frames_per_second):
        at = 20.5 + step / frames_per_second
        seen = behind(HAND[step % len(HAND)], image, box)
        assert liveness.update([camera.read(seen, box, at=at, track=track)], following={track}) == {track}


@pytest.mark.parametrize("frames_per_second", [1, 2, 10])
def test_noise_does_not_make_a_picture_in_the_dark_live(frames_per_second):
    liveness = LivenessFilter()
    camera = Camera(noise=12.0)
    image, box = hung(HOPPER)
    dark = (20 + image * 0.15).astype(np.uint8)

    for step in range(8 * frames_per_second):
        reading = camera.read(dark, box, at=step / frames_per_second)
        assert liveness.update([reading], following={1}) == {1}


def test_a_walking_person_is_live_at_the_third_reading():
    liveness = LivenessFilter()
    camera = Camera()
    answers = []
    for step in range(3):
        image, box = hung(HOPPER, x=60 + 20 * step)
        answers.append(liveness.update([camera.read(image, box, at=0.5 * step)], following={1}))

    assert answers == [{1}, {1}, frozenset()]


def test_at_one_frame_in_five_seconds_a_person_is_live_at_the_third():
    liveness = LivenessFilter()
    camera = Camera()

    answers = [
        liveness.update([camera.read(*hung(HOPPER, x=80 + 2 * step), at=5.0 * step)], following={1})
        for step in range(3)
    ]

    assert answers == [{1}, {1}, frozenset()]


def test_a_swaying_person_is_live_at_two_frames_a_second():
    liveness = LivenessFilter()
    camera = Camera()
    readings = [camera.read(*hung(HOPPER, x=80 + 10 * (step % 2)), at=0.5 * step) for step in range(3)]

    assert [liveness.update([one], following={1}) for one in readings] == [{1}, {1}, frozenset()]


def test_an_approaching_person_is_live_at_the_third_reading():
    liveness = LivenessFilter()
    camera = Camera()
    readings = []
    for step, size in enumerate([0.2, 0.27, 0.36]):
        # The face stays in the middle of the picture.
        middle = face_box(HOPPER, scale=size).centre
        image, box = hung(HOPPER, x=160 - middle[0], y=90 - middle[1], size=size)
        readings.append(camera.read(image, box, at=0.5 * step))

    assert [liveness.update([one], following={1}) for one in readings] == [{1}, {1}, frozenset()]


def test_a_walking_person_is_live_under_changing_light_and_blur():
    liveness = LivenessFilter()
    random = np.random.default_rng(5)
    readings = []
    for step in range(3):
        blurred = cv2.blur(random.integers(0, 255, (HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8), (9, 9))
        readings.append(
            shown(np.asarray(blurred, np.uint8), Box(50 + 20 * step, 40, 90 + 20 * step, 90), at=0.5 * step)
        )

    assert [liveness.update([one], following={1}) for one in readings] == [{1}, {1}, frozenset()]


def test_a_live_person_may_stand_still_afterwards():
    liveness = LivenessFilter()
    camera = Camera()
    for step in range(2):
        liveness.update([camera.read(*hung(HOPPER, x=60 + 20 * step), at=0.5 * step)], following={1})
    image, box = hung(HOPPER, x=100)
    liveness.update([camera.read(image, box, at=1.0)], following={1})

    later = [liveness.update([camera.read(image, box, at=2.0 + 0.1 * step)], following={1}) for step in range(100)]

    assert set(later) == {frozenset()}


@pytest.mark.parametrize("who", [HOPPER, COLLINS])
@pytest.mark.parametrize("frames_per_second", [2, 10])
def test_noise_flicker_and_compression_never_make_a_picture_live(who, frames_per_second):
    liveness = LivenessFilter()
    camera = Camera(noise=8.0)
    image, box = hung(who)

    for step in range(12 * frames_per_second):
        gain, offset = camera.random.uniform(0.85, 1.15), camera.random.uniform(-8, 8)
        _, jpeg = cv2.imencode(".jpg", camera.picture(image, gain=gain, offset=offset), [cv2.IMWRITE_JPEG_QUALITY, 60])
        seen = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)
        at = step / frames_per_second
        assert liveness.update([shown(seen, camera.found(box), at=at)], following={1}) == {1}


def test_people_passing_in_front_do_not_make_a_picture_live():
    liveness = LivenessFilter()
    camera = Camera()
    for step in range(60):
        at = step / 5
        # A passer-by every four seconds covers half of the face, which is still detected.
        passer_by = WIDTH_PX * ((at % 4) / 4 - 0.25)
        image, (box, other) = scene(
            (COLLINS, False, SIZE, (80.0, 20.0)),
            (HOPPER, False, 0.5, (passer_by, 0.0)),
            width_px=WIDTH_PX,
            height_px=HEIGHT_PX,
        )
        covered = max(0.0, min(box.x2, other.x2) - max(box.x1, other.x1)) / box.width_px
        readings = [] if covered > 0.5 else [camera.read(image, box, at=at)]
        assert liveness.update(readings, following={1}) == {1}


def test_a_picture_is_remembered_when_its_track_was_lost():
    liveness = LivenessFilter()
    camera = Camera()
    image, box = hung(HOPPER)
    for step in range(70):
        liveness.update([camera.read(image, box, at=step / 10)], following={1})
    liveness.update([], following=set())

    again = camera.read(image, box, at=600.0, track=2)

    assert liveness.update([again], following={2}) == {2}
    assert not liveness.is_unsure_of(again.track)


def test_a_person_in_front_of_a_picture_is_live():
    liveness = LivenessFilter()
    camera = Camera()
    image, box = hung(HOPPER)
    for step in range(70):
        liveness.update([camera.read(image, box, at=step / 10)], following={1})

    answers = []
    for step in range(20):
        at = 20 + step / 10
        image, box = hung(COLLINS, x=80 + 40 * swaying(at))
        answers.append(liveness.update([camera.read(image, box, at=at, track=2)], following={2}))

    assert answers[-1] == frozenset()


def test_a_track_that_moves_to_a_picture_is_still():
    liveness = LivenessFilter()
    camera = Camera()
    poster, place = hung(HOPPER)
    for step in range(70):
        liveness.update([camera.read(poster, place, at=step / 10)], following={1})
    answers = []
    for step in range(5):
        image, box = hung(COLLINS, x=20 + 10 * step)
        answers.append(liveness.update([camera.read(image, box, at=10 + step / 10, track=2)], following={1, 2}))

    assert answers[-1] == {1}
    assert liveness.update([camera.read(poster, place, at=11.0, track=2)], following={1, 2}) == {1, 2}


def test_a_knock_against_the_camera_is_not_liveness():
    liveness = LivenessFilter()
    camera = Camera()
    before, after = hung(HOPPER), hung(HOPPER, x=81.5)
    for step in range(60):
        at = step / 10
        image, box = before if at < 2 else after
        assert liveness.update([camera.read(image, box, at=at)], following={1}) == {1}


def test_the_memory_of_a_picture_follows_slow_changes_of_light():
    liveness = LivenessFilter()
    camera = Camera()
    image, box = hung(HOPPER)
    # That of a window's bars, which grows darker.
    shadow = (np.arange(WIDTH_PX) // 12 % 2)[np.newaxis, :, np.newaxis]
    for step in range(10):
        liveness.update([camera.read(image, box, at=float(step))], following={1})
    for minute in range(1, 120):
        # Its track is often lost and found, and classified too rarely to learn anything new.
        darker = (image * (1 - 0.3 * minute / 120) * (1 - 0.6 * shadow * minute / 120)).astype(np.uint8)
        found = camera.read(darker, box, at=60.0 * minute, track=minute)
        assert liveness.update([found], following={minute}) == {minute}
        assert not liveness.is_unsure_of(found.track)


def test_nothing_is_live_behind_a_covered_lens():
    liveness = LivenessFilter()
    black = np.zeros_like(street())

    for step in range(50):
        assert liveness.update([shown(black, Box(10, 10, 50, 60), at=step / 10)], following={1}) == {1}


def test_a_face_partly_outside_the_frame_is_treated_alike():
    liveness = LivenessFilter()
    image, _ = hung(HOPPER)

    readings = [shown(image, Box(-15, -10, 30, 45), at=step / 10) for step in range(80)]

    assert {liveness.update([reading], following={1}) for reading in readings} == {frozenset({1})}
    assert not liveness.is_unsure_of(readings[-1].track)


def test_ended_tracks_are_forgotten():
    liveness = LivenessFilter()
    image, box = hung(HOPPER)
    liveness.update([shown(image, box, at=0.0)], following={1})

    assert liveness.update([], following=set()) == frozenset()


@settings(max_examples=15)
@given(
    light=st.lists(
        st.tuples(st.floats(0.6, 1.1), st.floats(-20, 20), st.floats(-0.3, 0.3)),  # gain, offset, slope
        min_size=3,
        max_size=15,
    ),
    noise=st.floats(0, 6),
    seed=st.integers(0, 1000),
)
def test_no_change_of_light_makes_a_static_face_live(light, noise, seed):
    liveness = LivenessFilter()
    camera = Camera(noise=noise, seed=seed)
    image, box = hung(COLLINS)
    # Away from black and white, where clipping changes the picture.
    image = (40 + image * 0.6).astype(np.uint8)
    slope = np.linspace(-1, 1, WIDTH_PX)[np.newaxis, :, np.newaxis]
    for step, (gain, offset, lean) in enumerate(light):
        lit = np.clip(image * (1 + lean * slope), 0, 255).astype(np.uint8)
        seen = shown(camera.picture(lit, gain=gain, offset=offset), camera.found(box), at=step / 5)
        assert liveness.update([seen], following={1}) == {1}
