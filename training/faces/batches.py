"""Batches: draws the training batches of scenes.

Each batch depends only on the seed, the epoch and its number, so that a resumed run gets the same batches as an
uninterrupted one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.vision.images import read_picture
from training.faces.augment import Sample, degraded, flipped, mosaic, rotated, single_picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.faces.recipe import AugmentationRecipe, FaceRecipe
    from training.faces.scenes import Scene

MOSAIC_PICTURES = 4
PADDING_MULTIPLE = 64
"""Lengths of box tables are padded to a multiple of this, because a step is compiled again for every new shape."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Canvases with their boxes, padded with zeros to equal numbers."""

    pixels: NDArray[np.uint8]
    """Shape (n, side, side, 3), BGR, 0..255."""
    faces: NDArray[np.float32]
    """x1, y1, x2, y2 in pixels: shape (n, most faces, 4); zeros are padding."""
    ignored: NDArray[np.float32]
    """Likewise: shape (n, most regions, 4)."""


def draw_batch(scenes: Sequence[Scene], recipe: FaceRecipe, epoch: int, number: int) -> Batch:
    """Draw a batch, which depends only on the recipe's seed, the epoch and the number of the batch."""
    random = np.random.default_rng([recipe.seed, epoch, number])
    probabilities = np.array([scene.sampling_probability for scene in scenes])
    samples = [
        _draw_canvas(scenes, probabilities, recipe.augmentation, random) for _ in range(recipe.schedule.batch_size)
    ]
    return Batch(
        np.stack([sample.pixels for sample in samples]),
        _padded([sample.faces for sample in samples]),
        _padded([sample.ignored for sample in samples]),
    )


def _draw_canvas(
    scenes: Sequence[Scene],
    probabilities: NDArray[np.float64],
    recipe: AugmentationRecipe,
    random: np.random.Generator,
) -> Sample:
    """Draw one canvas, of one picture or four."""
    is_mosaic = random.random() < recipe.mosaic_share
    chosen = random.choice(len(scenes), MOSAIC_PICTURES if is_mosaic else 1, p=probabilities)
    samples = [rotated(flipped(_read(scenes[index]), recipe, random), recipe, random) for index in chosen]
    canvas = mosaic(samples, recipe, random) if is_mosaic else single_picture(samples[0], recipe, random)
    return Sample(degraded(canvas.pixels, recipe, random), canvas.faces, canvas.ignored)


def _read(scene: Scene) -> Sample:
    return Sample(read_picture(scene.path), scene.faces, scene.ignored)


def _padded(tables: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    longest = max(1, *(len(table) for table in tables))
    padded = np.zeros((len(tables), -(-longest // PADDING_MULTIPLE) * PADDING_MULTIPLE, 4), np.float32)
    for row, table in zip(padded, tables, strict=True):
        row[: len(table)] = table
    return padded
