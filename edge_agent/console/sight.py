"""Sight: who is in a frame, and what is known of each by now?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_agent.vision.detection import PLACE_DIGITS, SCORE_DIGITS

if TYPE_CHECKING:
    from edge_agent.domain import Box, Decision, Frame, Label


@dataclass(frozen=True, slots=True)
class SeenFace:
    """A face of a frame with what is known of it by now; `label` is None while it was not read yet."""

    box: Box
    track: int
    label: Label | None
    score: float
    decision: Decision

    def as_json(self, scale: float) -> dict[str, Any]:
        """With the box in pixels of a picture that is `scale` times as large as the frame."""
        box = self.box
        return {
            "box": [round(side * scale, PLACE_DIGITS) for side in (box.x1, box.y1, box.x2, box.y2)],
            "track": self.track,
            "label": self.label,
            "score": round(self.score, SCORE_DIGITS),
            "decision": self.decision,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """A frame that was looked at, and everybody in it. `number` tells it from all others."""

    number: int
    frame: Frame
    faces: tuple[SeenFace, ...]
