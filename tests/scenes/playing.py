"""Playing: which alerts does the agent raise for a scene or a recording?

The agent's own components analyse every frame, as in `edge-agent replay`; models are loaded once for all scenes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from edge_agent.camera.replay import recorded_frames
from edge_agent.config.load import load_config
from edge_agent.domain import Box, Frame
from edge_agent.wiring import build_pipeline, open_models
from tests.scenes.composition import Seen, shots
from tests.scenes.judging import Event, Given, Judgement, Moment, events_of, judge, people_of

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.domain import Outcome, Person
    from edge_agent.pipeline import Pipeline
    from tests.scenes.composition import Scene

BEGUN_WHEN = datetime(2026, 3, 2, 8, 0, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A real recording of one person, and the period in which that person is visible without a mask."""

    file: str
    violations: tuple[tuple[float, float], ...]


RECORDINGS = (
    Recorded("masked_at_laptop.mp4", ()),
    Recorded("unmasked_outdoors.mp4", ((0.0, 8.2),)),
    # Before that, the mask is held in front of the face.
    Recorded("puts_mask_on_close_up.mp4", ((1.6, 4.1),)),
)


class Player:
    """Plays scenes to a configured agent. Owned by one thread."""

    def __init__(self, *settings: str) -> None:
        """Load both models; `settings` are keys of the configuration, such as faces.detector=yunet."""
        # Scenes state the frame rate of their camera.
        self.config = load_config(None, overrides=["cameras.camera.detect_fps=0", *settings])
        self._detector, self._classifier = open_models(self.config)

    def a_pipeline(self) -> Pipeline:
        """A new pipeline, so that no state is carried over to the next scene."""
        return build_pipeline(self.config, "camera", self._detector, self._classifier)

    def play(self, scene: Scene) -> Judgement:
        """Render a scene, play it to the agent and judge the alerts."""
        pipeline = self.a_pipeline()
        moments, alerts = [], []
        people: list[Person] = []
        when = BEGUN_WHEN
        for index, shot in enumerate(shots(scene)):
            moments.append(Moment(shot.second, shot.seen))
            when = BEGUN_WHEN + timedelta(seconds=shot.second)
            outcome = pipeline.process(Frame("camera", index, shot.image, shot.second, when))
            alerts += _alerts(outcome, at=shot.second)
            people += outcome.people
        people += pipeline.end(at=moments[-1].second, when=when).people
        violations, min_face_px = frozenset(self.config.rules.violations), float(self.config.rules.min_face_px)
        events = events_of(moments, violations=violations, min_face_px=min_face_px)
        assert len(events) == scene.alerts, (
            f"{scene.name}: {scene.alerts} alerts are stated as correct, but the events are {events}"
        )
        return replace(
            judge(moments, events, alerts),
            people=people_of(moments, violations=violations, min_face_px=min_face_px),
            counted=Counter(person.counted_as for person in people),
        )

    def watch(self, path: Path, truth: Recorded) -> Judgement:
        """Play a recording to the agent and judge the alerts by their time."""
        pipeline = self.a_pipeline()
        moments, alerts = [], []
        for frame in recorded_frames(path, camera="camera"):
            alerts += _alerts(pipeline.process(frame), at=frame.taken_at)
            # The position of the face is not annotated: anywhere in the picture counts.
            reach = float(max(frame.width_px, frame.height_px))
            box = Box(0.0, 0.0, reach, reach)
            moments.append(Moment(frame.taken_at, (Seen("person", None, box, 1.0),)))
        events = [Event("person", "without_mask", since, until) for since, until in truth.violations]
        return judge(moments, events, alerts)


def _alerts(outcome: Outcome, *, at: float) -> list[Given]:
    return [Given(at, alert.verdict.label, alert.verdict.track.face.box) for alert in outcome.alerts]
