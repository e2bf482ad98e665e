"""Confidence calibration: temperature and thresholds on synthetic scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from converter.masks.confidence_calibration import (
    THRESHOLD_RATIO_LIMITS,
    fit_no_face_threshold,
    fit_temperature,
    fit_thresholds,
)
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from edge_agent.domain import Label

LABELS: tuple[Label, ...] = ("with_mask", "without_mask", "mask_worn_incorrectly")


def drawn(count, *, temperature, seed=1):
    """Scores of a model that is too sure by `temperature`, and truths drawn from the honest ones."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (count, 3))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truths = np.array([random.choice(3, p=row) for row in honest])
    sure = honest**temperature
    return sure / sure.sum(axis=1, keepdims=True), truths


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.5])
def test_the_temperature_corrects_too_high_and_too_low_confidence(temperature):
    scores, truths = drawn(4000, temperature=temperature)

    assert fit_temperature(scores, truths) == pytest.approx(temperature, rel=0.06)


def test_faces_without_errors_do_not_give_infinite_confidence():
    scores = np.full((200, 2), [0.9, 0.1])

    assert fit_temperature(scores, np.zeros(200, np.int64)) >= 0.5


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_the_share_of_misread_masked_faces_stays_within_the_limit(share):
    scores, truths = drawn(5000, temperature=1.0)

    thresholds = fit_thresholds(scores, truths, labels=LABELS, false_alarm_fraction=share)

    read = (scores / np.array([thresholds[label] for label in LABELS])).argmax(axis=1)
    masked = read[truths == 0]
    low, high = THRESHOLD_RATIO_LIMITS
    ratios = [thresholds[label] / thresholds["with_mask"] for label in LABELS[1:]]
    assert sum(thresholds.values()) == pytest.approx(1.0)
    for index, ratio in enumerate(ratios, 1):
        # Where the limit holds the threshold back, more false alarms are left.
        assert (masked == index).mean() <= share or ratio == pytest.approx(high)
        assert low <= ratio <= high + 1e-9


def test_the_card_applies_thresholds_as_they_were_fitted():
    scores = np.array([[0.7, 0.3]] * 90 + [[0.4, 0.6]] * 10 + [[0.1, 0.9]] * 50)
    truths = np.array([0] * 100 + [1] * 50)

    thresholds = fit_thresholds(scores, truths, labels=LABELS[:2], false_alarm_fraction=0.05)

    # 10 of 100 masked faces have a ratio of 1.5: it must not be exceeded.
    assert thresholds["without_mask"] / thresholds["with_mask"] == pytest.approx(1.5)


def test_too_few_masked_faces_cannot_show_a_small_share():
    with pytest.raises(ConfigError, match=r"50 faces with a mask cannot show a share of 0.001; give 1000 or more"):
        fit_thresholds(np.full((50, 2), 0.5), np.zeros(50, np.int64), labels=LABELS[:2], false_alarm_fraction=0.001)


def test_few_true_faces_are_rejected_also_by_a_model_that_is_sure_of_them():
    sure = np.linspace(0.0, 0.2, 1000)
    doubtful = np.concatenate([np.zeros(900), np.linspace(0.6, 0.99, 100)])

    assert fit_no_face_threshold(sure) == 0.3
    assert 15 <= (doubtful > fit_no_face_threshold(doubtful)).sum() <= 20
