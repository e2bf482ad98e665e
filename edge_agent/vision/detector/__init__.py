"""Face detectors: find the faces in a picture."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from edge_agent.vision.card import model_bytes
from edge_agent.vision.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.config.model import FacesConfig
    from edge_agent.domain import Face, Picture
    from edge_agent.vision.detector.haar import HaarDetector
    from edge_agent.vision.detector.ssd import SsdDetector
    from edge_agent.vision.detector.yunet import YuNetDetector
    from edge_agent.vision.tflite import RuntimeChoice

    OpenCVDetector: TypeAlias = HaarDetector | SsdDetector | YuNetDetector


class FaceDetector(Protocol):
    """A face detector; one of `open_detector` is thread-safe."""

    @property
    def sha256(self) -> str:
        """Hash of the file that it was loaded from, or of its card; empty for the cascade that OpenCV includes."""
        ...

    def detect(self, picture: Picture, *, min_score: float | None = None) -> list[Face]:
        """Detect the faces of a picture, highest score first; boxes in its pixels, clipped to it.

        `min_score`, 0..1, replaces that of the configuration.
        """
        ...


def open_detector(
    config: FacesConfig, *, runtime: RuntimeChoice = "auto", threads: int = 1, copies: int = 1
) -> FaceDetector:
    """Build the configured detector; `runtime` and `threads` are for TFLite only.

    `copies` is the number of threads that can use it at once.

    Raises:
        ModelError: its network is missing, is not a detector, or cannot be run by this OpenCV or runtime.
    """
    if config.detector == "tflite":
        from edge_agent.vision.detector.tflite import open_tflite_detector

        return open_tflite_detector(
            config.card,
            min_score=config.min_score,
            min_face_px=config.min_face_px,
            runtime=runtime,
            threads=threads,
            copies=copies,
        )
    content = b"" if config.detector == "haar" else model_bytes(config.card)
    sha256 = hashlib.sha256(content).hexdigest() if content else ""
    return _PooledDetector([_open_opencv_detector(config, content) for _ in range(copies)], sha256=sha256)


def _open_opencv_detector(config: FacesConfig, content: bytes) -> OpenCVDetector:
    """`content` is that of the network's file."""
    match config.detector:
        case "haar":
            from edge_agent.vision.detector.haar import HaarDetector

            return HaarDetector(
                min_score=config.least_score, min_face_px=config.min_face_px, longer_side_px=config.input_long_side_px
            )
        case "yunet":
            from edge_agent.vision.detector.yunet import YuNetDetector

            return YuNetDetector(
                content,
                name=str(config.card),
                min_score=config.least_score,
                min_face_px=config.min_face_px,
                longer_side_px=config.input_long_side_px,
            )
        case _:
            from edge_agent.vision.detector.ssd import SsdDetector, text_beside

            return SsdDetector(
                content,
                text_beside(config.card),
                name=str(config.card),
                min_score=config.least_score,
                min_face_px=config.min_face_px,
            )


class _PooledDetector:
    """Copies of a detector that is not thread-safe itself, and needs the whole picture in BGR."""

    def __init__(self, copies: Sequence[OpenCVDetector], *, sha256: str) -> None:
        self._copies = Pool(copies)
        self.sha256 = sha256

    def detect(self, picture: Picture, *, min_score: float | None = None) -> list[Face]:
        with self._copies.taken() as detector:
            return detector.detect(np.asarray(picture), min_score=min_score)
