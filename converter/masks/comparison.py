"""Comparison: measures the agreement of a converted model with its source on the same pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from converter.masks.metrics import Share, is_chance
from converter.masks.model_settings import MIN_LABELLED_PICTURES
from converter.progress import with_progress
from edge_agent.domain import Box
from edge_agent.vision.classifier import MaskClassifier
from edge_agent.vision.tflite import open_interpreter
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from edge_agent.domain import Image, Label
    from edge_agent.vision.card import ClassifierCard


MAX_LOSS = 0.05
"""Largest accepted loss of accuracy relative to the source."""


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Scores of every label for every picture, (pictures, labels), before temperature and thresholds."""

    labels: tuple[Label, ...]
    scores: NDArray[np.float64]

    def accuracy(self, truths: Sequence[Label | None]) -> Share:
        """The correctly classified pictures, among those with a known label that is one of these."""
        predicted = self.scores.argmax(axis=1)
        known = [(index, truth) for index, truth in enumerate(truths) if truth in self.labels]
        return Share(sum(self.labels[predicted[index]] == truth for index, truth in known), len(known))

    def is_chance(self, truths: Sequence[Label | None]) -> bool:
        """Whether the labelled pictures suffice to show a balanced accuracy above chance, and do not show it."""
        recalls = [
            self.accuracy([truth if truth == label else None for truth in truths])
            for label in self.labels
            if label in truths
        ]
        is_enough = len(recalls) > 1 and sum(recall.of for recall in recalls) >= MIN_LABELLED_PICTURES
        return is_enough and is_chance(recalls)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two models on the same pictures; `converted` was made from `source`."""

    source: Predictions
    converted: Predictions
    truths: tuple[Label | None, ...]

    @property
    def pictures(self) -> int:
        """Number of pictures."""
        return len(self.source.scores)

    @property
    def same(self) -> int:
        """Number of pictures with the same label from both."""
        return int((self.source.scores.argmax(axis=1) == self.converted.scores.argmax(axis=1)).sum())

    @property
    def agreement(self) -> float:
        """Fraction of pictures with the same label from both."""
        return self.same / self.pictures

    @property
    def largest_score_difference(self) -> float:
        """Largest difference of any score."""
        return float(np.abs(self.source.scores - self.converted.scores).max())

    @property
    def loss(self) -> float:
        """Loss of accuracy as a fraction; 0 without known labels."""
        before, after = self.source.accuracy(self.truths), self.converted.accuracy(self.truths)
        # One division, because a difference of two may exceed the limit that it equals, as for 1 of 200 pictures.
        return (before.hits - after.hits) / before.of if before.of else 0.0

    @property
    def unacceptable_loss(self) -> str:
        """Description of an unacceptable loss, of accuracy or, without known labels, of agreement; empty if none."""
        has_labels = self.source.accuracy(self.truths).of > 0
        lost = self.loss if has_labels else (self.pictures - self.same) / self.pictures
        if lost <= MAX_LOSS:
            return ""
        return f"accuracy drops by {lost:.1%}" if has_labels else f"{lost:.1%} of the predictions differ"


def predict(
    scores: Callable[[Image, Box], Mapping[Label, float]],
    pixels: NDArray[np.uint8],
    labels: tuple[Label, ...],
    *,
    what: str,
) -> Predictions:
    """Classify every picture, (pictures, height, width, 3), RGB, with one model."""
    whole = Box(0, 0, pixels.shape[2], pixels.shape[1])
    rows = []
    for picture in with_progress(pixels, total=len(pixels), what=what):
        found = scores(np.ascontiguousarray(picture[:, :, ::-1]), whole)
        rows.append([found[label] for label in labels])
    return Predictions(labels, np.array(rows, np.float64))


def predict_converted(content: bytes, card: ClassifierCard, pixels: NDArray[np.uint8]) -> Predictions:
    """Classify every picture with a converted model, through the device's own code."""
    bare = card.model_copy(update={"temperature": 1.0, "thresholds": {}})
    with quiet_tensorflow():
        classifier = MaskClassifier(open_interpreter(content, name=card.name), bare, name=card.name)
    return predict(classifier.scores, pixels, card.labels, what="classifying with the converted model")
