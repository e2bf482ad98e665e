"""Batches of faces for training."""

from __future__ import annotations

import numpy as np
import pytest

from training.masks.batches import mixup


def mixed(*, weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0), alpha: float = 0.2, seed: int = 1):
    values = np.ones((4, 2, 2, 3), np.float32) * np.arange(4, dtype=np.float32)[:, None, None, None]
    random = np.random.default_rng(seed)
    return mixup(values, np.eye(4, dtype=np.float32), np.array(weights, np.float32), alpha=alpha, random=random)


def test_mixup_mixes_the_targets_as_the_pictures():
    values, targets, weights = mixed()

    assert values[:, 0, 0, 0] == pytest.approx(targets @ np.arange(4), abs=1e-6)
    assert targets.sum(axis=1) == pytest.approx(np.ones(4))
    assert weights == pytest.approx(np.ones(4))
    assert values.dtype == targets.dtype == weights.dtype == np.float32


def test_most_of_a_mixed_picture_is_its_own():
    shares = np.concatenate([np.diag(mixed(seed=seed)[1]) for seed in range(100)])

    assert shares.min() >= 0.5
    assert 0.5 < shares.mean() < 0.999


def test_a_label_keeps_its_weight_in_the_loss_when_it_is_mixed():
    _, targets, weights = mixed(weights=(1.0, 4.0, 1.0, 4.0))
    shares = np.diag(mixed()[1])

    assert weights[:, None] * targets == pytest.approx(
        np.diag(shares * [1, 4, 1, 4]) + np.roll(np.eye(4), -1, axis=1) * ((1 - shares) * [4, 1, 4, 1])[:, None]
    )
