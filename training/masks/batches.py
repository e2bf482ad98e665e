"""Batches: draws the training batches of faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from training.masks.jitter import FaceCropper, jittered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.masks.dataset import Faces
    from training.masks.recipe import MaskRecipe


def to_input(pixels: Any) -> Any:
    """Scale pixels 0..255 to the network's input, (pixel - 127.5) / 127.5: array or tensor of floats to the same."""
    return (pixels - 127.5) / 127.5


def draw_batch(
    faces: Faces, recipe: MaskRecipe, epoch: int, number: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw a batch, which depends only on the recipe's seed, the epoch and the number of the batch.

    Pixels (n, side, side, 3), uint8, RGB, and the index of each label (n,).
    """
    random = np.random.default_rng([recipe.seed, epoch, number])
    cropper = FaceCropper(recipe.margin_fraction, recipe.model.input_size)
    rows = random.choice(len(faces), size=recipe.schedule.batch_size, p=faces.sampling_probabilities)
    pixels = [
        jittered(image, box, whole=whole, cropper=cropper, recipe=recipe.jitter, random=random)
        for image, box, whole in map(faces.crop, rows.tolist())
    ]
    return np.stack(pixels), faces.targets[rows]


def mixup(
    values: NDArray[np.float32],
    targets: NDArray[np.float32],
    weights: NDArray[np.float32],
    *,
    alpha: float,
    random: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Mix each picture of a batch with the one before it, of which it gets at most half.

    Values (n, side, side, 3), targets (n, labels) and weights in the loss (n,), all float32, to the same. In mixed
    targets each label keeps its weight in the loss. Source: Zhang et al. 2018, mixup (arXiv:1710.09412).
    """
    share = random.beta(alpha, alpha, len(values)).astype(np.float32)
    share = np.maximum(share, 1 - share)
    pixel_share = share[:, None, None, None]
    own, other = share * weights, (1 - share) * np.roll(weights, 1)
    mixed_weights = own + other
    mixed_targets = own[:, None] * targets + other[:, None] * np.roll(targets, 1, axis=0)
    return (
        pixel_share * values + (1 - pixel_share) * np.roll(values, 1, axis=0),
        np.asarray(mixed_targets / mixed_weights[:, None], np.float32),
        mixed_weights,
    )


def unaugmented_pixels(faces: Faces, recipe: MaskRecipe) -> NDArray[np.uint8]:
    """Every face as annotated or detected, without jitter: (n, side, side, 3), uint8, RGB."""
    cropper = FaceCropper(recipe.margin_fraction, recipe.model.input_size)
    pixels = np.empty((len(faces), cropper.input_px, cropper.input_px, 3), np.uint8)
    for row in range(len(faces)):
        image, box, whole = faces.crop(row)
        pixels[row] = cropper.crop(image, box, whole=whole)
    return pixels
