"""Annotated frames: tracks with their last reading, without flicker; none of a paused camera."""

from dataclasses import replace

import pytest

from edge_agent.bridge.frames import HELD_SECONDS, AnnotatedFrames
from edge_agent.domain import Outcome
from tests.values import a_face, a_frame, a_reading, a_track, a_verdict

TRACK = a_track(7, face=a_face(100.0, 60.0))
READING, VERDICT = a_reading("without_mask", 0.93, track=TRACK), a_verdict("violation", track=TRACK)
SEEN = Outcome(True, (TRACK,), (READING,), (VERDICT,), (), (), {})
NOT_ANALYSED = Outcome(False, (), (), (), (), (), {})


@pytest.fixture
def frames():
    return AnnotatedFrames()


def test_a_track_keeps_its_last_reading_until_it_has_left(frames):
    unread = replace(SEEN, readings=(), verdicts=())
    frames.record(a_frame(0.0), SEEN)
    frames.record(a_frame(0.1), unread)
    (face,) = frames.newest("door")[0].faces
    assert (face.label, face.score, face.decision) == ("without_mask", 0.93, "violation")

    frames.record(a_frame(0.2), replace(unread, tracks=()))
    frames.record(a_frame(0.3), unread)
    (face,) = frames.newest("door")[0].faces

    assert (face.label, face.decision) == (None, "undecided")


def test_boxes_do_not_flicker_between_analysed_frames(frames):
    frames.record(a_frame(0.0), SEEN)
    frames.record(a_frame(0.05), NOT_ANALYSED)
    assert frames.newest("door")[0].faces

    frames.record(a_frame(HELD_SECONDS + 0.1), NOT_ANALYSED)
    assert not frames.newest("door")[0].faces


def test_a_paused_camera_shows_nothing(frames):
    frames.record(a_frame(0.0), SEEN)
    frames.forget("door")

    assert frames.newest("door") is None


def test_every_frame_has_its_own_number(frames):
    numbers = set()
    for number in range(5):
        frames.record(a_frame(number / 10), SEEN)
        numbers.add(frames.newest("door")[0].number)

    assert len(numbers) == 5
