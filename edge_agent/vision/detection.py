"""Detection: faces and readings of a single picture, without tracking or rules."""

from __future__ import annotations

import time
from dataclasses import astuple
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import Field, PlainSerializer

from edge_agent.domain import Label  # noqa: TC001  (pydantic reads it)
from edge_agent.messages.message import Part

if TYPE_CHECKING:
    from edge_agent.domain import Image
    from edge_agent.vision.classifier import MaskClassifier
    from edge_agent.vision.detector import FaceDetector

# JSON has no more digits than these: they would be false precision.
Score = Annotated[float, PlainSerializer(lambda score: round(score, 4), return_type=float)]
Place = Annotated[float, PlainSerializer(lambda pixels: round(pixels, 1), return_type=float)]
Elapsed = Annotated[float, PlainSerializer(lambda elapsed_ms: round(elapsed_ms, 2), return_type=float)]
Sides: TypeAlias = tuple[Place, Place, Place, Place]
"""Left, top, right, bottom in pixels of the picture."""


class DetectedFace(Part):
    """A face in a picture."""

    box: Sides = Field(description="Left, top, right, bottom in pixels of the picture")
    face_score: Score = Field(description="Score of the detection, 0..1")
    label: Label = Field(description="How the mask is worn")
    label_score: Score = Field(description="Probability of the label, 0..1")
    scores: dict[Label, Score] = Field(description="Probability of each label")


class Detection(Part):
    """The faces of a picture, including small ones, as `edge-agent detect --json` prints them."""

    width: int = Field(description="Pixels")
    height: int = Field(description="Pixels")
    faces: tuple[DetectedFace, ...]
    elapsed_ms: dict[str, Elapsed] = Field(description="Duration of `faces` and `masks`")


def detect(image: Image, detector: FaceDetector, classifier: MaskClassifier) -> Detection:
    """Detect and classify every face of a picture (BGR, uint8); false detections are omitted."""
    began = time.perf_counter()
    faces = detector.detect(image)
    found = time.perf_counter()
    readings = [classifier.classify(image, face.box) for face in faces]
    read = time.perf_counter()
    return Detection(
        width=image.shape[1],
        height=image.shape[0],
        faces=tuple(
            DetectedFace(
                box=astuple(face.box),
                face_score=face.score,
                label=reading.label,
                label_score=reading.score,
                scores=dict(reading.scores),
            )
            for face, reading in zip(faces, readings, strict=True)
            if reading.is_face
        ),
        elapsed_ms={"faces": 1000 * (found - began), "masks": 1000 * (read - found)},
    )
