"""Tracker: one track per person."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config.model import TrackingConfig
from edge_agent.decision.tracker import Tracker
from edge_agent.domain import Box, Face
from tests.values import NOON, a_face

FRAME = (1280, 720)


def ids(tracker: Tracker, faces: list[Face], at: float) -> list[int]:
    tracks = tracker.update(faces, at=at, when=NOON + timedelta(seconds=at), frame_size=FRAME)
    return [track.id for track in tracks]


def a_tracker(**settings) -> Tracker:
    return Tracker(TrackingConfig(**settings), camera="door")


def test_a_face_that_moves_a_little_stays_the_same_person():
    tracker = a_tracker()

    seen = [ids(tracker, [a_face(10 + 5 * step)], step / 10) for step in range(20)]

    assert seen == [[1]] * 20


@pytest.mark.parametrize(("scale_x", "scale_y"), [(0.5, 0.5), (2.0, 2.0), (1.0, 4 / 3)])
def test_a_person_stays_the_same_when_the_camera_changes_its_resolution(scale_x, scale_y):
    tracker = a_tracker()
    for step in range(10):
        ids(tracker, [a_face(400 + 10 * step, 300)], step / 10)

    box = a_face(500, 300).box
    scaled = Face(Box(box.x1 * scale_x, box.y1 * scale_y, box.x2 * scale_x, box.y2 * scale_y), 0.9)
    size = round(FRAME[0] * scale_x), round(FRAME[1] * scale_y)
    tracks = tracker.update([scaled], at=1.0, when=NOON + timedelta(seconds=1), frame_size=size)

    assert [track.id for track in tracks] == [1]
    assert not tracker.update([], at=3.5, when=NOON + timedelta(seconds=3.5), frame_size=size)
    assert not tracker.following


def test_a_walker_of_one_face_width_per_frame_is_tracked_at_two_frames_a_second():
    tracker = a_tracker()

    seen = [ids(tracker, [a_face(10 + 40 * step)], step / 2) for step in range(8)]

    assert seen == [[1]] * 8


def test_a_walker_of_three_face_widths_per_frame_is_tracked_from_the_first_frame():
    tracker = a_tracker()

    assert [ids(tracker, [a_face(10 + 120 * step)], float(step)) for step in range(5)] == [[1]] * 5


def test_a_face_far_from_the_predicted_place_starts_a_new_track():
    tracker = a_tracker()
    for step in range(10):
        ids(tracker, [a_face(10 + 10 * step)], step / 10)

    assert ids(tracker, [a_face(300)], 1.0) == [2]


def test_two_people_side_by_side_are_two_tracks_in_any_order_of_faces():
    tracker = a_tracker()
    left, right = a_face(10), a_face(120)

    assert ids(tracker, [left, right], 0.0) == [1, 2]
    assert ids(tracker, [right, left], 0.1) == [2, 1]


def test_people_who_cross_keep_their_tracks():
    tracker = a_tracker()
    seen = []
    for step in range(21):
        left_to_right, right_to_left = a_face(20 * step), a_face(400 - 20 * step, 30)
        seen.append(tuple(ids(tracker, [left_to_right, right_to_left], step / 10)))

    assert set(seen) == {(1, 2)}


def test_a_face_missed_briefly_is_the_same_person_at_the_predicted_place():
    tracker = a_tracker()
    for step in range(10):
        ids(tracker, [a_face(10 + 20 * step)], step / 10)

    assert ids(tracker, [], 1.0) == []
    assert ids(tracker, [a_face(10 + 20 * 14)], 1.4) == [1]


def test_a_person_out_of_sight_beyond_the_timeout_is_a_new_track():
    tracker = a_tracker(lost_timeout_seconds=1.0)
    ids(tracker, [a_face()], 0.0)

    assert ids(tracker, [a_face()], 1.1) == [2]
    assert tracker.following == {2}


def test_the_tracker_follows_until_the_last_person_is_forgotten():
    tracker = a_tracker(lost_timeout_seconds=1.0)
    follows = [bool(tracker.following)]
    for faces, at in (([a_face()], 0.0), ([], 0.9), ([], 1.1)):
        ids(tracker, faces, at)
        follows.append(bool(tracker.following))

    assert follows == [False, True, True, False]


def test_a_face_three_times_as_large_starts_a_new_track():
    tracker = a_tracker()
    ids(tracker, [a_face(100, 100, width=20)], 0.0)

    assert ids(tracker, [a_face(80, 80, width=60)], 0.1) == [2]


def test_a_track_remembers_when_it_was_first_seen():
    tracker = a_tracker()
    ids(tracker, [a_face()], 3.0)

    (track,) = tracker.update([a_face()], at=4.0, when=NOON + timedelta(seconds=4), frame_size=FRAME)

    assert track.first_seen_at == 3.0
    assert track.first_seen_when == NOON + timedelta(seconds=3)


def a_walker_out(tracker: Tracker) -> None:
    """A walker who leaves on the right at four face widths a second, at two frames a second."""
    for step in range(4):
        ids(tracker, [a_face(900 + 100 * step, width=50)], step / 2)


def test_a_person_who_enters_after_another_has_left_is_a_new_track():
    tracker = a_tracker()
    a_walker_out(tracker)

    # Two frames were lost, one of which would have shown that the first person had left.
    assert ids(tracker, [a_face(1160, width=50)], 2.5) == [2]


def test_a_walker_partly_outside_the_picture_keeps_its_speed():
    tracker = a_tracker()
    a_walker_out(tracker)
    cut_off = Face(Box(1250, 10, 1280, 72), 0.9)

    assert ids(tracker, [cut_off], 1.75) == [1]
    assert ids(tracker, [a_face(1180, width=50)], 2.75) == [2]


def test_a_person_who_stops_at_the_border_keeps_the_track():
    tracker = a_tracker()
    for step in range(20):
        ids(tracker, [a_face(1100 + 7 * step, width=50)], step / 10)

    assert ids(tracker, [a_face(1226, width=50)], 2.6) == [1]


def test_people_who_enter_in_a_row_keep_separate_tracks():
    tracker = a_tracker()
    ids(tracker, [], 0.0)
    seen = [
        ids(tracker, [a_face(60 * (step - place) + 30, width=48) for place in range(min(step, 2) + 1)], (step + 1) / 2)
        for step in range(8)
    ]

    assert seen == [[1], [1, 2], *[[1, 2, 3]] * 6]


@pytest.mark.parametrize("per_second", [2, 10])
def test_a_person_who_turns_near_the_border_keeps_the_track(per_second):
    tracker = a_tracker()
    ids(tracker, [], 0.0)

    assert [ids(tracker, [a_face(60, width=50)], step / per_second) for step in range(1, 9)] == [[1]] * 8


faces = st.lists(
    st.builds(
        a_face,
        st.floats(0, 600),
        st.floats(0, 300),
        width=st.floats(8, 200),
        score=st.floats(0, 1),
    ),
    max_size=6,
)


@given(
    st.floats(0, 2.5),
    st.floats(-3, 3),
    st.floats(10, 200),
    st.sampled_from([1, 2, 5, 10, 30]),
    st.integers(0, 2**32 - 1),
)
def test_one_person_is_one_track_at_any_speed_size_and_frame_rate(phase, speed, width, per_second, seed):
    """The model: a person alone in the picture stays the same person for as long as they are seen."""
    strays = np.random.default_rng(seed).uniform(-0.1, 0.1, (6 * per_second, 2)) * width
    tracker = a_tracker()
    for step, (dx, dy) in enumerate(strays):
        at = phase + step / per_second

        assert ids(tracker, [a_face(500 + speed * width * at + dx, 100 + dy, width=width)], at) == [1]


@given(st.lists(faces, max_size=12), st.floats(0, 3))
def test_every_face_gets_exactly_one_track_and_no_track_two_faces(frames: list[list[Face]], pause: float):
    tracker = a_tracker()
    for number, found in enumerate(frames):
        at = number * pause
        tracks = tracker.update(found, at=at, when=NOON, frame_size=FRAME)

        assert [track.face for track in tracks] == found
        assert len({track.id for track in tracks}) == len(found)
        assert {track.id for track in tracks} <= tracker.following


def test_a_person_who_left_is_not_matched_with_the_next_one():
    tracker = a_tracker()
    # Three widths a second to the right, seen twice a second; the next comes from the left 1.5 s later.
    for step, x in enumerate((1000, 1060, 1120, 1180, 1240)):
        assert ids(tracker, [a_face(x)], step / 2) == [1]

    assert ids(tracker, [], 2.5) == []
    assert ids(tracker, [a_face(5)], 3.5) == [2]


def test_a_person_hidden_within_the_picture_keeps_the_track():
    tracker = a_tracker()
    for step, x in enumerate((600, 660, 720)):
        assert ids(tracker, [a_face(x)], step / 2) == [1]

    assert ids(tracker, [], 1.5) == []
    assert ids(tracker, [a_face(840)], 2.0) == [1]
