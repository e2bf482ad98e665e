"""Detector candidates: opens any supported face detector for evaluation.

All use the device's own code; the float network of a run gets the same inputs as its converted version.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from converter.model_kind import CARD_SUFFIX, CASCADE
from edge_agent.domain import Box, Face
from edge_agent.errors import ConfigError
from edge_agent.vision.card import model_bytes, read_detector_card
from edge_agent.vision.detector.tflite import choose_input, open_tflite_detector
from training.faces.keras_detector import KerasDetector
from training.faces.network import open_network
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_agent.domain import Image
    from edge_agent.vision.card import DetectorCard
    from edge_agent.vision.classifier import MaskClassifier
    from edge_agent.vision.tflite import RuntimeChoice

    Detect: TypeAlias = Callable[[Image], list[Face]]

MIN_SCORE = 0.02
"""Average precision ranks detections down to this score; lower ones are noise."""
DEFAULT_MIN_SCORE, DEFAULT_MIN_FACE_PX, DEFAULT_LONGER_SIDE_PX = 0.6, 24.0, 640
"""Defaults of the agent's configuration."""
DEFAULT_SIZES = ((512, 384), (384, 512))
"""Input sizes of a float network without a card."""


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """Detector settings, as in the agent's section `faces`."""

    min_face_px: float = DEFAULT_MIN_FACE_PX
    longer_side_px: int = DEFAULT_LONGER_SIDE_PX
    min_score: float | None = None
    """Minimum score of a face; None: that of the card, else DEFAULT_MIN_SCORE."""
    runtime: RuntimeChoice = "auto"


@dataclass(frozen=True, slots=True, eq=False)
class DetectorCandidate:
    """A detector to evaluate. `detect` returns detections down to MIN_SCORE; those from `min_score` on are faces.

    If `classifier` is set, detections that it rejects are not faces, as on a device.
    """

    name: str
    detect: Detect
    min_score: float
    classifier: MaskClassifier | None = None


def open_detector_candidates(models: Sequence[str], settings: DetectorSettings) -> list[DetectorCandidate]:
    """Open detectors in the given order: cards, runs, YuNet (.onnx), the res10 network (.pb) or `haar`.

    Raises:
        ModelError: a file is missing, damaged, or not a detector.
        ConfigError: the kind of a detector cannot be determined.
    """
    cards = [read_detector_card(Path(model))[0] for model in models if model.endswith(CARD_SUFFIX)]
    return [_open(model, settings, cards) for model in models]


def _open(model: str, settings: DetectorSettings, cards: Sequence[DetectorCard]) -> DetectorCandidate:
    min_score = DEFAULT_MIN_SCORE if settings.min_score is None else settings.min_score
    path = Path(model)
    if path.suffix == CARD_SUFFIX:
        with quiet_tensorflow():
            detector = open_tflite_detector(
                path, min_score=MIN_SCORE, min_face_px=settings.min_face_px, runtime=settings.runtime
            )
        own = detector.card.min_score if settings.min_score is None else settings.min_score
        return DetectorCandidate(model, detector.detect, own)
    if path.is_dir() or path.suffix == ".keras":
        card = next(iter(cards), None)
        return DetectorCandidate(model, float_detect(path, card, min_face_px=settings.min_face_px), min_score)
    return DetectorCandidate(model, _third_party_detect(model, settings), min_score)


def _third_party_detect(model: str, settings: DetectorSettings) -> Detect:
    min_face_px, side = settings.min_face_px, settings.longer_side_px
    if model == CASCADE:
        from edge_agent.vision.detector.haar import HaarDetector

        return HaarDetector(min_score=MIN_SCORE, min_face_px=min_face_px, longer_side_px=side).detect
    match Path(model).suffix:
        case ".onnx":
            from edge_agent.vision.detector.yunet import YuNetDetector

            # The evaluation filters small faces, as it does for the project's own detector.
            return YuNetDetector(
                model_bytes(Path(model)), name=model, min_score=MIN_SCORE, min_face_px=1, longer_side_px=side
            ).detect
        case ".pb":
            from edge_agent.vision.detector.ssd import SsdDetector, text_beside

            path = Path(model)
            return SsdDetector(
                model_bytes(path), text_beside(path), name=model, min_score=MIN_SCORE, min_face_px=1
            ).detect
        case _:
            raise ConfigError(
                f"{model}: no face detector; give a card (.json), the folder of a run, a YuNet file (.onnx), the res10 "
                f"network (.pb), or '{CASCADE}'"
            )


def float_detect(run: Path, card: DetectorCard | None, *, min_face_px: float) -> Detect:
    """Detection with a run's float network, on the inputs that a card's networks would get.

    Raises:
        ModelError: the network is missing or invalid.
    """
    with quiet_tensorflow():
        network = open_network(run / "model.keras" if run.is_dir() else run)
    sizes = [(file.input.width, file.input.height) for file in card.files] if card else list(DEFAULT_SIZES)
    wanted = (card.smallest_px if card else 1.0) / min_face_px
    detectors = {
        size: KerasDetector(network, longer_px=max(size), shorter_px=min(size), min_score=MIN_SCORE) for size in sizes
    }

    def detect(image: Image) -> list[Face]:
        chosen = sizes[choose_input(sizes, (image.shape[1], image.shape[0]), wanted)]
        boxes, scores = detectors[chosen](image)
        return [Face(Box(*box), score) for box, score in zip(boxes.tolist(), scores.tolist(), strict=True)]

    return detect
