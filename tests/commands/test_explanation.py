"""Explanation: JSON with every reading, and its plot."""

from __future__ import annotations

import json
import math

import cv2
import numpy as np
import pytest

from edge_agent.commands.explanation import Explanation
from edge_agent.commands.explanation_plot import ALERT, LINES, MAX_PANELS, PANEL_PX, SHOWN_PX, Event, TrackHistory, plot
from edge_agent.config.model import DecisionConfig, RulesConfig
from edge_agent.decision.rules import Rules
from edge_agent.decision.sequential_test import SequentialTest
from edge_agent.domain import Alert, Label, Outcome, TrackedFrame
from edge_agent.errors import ConfigError
from edge_agent.messages.ids import uuid7
from edge_agent.vision.annotation import COLOURS
from edge_agent.vision.images import read_picture
from tests.values import NOON, a_reading, a_track

BARE: Label = "without_mask"


def an_explanation(*, tracks: int = 1, frames: int = 12) -> Explanation:
    """People without a mask, for slightly more than a second."""
    rules = Rules(RulesConfig(), new_id=uuid7)
    evidence = SequentialTest(DecisionConfig(), violations=(BARE,))
    explanation = Explanation(evidence)
    for step in range(frames):
        at = step / 10
        people = [a_track(number + 1) for number in range(tracks)]
        readings = [a_reading(BARE, 0.99, track=track, at=at) for track in people]
        following = frozenset(track.id for track in people)
        verdicts = evidence.update(readings, following=following)
        events = rules.evaluate(
            TrackedFrame(tracks=people, verdicts=verdicts, following=following, size=(640, 480), at=at, when=NOON)
        )
        alerts = tuple(event for event in events if isinstance(event, Alert))
        explanation.observe(Outcome(True, tuple(people), tuple(readings), tuple(verdicts), alerts, (), {}), at=at)
    return explanation


def shows(picture, colour) -> bool:
    return bool((np.abs(picture.astype(int) - colour).max(axis=2) <= 2).any())


def test_every_reading_has_the_evidence_after_it(tmp_path):
    an_explanation().save(tmp_path / "new", name="door")

    explanation = json.loads((tmp_path / "new" / "door.json").read_text(encoding="utf-8"))
    (track,) = explanation["tracks"]
    assert (track["track"], track["frames"], len(track["readings"])) == (1, 12, 12)
    assert explanation["violation_llr"] == pytest.approx(math.log(0.9 / 0.001), abs=1e-3)
    decided = next(one for one in track["readings"] if one["decision"] == "violation")
    assert decided["evidence"] >= explanation["violation_llr"]
    assert track["events"] == [{"at_seconds": decided["at_seconds"], "event": "alert: without_mask"}]
    assert set(decided) == {"at_seconds", "box", "label", "scores", "quality", "llr", "evidence", "decision"}


def test_the_picture_shows_evidence_readings_and_the_alert(tmp_path):
    an_explanation().save(tmp_path, name="door")

    picture = read_picture(tmp_path / "door.png")
    for colour in (LINES["undecided"], LINES["violation"], COLOURS[BARE], ALERT):
        assert shows(picture, colour)


def test_the_text_of_a_resolution_leaves_that_of_the_alert_readable():
    alert, resolved = Event(7.4, "alert: without_mask"), Event(8.6, "resolved: left")

    def alert_pixels(*events):
        history = TrackHistory(1, 0.0, 8.6, events=list(events))
        drawn = plot([history], title="door", violation_llr=6.8, compliant_llr=-2.3)
        # Smooth text has few pixels of the full colour: those clearly more red than blue.
        return int((drawn[..., 2].astype(int) - drawn[..., 0] > 20).sum())

    assert alert_pixels(alert, resolved) == alert_pixels(alert) > 0


def test_each_track_has_a_panel_up_to_a_limit(tmp_path):
    heights = []
    for tracks in (1, 2, MAX_PANELS + 1):
        an_explanation(tracks=tracks, frames=2).save(tmp_path, name="door")
        # Not `read_picture`: its process may take 2.5 s, which a busy machine needs for 15 megapixels.
        plot = cv2.imread(str(tmp_path / "door.png"))
        assert plot is not None
        heights.append(plot.shape[0])

    assert heights[1] - heights[0] == PANEL_PX
    assert heights[2] - heights[0] == (MAX_PANELS - 1) * PANEL_PX
    assert len(json.loads((tmp_path / "door.json").read_text(encoding="utf-8"))["tracks"]) == MAX_PANELS + 1
    assert SHOWN_PX < PANEL_PX


def test_a_recording_without_people_has_an_explanation(tmp_path):
    an_explanation(tracks=0).save(tmp_path, name="door")

    assert json.loads((tmp_path / "door.json").read_text(encoding="utf-8"))["tracks"] == []
    assert read_picture(tmp_path / "door.png").size


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=r"--explain .*file: cannot be written"):
        an_explanation().save(tmp_path / "file", name="door")
