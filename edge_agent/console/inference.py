"""Inference: detects and classifies the faces of an uploaded picture.

Detector, classifier and configuration are those of the agent, loaded in this process on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from edge_agent.console.worker import Worker
from edge_agent.vision.detection import detect
from edge_agent.vision.images import decode_picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.vision.classifier import MaskClassifier
    from edge_agent.vision.detector import FaceDetector

    OpenModels: TypeAlias = Callable[[], tuple[FaceDetector, MaskClassifier]]

MOST_WAITING = 16
"""At 20 to 200 ms a picture, who comes behind so many waits for longer than a program does."""


class Inference:
    """Analyses one picture at a time, in a thread of its own. Asked from the event loop only."""

    def __init__(self, open_models: OpenModels, *, max_pixels: int) -> None:
        """No picture of more than `max_pixels` is decoded."""
        self._open, self._max_pixels = open_models, max_pixels
        self._worker = Worker("inference", most_waiting=MOST_WAITING)
        self._models: tuple[FaceDetector, MaskClassifier] | None = None

    async def detect(self, content: bytes) -> dict[str, Any]:
        """Analyse an encoded picture; the answer is that of `edge-agent detect --json`, without the path.

        Raises:
            BusyError: too many pictures wait.
            ModelError: a model or its card is missing or does not fit.
            PictureError: it is damaged, or has too many pixels.
        """
        return await self._worker.do(self._detect, content)

    def close(self) -> None:
        """Analyse nothing more."""
        self._worker.close()

    def _detect(self, content: bytes) -> dict[str, Any]:
        image = decode_picture(content, max_pixels=self._max_pixels)
        if self._models is None:
            self._models = self._open()
        return detect(image, *self._models).as_json()
