"""Metrics: accuracy, loss and calibration of predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from training.masks.metrics import Predictions, report_text

if TYPE_CHECKING:
    from edge_agent.domain import Label

LABELS: tuple[Label, ...] = ("with_mask", "without_mask")


def predictions(scores, targets) -> Predictions:
    return Predictions(LABELS, np.array(scores, float), np.array(targets))


def test_precision_and_recall_are_those_of_the_label():
    report = predictions([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.1, 0.9]], [0, 0, 1, 1]).report()

    assert report["accuracy"] == 0.75
    assert report["labels"]["with_mask"]["precision"] == pytest.approx(2 / 3)
    assert report["labels"]["without_mask"]["recall"] == 0.5
    assert report["labels"]["without_mask"]["f1"] == pytest.approx(2 / 3)
    assert report["confusion"] == [[2, 0], [1, 1]]


def test_the_balanced_loss_weights_a_rare_label_between_its_share_and_equal_weight():
    often_right = predictions([[0.99, 0.01]] * 99 + [[0.9, 0.1]], [0] * 99 + [1])
    frequent, rare = -np.log(0.99), -np.log(0.1)

    assert often_right.accuracy() == 0.99
    assert often_right.balanced_loss() > 0.99 * frequent + 0.01 * rare
    assert often_right.balanced_loss() < (frequent + rare) / 2


def test_calibrated_scores_have_no_calibration_error():
    honest = predictions([[0.8, 0.2]] * 10, [0] * 8 + [1] * 2).report()
    boastful = predictions([[0.99, 0.01]] * 10, [0] * 8 + [1] * 2).report()

    assert honest["calibration_error"] == pytest.approx(0.0, abs=1e-9)
    assert boastful["calibration_error"] == pytest.approx(0.19)


def test_a_label_without_faces_is_no_division_by_zero():
    report = predictions([[0.9, 0.1]], [0]).report()

    assert report["labels"]["without_mask"]["recall"] == 0.0
    assert "with_mask" in report_text("street", report)
