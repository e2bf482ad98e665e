"""Face finders: where are the faces in this picture?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from edge_agent.config.model import FacesConfig
    from edge_agent.domain import Face, Image
    from edge_agent.vision.tflite import RuntimeChoice


class FaceFinder(Protocol):
    """What every finder can do. Owned by one thread."""

    def find(self, image: Image) -> list[Face]:
        """Find the faces of a BGR picture, surest first, in pixels of that picture and inside it."""
        ...


def open_face_finder(config: FacesConfig, *, runtime: RuntimeChoice = "auto", threads: int = 1) -> FaceFinder:
    """Build the finder that the configuration names; `runtime` and `threads` are for TFLite only.

    Raises:
        ModelError: its network is missing, is no finder, or this OpenCV cannot run it.
    """
    match config.detector:
        case "tflite":
            from edge_agent.vision.faces.tflite import open_tflite_finder

            return open_tflite_finder(
                config.card,
                min_score=config.min_score,
                smallest_px=config.min_face_px,
                runtime=runtime,
                threads=threads,
            )
        case "haar":
            from edge_agent.vision.faces.haar import HaarFinder

            return HaarFinder(
                min_score=config.least_score, smallest_px=config.min_face_px, longer_side_px=config.input_long_side_px
            )
        case "yunet":
            from edge_agent.vision.faces.yunet import YuNetFinder

            return YuNetFinder(
                config.network,
                min_score=config.least_score,
                smallest_px=config.min_face_px,
                longer_side_px=config.input_long_side_px,
            )
        case "ssd":
            from edge_agent.vision.faces.ssd import SsdFinder

            return SsdFinder(config.network, min_score=config.least_score, smallest_px=config.min_face_px)
