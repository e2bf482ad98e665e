"""Explanation: why each person of a recording raised an alert or did not.

Collects the readings of every track and the evidence after each, and writes them as JSON and as a plot.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import cv2

from edge_agent.commands.explanation_plot import Event, TrackHistory, plot
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.decision.sequential_test import SequentialTest
    from edge_agent.domain import Outcome, Reading, Verdict

DIGITS = 4


class Explanation:
    """Records the outcomes of one recording. Owned by one thread."""

    def __init__(self, test: SequentialTest) -> None:
        """`test` is the sequential test of the pipeline."""
        self._test = test
        self._histories: dict[int, TrackHistory] = {}

    def observe(self, outcome: Outcome, *, at: float) -> None:
        """Record the outcome of one frame; `at` is its time in the recording."""
        for track in outcome.tracks:
            history = self._histories.setdefault(track.id, TrackHistory(track.id, at, at))
            history.last_seen_seconds = at
            history.seen += 1
        for reading, verdict in zip(outcome.readings, outcome.verdicts, strict=True):
            self._histories[reading.track.id].readings.append((reading, verdict, self._test.llr(reading)))
        for alert in outcome.alerts:
            self._histories[alert.verdict.track.id].events.append(Event(at, f"alert: {alert.verdict.label}"))
        for resolved in outcome.resolved:
            self._histories[resolved.track.id].events.append(Event(at, f"resolved: {resolved.reason}"))

    def save(self, folder: Path, *, name: str) -> None:
        """Write NAME.json and NAME.png.

        Raises:
            ConfigError: the folder cannot be written.
        """
        drawn = plot(
            list(self._histories.values()),
            title=name,
            violation_llr=self._test.violation_llr,
            compliant_llr=self._test.compliant_llr,
        )
        ok, picture = cv2.imencode(".png", drawn)
        if not ok:
            raise ConfigError(f"{folder / name}.png: OpenCV cannot draw so many tracks; cut the recording")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.json").write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")
            (folder / f"{name}.png").write_bytes(picture.tobytes())
        except OSError as error:
            raise ConfigError(
                f"--explain {folder}: cannot be written: {error.strerror}; name a folder of your own"
            ) from error

    def as_json(self) -> dict[str, Any]:
        """Every track with its readings; a positive log-likelihood ratio speaks for a violation."""
        return {
            "violation_llr": round(self._test.violation_llr, DIGITS),
            "compliant_llr": round(self._test.compliant_llr, DIGITS),
            "tracks": [
                {
                    "track": history.track,
                    "first_seen_seconds": round(history.first_seen_seconds, 3),
                    "last_seen_seconds": round(history.last_seen_seconds, 3),
                    "frames": history.seen,
                    "readings": [_as_json(*reading) for reading in history.readings],
                    "events": [{"at_seconds": round(event.at, 3), "event": event.text} for event in history.events],
                }
                for history in self._histories.values()
            ],
        }


def _as_json(reading: Reading, verdict: Verdict, llr: float) -> dict[str, Any]:
    return {
        "at_seconds": round(reading.taken_at, 3),
        "box": list(reading.track.face.box.as_ints()),
        "label": reading.label,
        "scores": {label: round(score, DIGITS) for label, score in reading.scores.items()},
        "quality": round(reading.quality, DIGITS),
        "llr": round(llr, DIGITS),
        "evidence": round(verdict.llr, DIGITS),
        "decision": verdict.decision,
    }
