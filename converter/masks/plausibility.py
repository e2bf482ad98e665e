"""Plausibility: does what was said of a model fit pictures whose labels are known?

Nothing in a Keras file says in which order its labels stand, or which range its pixels had when a model without a
scaling layer was trained. Calibration pictures in folders named after labels tell both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from converter.errors import GateError
from converter.masks.float_models import PIXEL_RANGES
from converter.masks.metrics import CLEARLY_RIGHT, Metrics, Reading, better_order, likeliest_order, measure

if TYPE_CHECKING:
    from converter.masks.calibration import CalibrationSet
    from converter.masks.float_models import FloatModel

ENOUGH_PICTURES = 60
"""Seconds for the largest models, and chance alone reads fewer than 40 of them right 99 times in 100."""
CLEARLY_BETTER = 0.1
"""Another range than the usual one is taken when it reads so many more faces right."""


def settled_pixels(model: FloatModel, calibration: CalibrationSet) -> FloatModel:
    """The model with the range of pixels that reads most pictures right, where its own is only assumed."""
    if not model.pixels_are_assumed:
        return model
    candidates = [replace(model, pixels=pixels) for pixels in PIXEL_RANGES]
    # In whatever order the labels stand: that is another question.
    right = [likeliest_order(_metrics(candidate, calibration))[1] for candidate in candidates]
    best = int(np.argmax(right))
    assumed = right[PIXEL_RANGES.index(model.pixels)]
    if right[best] < max(CLEARLY_RIGHT, assumed + CLEARLY_BETTER):
        return model
    return replace(candidates[best], pixels_are_assumed=False)


def check_order_of_labels(model: FloatModel, calibration: CalibrationSet) -> None:
    """Refuse labels that stand in another order than the pictures' folders say.

    Raises:
        GateError: another order reads clearly more pictures right.
    """
    metrics = _metrics(model, calibration)
    order = better_order(metrics)
    if order is not None:
        raise GateError(
            f"{model.path}: reads {metrics.accuracy.value or 0:.0%} of the calibration pictures right: its labels "
            f"stand in the wrong order; convert it with --labels {','.join(order)}"
        )


def _metrics(model: FloatModel, calibration: CalibrationSet) -> Metrics:
    """How the model reads some of the pictures, evenly chosen; pictures without a label of the model do not count."""
    known = [index for index, label in enumerate(calibration.labels) if label in model.labels]
    chosen = known[:: max(1, len(known) // ENOUGH_PICTURES)]
    readings = []
    for index in chosen:
        truth = calibration.labels[index]
        outputs = model.outputs(calibration.pixels[index])
        best = int(np.argmax(outputs))
        if truth is not None:
            readings.append(Reading(truth, model.labels[best], float(outputs[best]), side_px=float(model.width_px)))
    return measure(readings, labels=model.labels)
