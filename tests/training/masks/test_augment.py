"""Augmentation: layers that vary the appearance of a face."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from training.masks.recipe import AugmentationRecipe

pytestmark = pytest.mark.tensorflow

STILL = AugmentationRecipe(
    rotation_degrees=0, shear_fraction=0, zoom_fraction=0, shift_fraction=0, flip_share=0,
    brightness_fraction=0, contrast_fraction=0, gamma_fraction=0, tint_fraction=0, grey_share=0,
    blur_share=0, noise_fraction=0,
)  # fmt: skip


def pictures(count: int = 8) -> np.ndarray[Any, Any]:
    """Left half dark, right half bright, in three colours."""
    images = np.full((count, 16, 16, 3), (60.0, 80.0, 100.0), np.float32)
    images[:, :, 8:] += 100
    return images


def augmented(images: np.ndarray[Any, Any], **changed: float) -> np.ndarray[Any, Any]:
    from training.masks.augment import build_augmentation

    return np.asarray(build_augmentation(STILL.model_copy(update=changed), seed=1)(images))


def test_with_everything_off_nothing_changes():
    assert np.allclose(augmented(pictures()), pictures(), atol=0.01)


def test_pictures_keep_their_order():
    images = pictures(12) * np.linspace(0.2, 1.0, 12, dtype=np.float32)[:, None, None, None]

    blurred = augmented(images, blur_share=0.9)

    assert (np.diff(blurred.mean(axis=(1, 2, 3))) > 0).all()
    assert not np.allclose(blurred, images, atol=1.0)


def test_about_half_of_the_pictures_are_mirrored():
    mirrored = augmented(pictures(64), flip_share=0.5)

    share = (mirrored[:, 8, 2].mean(axis=-1) > mirrored[:, 8, 13].mean(axis=-1)).mean()
    assert 0.25 < share < 0.75


def test_a_quarter_turn_moves_left_and_right_to_top_and_bottom():
    turned = augmented(pictures(64), rotation_degrees=90)

    upright = np.abs(turned[:, 2, 8].mean(axis=-1) - turned[:, 13, 8].mean(axis=-1))
    assert upright.max() > 90


@pytest.mark.parametrize(
    "key",
    ["brightness_fraction", "contrast_fraction", "gamma_fraction", "tint_fraction", "noise_fraction", "grey_share"],
)
def test_changed_light_stays_within_the_range_of_pixels(key):
    lit = augmented(pictures(), **{key: 0.5})

    assert not np.allclose(lit, pictures(), atol=1.0)
    assert lit.min() >= 0.0
    assert lit.max() <= 255.0


def test_random_values_are_reproducible_and_differ_between_epochs():
    from training.masks.augment import build_augmentation, reseed

    layers = build_augmentation(AugmentationRecipe(), seed=1)
    seen = []
    for epoch in (3, 4, 3):
        reseed(layers, seed=1, epoch=epoch)
        seen.append(np.asarray(layers(pictures())))

    assert np.allclose(seen[0], seen[2])
    assert not np.allclose(seen[0], seen[1])
