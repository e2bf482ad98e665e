"""Confidence: temperature scaling and label thresholds.

Both answers come from faces that the model was not trained on, and stand on its card.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_agent.domain import Label

TEMPERATURE_LIMITS = (0.5, 10.0)
"""Faces without a mistake ask for ever more confidence; 0.5 makes 0.99 of 0.9. Beyond 10 a model is just wrong."""
TEMPERATURE_STEP = 1e-3
THRESHOLD_RATIO_LIMITS = (1 / 9, 9.0)
"""Of two labels: thresholds of 0.1 to 0.9. Some hundreds of faces do not show rarer mistakes."""
REJECTED_FRACTION = 0.01
"""So many true faces may be taken for none: each is a person who goes unseen."""
FEWEST_FACES = 100
"""With fewer, a single mistake moves a share by more than a point."""


def fit_temperature(scores: NDArray[np.float64], truths: NDArray[np.int64]) -> float:
    """The temperature under which scores, (faces, labels), make the truths, (faces,), likeliest.

    Scores become scores ** (1 / temperature), renormalised (Guo et al. 2017, "On Calibration of Modern Neural
    Networks"). A golden-section search over the logarithm, in which the loss has one valley.
    """
    logits = np.log(scores)

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        likelihood = scaled[np.arange(len(truths)), truths] - np.log(np.exp(scaled).sum(axis=1))
        return -float(likelihood.mean())

    low, high = (math.log(limit) for limit in TEMPERATURE_LIMITS)
    golden = (math.sqrt(5) - 1) / 2
    while high - low > TEMPERATURE_STEP:
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def fit_thresholds(
    scores: NDArray[np.float64], truths: NDArray[np.int64], *, labels: Sequence[Label], false_alarm_fraction: float
) -> dict[Label, float]:
    """Thresholds under which at most this share of properly masked faces is read as each other label.

    A label is read when its score exceeds its threshold by the largest factor (card.py), so only the thresholds'
    ratios count: each violation is compared with `with_mask` alone. They sum to 1.

    Raises:
        ConfigError: there are too few properly masked faces to measure so small a share.
    """
    proper = labels.index("with_mask") if "with_mask" in labels else -1
    masked = scores[truths == proper]
    if len(masked) * false_alarm_fraction < 1:
        raise ConfigError(
            f"{len(masked)} faces with a mask cannot show a share of {false_alarm_fraction:g}; give "
            f"{math.ceil(1 / false_alarm_fraction)} or more, or allow more false alarms"
        )
    ratios = {}
    for index, label in enumerate(labels):
        if index == proper:
            ratios[label] = 1.0
            continue
        # The ratio that only this share of masked faces exceeds.
        exceeded = np.quantile(masked[:, index] / masked[:, proper], 1 - false_alarm_fraction, method="higher")
        ratios[label] = float(np.clip(exceeded, *THRESHOLD_RATIO_LIMITS))
    whole = sum(ratios.values())
    return {label: ratio / whole for label, ratio in ratios.items()}


def fit_no_face_threshold(no_face: NDArray[np.float64]) -> float:
    """The probability of `no_face`, 0.5 or more, that few true faces, (faces,), exceed: `REJECTED_FRACTION` of them."""
    exceeded = np.quantile(no_face, 1 - REJECTED_FRACTION, method="higher")
    return round(float(np.clip(exceeded, 0.5, 1.0)), 4)
