"""Evaluations constructed from counts, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from converter.masks.candidates import Candidate
from converter.masks.evaluation import ModelResult
from converter.masks.metrics import Reading, measure, metrics_by_band

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_agent.domain import Box, Image, Label

LABELS: tuple[Label, ...] = ("with_mask", "without_mask")


def _never(image: Image, region: Box) -> Mapping[Label, float]:
    raise AssertionError("must not be called")


def _nothing(scores: Mapping[Label, float]) -> Label:
    raise AssertionError("must not be called")


def result(name: str, readings: list[Reading]) -> ModelResult:
    """The evaluation of a model on these readings."""
    candidate = Candidate(Path(name), "litert", LABELS, 0.0, scores=_never, decide=_nothing)
    metrics = measure(readings, labels=LABELS)
    return ModelResult(candidate, metrics, metrics_by_band(readings, labels=LABELS), metrics.accuracy, {})


def readings(truth: Label, predicted: Label, count: int, *, score: float = 0.9, side_px: float = 20.0) -> list[Reading]:
    """This many faces of one label, classified as another."""
    return [Reading(truth, predicted, score, side_px)] * count
