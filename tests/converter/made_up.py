"""Evaluations constructed from counts, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from converter.masks.candidates import Candidate
from converter.masks.evaluation import Judged
from converter.masks.metrics import Reading, in_bands, measure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_agent.domain import Box, Image, Label

LABELS: tuple[Label, ...] = ("with_mask", "without_mask")


def _never(image: Image, region: Box) -> Mapping[Label, float]:
    raise AssertionError("must not be called")


def _nothing(scores: Mapping[Label, float]) -> Label:
    raise AssertionError("must not be called")


def judged(name: str, readings: list[Reading]) -> Judged:
    """The evaluation of a model on these readings."""
    candidate = Candidate(Path(name), "litert", LABELS, 0.0, scores=_never, decide=_nothing)
    return Judged(candidate, measure(readings, labels=LABELS), in_bands(readings, labels=LABELS))


def readings(truth: Label, read: Label, count: int, *, score: float = 0.9, side_px: float = 20.0) -> list[Reading]:
    """This many faces of one label, classified as another."""
    return [Reading(truth, read, score, side_px)] * count
