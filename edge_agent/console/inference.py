"""Inference: detects and classifies the faces of an uploaded picture.

Detector, classifier and configuration are those of the agent, loaded in this process on first use.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from edge_agent.console.worker import Worker
from edge_agent.vision.detection import detect
from edge_agent.vision.images import decode_picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.vision.classifier import MaskClassifier
    from edge_agent.vision.detection import Detection
    from edge_agent.vision.detector import FaceDetector

    OpenModels: TypeAlias = Callable[[], tuple[FaceDetector, MaskClassifier]]

MAX_WAITING = 16
"""At 20 to 200 ms per picture; with a longer queue clients would time out."""
MAX_DECODING_SECONDS = 2.5
"""So that the sender of a picture gets a response within three seconds on a busy machine, too."""


class Inference:
    """Analyses one picture at a time in its own thread. Called from the event loop only."""

    def __init__(self, open_models: OpenModels, *, max_pixels: int) -> None:
        """Pictures of more than `max_pixels` are refused."""
        self._models, self._max_pixels = cache(open_models), max_pixels
        self._worker = Worker("inference", max_waiting=MAX_WAITING)

    async def detect(self, content: bytes) -> Detection:
        """Analyse an encoded picture.

        Raises:
            BusyError: too many pictures are queued.
            ModelError: a model or its card is missing or does not fit.
            PictureError: the picture is damaged or has too many pixels.
        """
        return await self._worker.do(self._detect, content)

    def close(self) -> None:
        """Stop the thread."""
        self._worker.close()

    def _detect(self, content: bytes) -> Detection:
        image = decode_picture(content, max_pixels=self._max_pixels, max_seconds=MAX_DECODING_SECONDS)
        return detect(image, *self._models())
