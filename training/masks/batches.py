"""Batches: draws the training batches of faces."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, eq=False)
class FaceBatches:
    """Source of batches, which depend only on the recipe's seed, the epoch and the batch number."""

    faces: Faces
    recipe: MaskRecipe

    def make(self, epoch: int, number: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Pixels (n, side, side, 3), uint8, RGB, and the index of each label (n,)."""
        recipe, faces = self.recipe, self.faces
        random = np.random.default_rng([recipe.seed, epoch, number])
        cropper = FaceCropper(recipe.margin_fraction, recipe.model.input_size)
        rows = random.choice(len(faces), size=recipe.schedule.batch_size, p=faces.sampling_probabilities)
        pixels = np.stack([_face(faces, int(row), cropper, recipe, random) for row in rows])
        return pixels, faces.targets[rows]


def unaugmented_pixels(faces: Faces, recipe: MaskRecipe) -> NDArray[np.uint8]:
    """Every face as annotated or detected, without jitter: (n, side, side, 3), uint8, RGB."""
    cropper = FaceCropper(recipe.margin_fraction, recipe.model.input_size)
    pixels = np.empty((len(faces), cropper.input_px, cropper.input_px, 3), np.uint8)
    for row, (number, index) in enumerate(faces.rows):
        pack = faces.packs[number]
        pixels[row] = cropper.crop(pack.crop(index), pack.box(index), whole=bool(pack.whole[index]))
    return pixels


def _face(
    faces: Faces, row: int, cropper: FaceCropper, recipe: MaskRecipe, random: np.random.Generator
) -> NDArray[np.uint8]:
    number, index = faces.rows[row]
    pack = faces.packs[number]
    return jittered(
        pack.crop(index),
        pack.box(index),
        whole=bool(pack.whole[index]),
        cropper=cropper,
        recipe=recipe.jitter,
        random=random,
    )
