"""Comparison: how far is a converted model from the float model that it was made from?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from converter.progress import with_progress
from converter.silence import quiet_tensorflow
from edge_agent.domain import Box
from edge_agent.vision.masks import MaskReader
from edge_agent.vision.tflite import open_interpreter

if TYPE_CHECKING:
    from converter.masks.calibration import CalibrationSet
    from converter.masks.float_models import FloatModel
    from edge_agent.vision.card import MaskCard


@dataclass(frozen=True, slots=True)
class Comparison:
    """On how many of the pictures both read the same label, and how far any score of theirs is apart."""

    same: int
    pictures: int
    largest_score_difference: float


def compare(content: bytes, card: MaskCard, model: FloatModel, calibration: CalibrationSet) -> Comparison:
    """Read every calibration picture with both, without the card's temperature and thresholds."""
    bare = card.model_copy(update={"temperature": 1.0, "thresholds": {}})
    with quiet_tensorflow():
        classifier = MaskReader(open_interpreter(content, name=card.name), bare, name=card.name)
    whole = Box(0, 0, model.width_px, model.height_px)
    same, furthest = 0, 0.0
    for pixels in with_progress(calibration.pixels, total=len(calibration.pixels), what="comparing"):
        image = np.ascontiguousarray(pixels[:, :, ::-1])
        of_model, of_classifier = model.scores(image, whole), classifier.scores(image, whole)
        same += max(of_model, key=of_model.__getitem__) == max(of_classifier, key=of_classifier.__getitem__)
        furthest = max(furthest, *(abs(of_model[label] - of_classifier[label]) for label in model.labels))
    return Comparison(same, len(calibration.pixels), furthest)
