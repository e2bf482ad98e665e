"""Metrics: computes accuracy, recall and precision of a classifier, with confidence intervals.

Pure arithmetic on readings; opens neither pictures nor models.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.bands import SIZE_BANDS, grouped, size_band
from converter.skin_tone import THIRDS, thirds_of
from training.masks.metrics import calibration_error, reliability

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge_agent.domain import Label

Z_95 = 1.959964
"""Half width, in standard deviations, of the central 95 % of a normal distribution."""

MIN_SWAP_GAIN = 0.3
MIN_SWAP_ACCURACY = 0.8
"""Labels count as swapped if another order increases accuracy by this much, to at least this much: far from chance."""

CHANCE_STANDARD_ERRORS = 2.0
"""A balanced accuracy within this many standard errors of guessing is chance (98 % confidence)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Prediction of one model for one face, with the true label. `score` is that of `predicted`.

    `domain` and `pose` are annotations of the picture and the face, `skin_angle` is the individual typology angle of a
    bare face in degrees.
    """

    truth: Label
    predicted: Label
    score: float
    side_px: float
    domain: str | None = None
    pose: str | None = None
    skin_angle: float | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` out of `of`, with a confidence interval."""

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        """0..1; None if `of` is 0."""
        return self.hits / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of Wilson (1927), which is accurate near 0 and 1 and for small numbers."""
        if not self.of:
            return None
        share, square = self.hits / self.of, Z_95**2
        middle = (share + square / (2 * self.of)) / (1 + square / self.of)
        half_width = (
            math.sqrt(share * (1 - share) / self.of + square / (4 * self.of**2)) * Z_95 / (1 + square / self.of)
        )
        # Rounding must not exclude the share itself, which is a limit of the interval at 0 and 1.
        return max(0.0, min(share, middle - half_width)), min(1.0, max(share, middle + half_width))

    def __str__(self) -> str:
        """The share with its interval in brackets: "97.1% (95.9..98.0)"."""
        if self.value is None or self.interval is None:
            return "-"
        low, high = self.interval
        return f"{self.value:.1%} ({low * 100:.1f}..{high * 100:.1f})"


def is_chance(recalls: Sequence[Share]) -> bool:
    """Whether the balanced accuracy is no better than guessing or a constant answer; `recalls` has every label.

    The margin follows Agresti and Coull (1998): two correct and two wrong answers are added to each label.
    """
    shares = [((recall.hits + 2) / (recall.of + 4), recall.of + 4) for recall in recalls]
    error = math.sqrt(sum(share * (1 - share) / number for share, number in shares))
    return sum(share for share, _ in shares) - CHANCE_STANDARD_ERRORS * error <= 1.0


@dataclass(frozen=True, slots=True)
class Metrics:
    """Accuracy of a classifier on some faces. `confusion` is truth -> prediction -> number of faces."""

    confusion: Mapping[Label, Mapping[Label, int]]
    calibration_error: float | None

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels that were compared."""
        return tuple(self.confusion)

    @property
    def accuracy(self) -> Share:
        """Share of faces classified correctly."""
        return Share(sum(self.confusion[label][label] for label in self.labels), self.faces)

    @property
    def faces(self) -> int:
        """Number of faces."""
        return sum(sum(row.values()) for row in self.confusion.values())

    def recall(self, label: Label) -> Share:
        """Share of a label's faces that were classified as it."""
        return Share(self.confusion[label][label], sum(self.confusion[label].values()))

    def precision(self, label: Label) -> Share:
        """Share of the faces classified as a label that really have it."""
        return Share(self.confusion[label][label], sum(row[label] for row in self.confusion.values()))

    def summary(self) -> dict[str, Any]:
        """The metrics for a card, without intervals and confusion."""
        return {
            "faces": self.faces,
            "accuracy": self.accuracy.value,
            "recall": {label: self.recall(label).value for label in self.labels},
            "precision": {label: self.precision(label).value for label in self.labels},
            "calibration_error": self.calibration_error,
        }

    def as_json(self) -> dict[str, Any]:
        """Shares as 0..1 with their intervals; null where the denominator is 0."""
        return self.summary() | {
            "accuracy_interval": self.accuracy.interval,
            "recall_interval": {label: self.recall(label).interval for label in self.labels},
            "precision_interval": {label: self.precision(label).interval for label in self.labels},
            "confusion": {truth: dict(row) for truth, row in self.confusion.items()},
        }


def measure(readings: Sequence[Reading], *, labels: Sequence[Label]) -> Metrics:
    """Compute metrics of readings, whose truths and predictions are all in `labels`."""
    confusion: dict[Label, dict[Label, int]] = {truth: dict.fromkeys(labels, 0) for truth in labels}
    for reading in readings:
        confusion[reading.truth][reading.predicted] += 1
    return Metrics(confusion, expected_calibration_error(readings))


def metrics_by_band(readings: Sequence[Reading], *, labels: Sequence[Label]) -> dict[str, dict[str, Metrics]]:
    """Metrics by size of the face in pixels and skin tone, and by domain and pose where annotated."""
    by_skin = grouped(
        zip(readings, thirds_of([reading.skin_angle for reading in readings]), strict=True),
        lambda pair: pair[1],
        order=THIRDS,
    )
    sorts = {
        "size_px": grouped(readings, lambda reading: size_band(reading.side_px), order=SIZE_BANDS),
        "domain": grouped(readings, lambda reading: reading.domain),
        "pose": grouped(readings, lambda reading: reading.pose),
        "skin": {name: [reading for reading, _ in pairs] for name, pairs in by_skin.items()},
    }
    return {
        sort: {name: measure(inside, labels=labels) for name, inside in bands.items()}
        for sort, bands in sorts.items()
        if bands
    }


def expected_calibration_error(readings: Sequence[Reading]) -> float | None:
    """Mean absolute difference between confidence and accuracy, over bins of equal width."""
    if not readings:
        return None
    scores = np.array([reading.score for reading in readings])
    correct = np.array([reading.predicted == reading.truth for reading in readings])
    return calibration_error(reliability(scores, correct))


def find_swapped_order(metrics: Metrics) -> tuple[Label, ...] | None:
    """The most accurate order of the labels, if it is clearly better than the given one; otherwise None."""
    order, share = most_accurate_order(metrics)
    current_accuracy = metrics.accuracy.value or 0.0
    return order if share >= MIN_SWAP_ACCURACY and share - current_accuracy >= MIN_SWAP_GAIN else None


def most_accurate_order(metrics: Metrics) -> tuple[tuple[Label, ...], float]:
    """The order of the labels with the highest accuracy, and that accuracy."""
    labels = metrics.labels

    def hits(order: tuple[Label, ...]) -> int:
        return sum(metrics.confusion[truth][predicted] for truth, predicted in zip(order, labels, strict=True))

    best = max(itertools.permutations(labels), key=hits)
    return best, hits(best) / max(1, metrics.faces)
