"""Batches: in which order does a run see its scenes?

Every batch follows from the seed, the epoch and its own number, so that a run that was killed sees what an unbroken
one would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.vision.images import read_picture
from training.faces.augment import Sample, flipped, mosaic, rotated, single, weathered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.faces.recipe import FaceRecipe
    from training.faces.scenes import Scene

PICTURES_OF_MOSAIC = 4
ROWS_STEP = 64
"""Tables of boxes are as long as a multiple of this: a compiled step is made anew for every new shape."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Canvases with their boxes, padded with zeros to the same number."""

    pixels: NDArray[np.uint8]
    """Shape (n, side, side, 3), BGR, 0..255."""
    faces: NDArray[np.float32]
    """x1, y1, x2, y2 in pixels: shape (n, most faces, 4); all zero where there is none."""
    ignored: NDArray[np.float32]
    """Likewise: shape (n, most places, 4)."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneBatches:
    """Batches of canvases, drawn by the recipe's seed, the epoch and the number of the batch alone."""

    scenes: Sequence[Scene]
    recipe: FaceRecipe

    def make(self, epoch: int, number: int) -> Batch:
        """One batch."""
        chances = np.array([scene.chance for scene in self.scenes])
        return draw_batch(self.scenes, chances, self.recipe, epoch=epoch, step=number)


def draw_batch(
    scenes: Sequence[Scene], chances: NDArray[np.float64], recipe: FaceRecipe, *, epoch: int, step: int
) -> Batch:
    """One batch; the same for the same seed, epoch and step."""
    random = np.random.default_rng([recipe.seed, epoch, step])
    samples = [_drawn(scenes, chances, recipe, random) for _ in range(recipe.schedule.batch_size)]
    return Batch(
        np.stack([sample.pixels for sample in samples]),
        _padded([sample.faces for sample in samples]),
        _padded([sample.ignored for sample in samples]),
    )


def _drawn(
    scenes: Sequence[Scene], chances: NDArray[np.float64], recipe: FaceRecipe, random: np.random.Generator
) -> Sample:
    """One canvas of one picture or of four."""
    augmentation = recipe.augmentation
    is_mosaic = random.random() < augmentation.mosaic_share
    chosen = random.choice(len(scenes), PICTURES_OF_MOSAIC if is_mosaic else 1, p=chances)
    samples = [rotated(flipped(_read(scenes[index]), augmentation, random), augmentation, random) for index in chosen]
    made = mosaic(samples, augmentation, random) if is_mosaic else single(samples[0], augmentation, random)
    return Sample(weathered(made.pixels, augmentation, random), made.faces, made.ignored)


def _read(scene: Scene) -> Sample:
    return Sample(read_picture(scene.path), scene.faces, scene.ignored)


def _padded(tables: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    longest = max(1, *(len(table) for table in tables))
    padded = np.zeros((len(tables), -(-longest // ROWS_STEP) * ROWS_STEP, 4), np.float32)
    for row, table in zip(padded, tables, strict=True):
        row[: len(table)] = table
    return padded
