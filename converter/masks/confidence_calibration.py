"""Confidence calibration: fits temperature and label thresholds.

Both are fitted to faces that the model was not trained on, and stored in its card.
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
"""Without errors the optimum diverges towards 0; 0.5 turns 0.9 into 0.99. Beyond 10 a model is simply wrong."""
TEMPERATURE_STEP = 1e-3
THRESHOLD_RATIO_LIMITS = (1 / 9, 9.0)
"""Between two labels: thresholds of 0.1 to 0.9. A few hundred faces do not reveal rarer errors."""
REJECTED_FRACTION = 0.02
"""Accepted fraction of true faces rejected as no face: each is a person missed."""
LEAST_NO_FACE_THRESHOLD = 0.3
"""A model that is sure of the faces it knows may doubt others."""
MIN_FACES = 100
"""With fewer faces, one error changes a share by more than a point."""


def fit_temperature(scores: NDArray[np.float64], truths: NDArray[np.int64]) -> float:
    """The temperature that maximises the likelihood of the truths, (faces,), given the scores, (faces, labels).

    Scores become scores ** (1 / temperature), renormalised (Guo et al. 2017, "On Calibration of Modern Neural
    Networks"). Golden-section search over the logarithm, in which the loss is unimodal.
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
    """Thresholds that give each other label to at most this fraction of properly masked faces.

    The label whose score exceeds its threshold by the largest factor wins (card.py), so only the ratios of thresholds
    matter: each violation is compared with `with_mask` alone. They sum to 1.

    Raises:
        ConfigError: there are too few properly masked faces to measure so small a fraction.
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
        # Only this fraction of masked faces exceeds the ratio.
        exceeded = np.quantile(masked[:, index] / masked[:, proper], 1 - false_alarm_fraction, method="higher")
        ratios[label] = float(np.clip(exceeded, *THRESHOLD_RATIO_LIMITS))
    whole = sum(ratios.values())
    return {label: ratio / whole for label, ratio in ratios.items()}


def fit_no_face_threshold(no_face: NDArray[np.float64]) -> float:
    """The `no_face` probability that only `REJECTED_FRACTION` of true faces, (faces,), exceed."""
    exceeded = np.quantile(no_face, 1 - REJECTED_FRACTION, method="higher")
    return round(float(np.clip(exceeded, LEAST_NO_FACE_THRESHOLD, 1.0)), 4)
