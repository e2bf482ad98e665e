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


def unaugmented_pixels(faces: Faces, recipe: MaskRecipe) -> NDArray[np.uint8]:
    """Every face as annotated or detected, without jitter: (n, side, side, 3), uint8, RGB."""
    cropper = FaceCropper(recipe.margin_fraction, recipe.model.input_size)
    pixels = np.empty((len(faces), cropper.input_px, cropper.input_px, 3), np.uint8)
    for row in range(len(faces)):
        image, box, whole = faces.crop(row)
        pixels[row] = cropper.crop(image, box, whole=whole)
    return pixels
