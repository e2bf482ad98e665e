"""Pipeline: the path of one frame, with counting fakes for models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_agent.config.model import DecisionConfig, MotionConfig, RulesConfig, TrackingConfig
from edge_agent.decision.liveness import LivenessFilter
from edge_agent.decision.nearest import NearestPerson
from edge_agent.decision.people import PeopleCounter
from edge_agent.decision.rules import Rules
from edge_agent.decision.sequential_test import SequentialTest
from edge_agent.decision.tracker import Tracker
from edge_agent.domain import LABELS, Box
from edge_agent.messages.ids import uuid7
from edge_agent.pipeline import Pipeline
from edge_agent.vision.classifier import Classification
from edge_agent.vision.frame_rate import FrameRate
from edge_agent.vision.motion import MotionGate
from tests.values import a_face, a_frame

if TYPE_CHECKING:
    from edge_agent.domain import Face, Frame, Label, Picture


class Faces:
    """A detector that finds the same faces in every picture."""

    sha256 = ""

    def __init__(self, *faces: Face) -> None:
        self.faces = list(faces)
        self.looked_at = 0

    def detect(self, picture: Picture, *, min_score: float | None = None) -> list[Face]:
        self.looked_at += 1
        return self.faces


class Masks:
    """A classifier that returns the same label for every face."""

    def __init__(self, label: Label = "without_mask", *, is_face: bool = True) -> None:
        self.label: Label = label
        self.is_face = is_face
        self.read_count = 0

    def classify(self, picture: Picture, box: Box) -> Classification:
        self.read_count += 1
        scores: dict[Label, float] = dict.fromkeys(LABELS, 0.005)
        return Classification(self.label, {**scores, self.label: 0.99}, is_face=self.is_face)


def a_pipeline(faces: Faces, masks: Masks | None = None, *, frames_per_second: float = 0.0) -> Pipeline:
    return Pipeline(
        rate=FrameRate(frames_per_second),
        motion=MotionGate(MotionConfig()),
        detector=faces,
        tracker=Tracker(TrackingConfig(lost_timeout_seconds=1.0), camera="door"),
        classifier=masks or Masks(),  # type: ignore[arg-type]
        sequential_test=SequentialTest(DecisionConfig(), violations=("without_mask", "mask_worn_incorrectly")),
        liveness=LivenessFilter(),
        # Faces of this detector never move.
        rules=Rules(RulesConfig(ignore_static_faces=False), new_id=uuid7),
        people=PeopleCounter(RulesConfig(ignore_static_faces=False), camera="door"),
        nearest=NearestPerson(RulesConfig(ignore_static_faces=False)),
        margin_fraction=0.5,
    )


def textured(at: float) -> Frame:
    """A frame with texture: a uniformly grey one looks like a covered lens."""
    frame = a_frame(at, size=(160, 120))
    frame.image[:] = np.random.default_rng(3).integers(0, 255, frame.image.shape)
    return frame


def test_a_still_frame_is_not_analysed():
    detector = Faces()
    pipeline = a_pipeline(detector)
    pipeline.process(a_frame(0.0))

    outcome = pipeline.process(a_frame(0.1))

    assert not outcome.analysed
    assert detector.looked_at == 1


def test_a_changed_frame_is_analysed():
    detector = Faces()
    pipeline = a_pipeline(detector)
    pipeline.process(a_frame(0.0))

    assert pipeline.process(a_frame(0.1, brightness=90)).analysed
    assert detector.looked_at == 2


def test_frames_beyond_the_configured_rate_are_not_analysed():
    detector = Faces(a_face())
    pipeline = a_pipeline(detector, frames_per_second=10.0)

    analysed = [pipeline.process(a_frame(step / 30)).analysed for step in range(30)]

    assert analysed == [True, False, False] * 10


def test_a_tracked_person_who_stands_still_is_analysed():
    detector = Faces(a_face())
    pipeline = a_pipeline(detector)

    for step in range(20):
        assert pipeline.process(a_frame(step / 10)).analysed


def test_a_person_without_a_mask_raises_one_alert_that_is_resolved_when_they_leave():
    detector = Faces(a_face())
    pipeline = a_pipeline(detector)

    outcomes = [pipeline.process(textured(step / 10)) for step in range(20)]
    detector.faces = []
    outcomes += [pipeline.process(textured(step / 10)) for step in range(20, 40)]

    (alert,) = [alert for outcome in outcomes for alert in outcome.alerts]
    (resolved,) = [resolved for outcome in outcomes for resolved in outcome.resolved]
    assert alert.verdict.label == "without_mask"
    assert textured(0.2).taken_when < alert.when < textured(1.5).taken_when
    assert (resolved.track.id, resolved.reason) == (alert.verdict.track.id, "left")


def test_a_person_with_a_mask_raises_no_alert():
    pipeline = a_pipeline(Faces(a_face()), Masks("with_mask"))

    assert [pipeline.process(textured(step / 10)).alerts for step in range(20)] == [()] * 20


def test_a_decided_face_is_classified_in_every_fifth_frame():
    masks = Masks("with_mask")
    pipeline = a_pipeline(Faces(a_face()), masks)

    outcomes = [pipeline.process(textured(step / 10)) for step in range(100)]

    assert sum(len(outcome.tracks) for outcome in outcomes) == 100
    assert masks.read_count == sum(len(outcome.readings) for outcome in outcomes) == 20


def test_every_face_is_classified_in_every_frame_until_it_is_decided():
    masks = Masks()
    pipeline = a_pipeline(Faces(a_face(), a_face(100)), masks)

    outcome = pipeline.process(a_frame(size=(200, 100)))

    assert masks.read_count == 2
    assert [reading.track.id for reading in outcome.readings] == [1, 2]


def test_the_cutout_is_the_face_with_its_margin_inside_the_frame_and_outlives_it():
    pipeline = a_pipeline(Faces(a_face(0, 20, width=40)))
    frame = a_frame(size=(200, 100), brightness=7)

    (reading,) = pipeline.process(frame).readings
    frame.image[:] = 99

    assert reading.cutout.shape == (95, 60, 3)  # what would lie above and left of the frame is missing
    assert reading.cutout.max() == 7


def test_a_reading_has_the_boxes_of_bystanders_in_its_cutout():
    beside, far = a_face(70, 20, width=40), a_face(150, 20)
    pipeline = a_pipeline(Faces(a_face(20, 20, width=40), beside, far))

    first, second, _ = pipeline.process(a_frame(size=(200, 100))).readings

    assert first.bystanders == (Box(70, 20, 80, 70),)  # the cutout begins at 0, 0 and ends at 80, 95
    assert second.bystanders == (Box(0, 20, 10, 70),)  # it begins at 50, 0
    assert (first.face_in_cutout, second.face_in_cutout) == (Box(20, 20, 60, 70), Box(20, 20, 60, 70))


def test_the_outcome_has_the_duration_of_each_stage():
    outcome = a_pipeline(Faces(a_face())).process(a_frame())

    assert list(outcome.stage_seconds) == ["motion", "faces", "masks", "decision"]
    assert min(outcome.stage_seconds.values()) >= 0


def test_a_frame_of_a_paused_camera_resolves_open_alerts_and_ends_tracks():
    pipeline = a_pipeline(Faces(a_face()))
    alerts = [alert for step in range(20) for alert in pipeline.process(textured(step / 10)).alerts]
    assert len(alerts) == 1

    left = pipeline.process(textured(2.0), is_paused=True)
    (resolved,) = left.resolved

    assert (resolved.track.id, resolved.reason) == (alerts[0].verdict.track.id, "left")
    assert [person.counted_as for person in left.people] == ["without_mask"]
    assert not left.analysed
    assert pipeline.process(textured(2.1), is_paused=True).resolved == ()
    assert pipeline.process(a_frame(2.2, size=(160, 120))).tracks[0].id != resolved.track.id


def test_people_leave_while_no_frames_come():
    pipeline = a_pipeline(Faces(a_face()))
    alerts = [alert for step in range(20) for alert in pipeline.process(textured(step / 10)).alerts]
    assert len(alerts) == 1
    when = textured(3.0).taken_when

    before = pipeline.pass_time(at=2.5, when=when)
    left = pipeline.pass_time(at=3.0, when=when)

    assert (before.resolved, before.people) == ((), ())
    assert [(resolved.reason, resolved.when) for resolved in left.resolved] == [("left", when)]
    assert [(person.counted_as, person.when) for person in left.people] == [("without_mask", when)]
    assert not left.analysed
    assert pipeline.pass_time(at=3.1, when=when).resolved == ()


def test_a_face_that_the_classifier_rejects_gives_no_reading_and_no_alert():
    masks = Masks(is_face=False)
    pipeline = a_pipeline(Faces(a_face()), masks)

    outcomes = [pipeline.process(textured(step / 10)) for step in range(20)]

    assert masks.read_count == 20
    assert not any(outcome.readings or outcome.alerts for outcome in outcomes)
