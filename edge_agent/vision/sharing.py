"""Sharing: models that the threads of all cameras use, one thread at a time each.

An interpreter takes 15 MB, and no more of them than cores can run at once.
"""

from __future__ import annotations

import queue
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edge_agent.domain import Box, Face, Image
    from edge_agent.vision.card import ClassifierCard
    from edge_agent.vision.classifier import Classification, MaskClassifier
    from edge_agent.vision.detector import FaceDetector

ModelT = TypeVar("ModelT")


class SharedDetector:
    """Equal face detectors; thread-safe."""

    def __init__(self, detectors: Sequence[FaceDetector]) -> None:
        """At least one, each of which nothing else uses."""
        self._detectors = _Free(detectors)

    def detect(self, image: Image) -> list[Face]:
        """Detect faces with a free one, as `FaceDetector`; waits until one is free."""
        with self._detectors.taken() as detector:
            return detector.detect(image)


class SharedClassifier:
    """Equal mask classifiers; thread-safe."""

    def __init__(self, classifiers: Sequence[MaskClassifier]) -> None:
        """At least one, each of which nothing else uses."""
        self.card: ClassifierCard = classifiers[0].card
        self.runtime = classifiers[0].runtime
        self._classifiers = _Free(classifiers)

    def classify(self, image: Image, box: Box) -> Classification:
        """Classify one detection with a free one, as `MaskClassifier`; waits until one is free."""
        with self._classifiers.taken() as classifier:
            return classifier.classify(image, box)


class _Free(Generic[ModelT]):
    """The models that no thread uses at the moment."""

    def __init__(self, models: Sequence[ModelT]) -> None:
        # The one used last: its memory is still in the cache, and others are only touched where several are needed.
        self._models: queue.LifoQueue[ModelT] = queue.LifoQueue()
        for model in models:
            self._models.put(model)

    @contextmanager
    def taken(self) -> Iterator[ModelT]:
        model = self._models.get()
        try:
            yield model
        finally:
            self._models.put(model)
