"""Annotated frames: what is known of everybody, without flicker, and nobody of a camera that is paused."""

from dataclasses import replace

import pytest

from edge_agent.bridge.frames import HELD_SECONDS, AnnotatedFrames
from edge_agent.domain import Outcome
from tests.values import a_face, a_frame, a_reading, a_track, a_verdict

TRACK = a_track(7, face=a_face(100.0, 60.0))
READING, VERDICT = a_reading("without_mask", 0.93, track=TRACK), a_verdict("violation", track=TRACK)
SEEN = Outcome(True, (TRACK,), (READING,), (VERDICT,), (), (), {})
NOBODY_LOOKED = Outcome(False, (), (), (), (), (), {})


@pytest.fixture
def frames():
    return AnnotatedFrames()


def test_what_was_read_of_somebody_stays_until_they_have_left(frames):
    unread = replace(SEEN, readings=(), verdicts=())
    frames.record(a_frame(0.0), SEEN)
    frames.record(a_frame(0.1), unread)
    (face,) = frames.newest("door").faces
    assert (face.label, face.score, face.decision) == ("without_mask", 0.93, "violation")

    frames.record(a_frame(0.2), replace(unread, tracks=()))
    frames.record(a_frame(0.3), unread)
    (face,) = frames.newest("door").faces

    assert (face.label, face.decision) == (None, "undecided")


def test_boxes_do_not_flicker_between_the_frames_that_are_analysed(frames):
    frames.record(a_frame(0.0), SEEN)
    frames.record(a_frame(0.05), NOBODY_LOOKED)
    assert frames.newest("door").faces

    frames.record(a_frame(HELD_SECONDS + 0.1), NOBODY_LOOKED)
    assert not frames.newest("door").faces


def test_a_paused_camera_shows_nothing(frames):
    frames.record(a_frame(0.0), SEEN)
    frames.forget("door")

    assert frames.newest("door") is None


def test_every_frame_has_another_number(frames):
    numbers = set()
    for number in range(5):
        frames.record(a_frame(number / 10), SEEN)
        numbers.add(frames.newest("door").number)

    assert len(numbers) == 5
