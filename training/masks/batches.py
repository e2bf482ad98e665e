"""Batches: which faces does the network see next, and as which numbers?"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from training.masks.jitter import View, jittered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from training.masks.dataset import Faces
    from training.masks.recipe import MaskRecipe

AHEAD = 4


def to_input(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    """Pixels 0..255 as the network's numbers: (pixel - 127.5) / 127.5."""
    return np.asarray((pixels.astype(np.float32) - 127.5) / 127.5, np.float32)


def draw_batches(
    faces: Faces, recipe: MaskRecipe, *, epoch: int
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """The batches of one epoch: pixels (n, side, side, 3), uint8, RGB, and the index of each label (n,).

    The draw depends on the recipe's seed and the epoch alone. A thread cuts some batches ahead.
    """
    random = np.random.default_rng([recipe.seed, epoch])
    view = View(recipe.margin_fraction, recipe.model.input_size)
    size = recipe.schedule.batch_size
    count = max(1, recipe.schedule.faces_per_epoch // size)
    chosen = random.choice(len(faces), size=(count, size), p=faces.chances)

    def cut(rows: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        return np.stack([_face(faces, int(row), view, recipe, random) for row in rows]), faces.answers[rows]

    # One thread: the order of the draws, and so their outcome, stays the same.
    with ThreadPoolExecutor(1, thread_name_prefix="cutter") as cutter:
        waiting = deque(cutter.submit(cut, rows) for rows in chosen[:AHEAD])
        for number in range(count):
            batch = waiting.popleft().result()
            if number + AHEAD < count:
                waiting.append(cutter.submit(cut, chosen[number + AHEAD]))
            yield batch


def plain_pixels(faces: Faces, recipe: MaskRecipe) -> NDArray[np.uint8]:
    """Every face as annotated or found, not jittered: (n, side, side, 3), uint8, RGB."""
    view = View(recipe.margin_fraction, recipe.model.input_size)
    pixels = np.empty((len(faces), view.input_px, view.input_px, 3), np.uint8)
    for row, (number, index) in enumerate(faces.rows):
        pack = faces.packs[number]
        pixels[row] = view.cut(pack.surroundings(index), pack.box(index), whole=bool(pack.whole[index]))
    return pixels


def _face(faces: Faces, row: int, view: View, recipe: MaskRecipe, random: np.random.Generator) -> NDArray[np.uint8]:
    number, index = faces.rows[row]
    pack = faces.packs[number]
    return jittered(
        pack.surroundings(index),
        pack.box(index),
        whole=bool(pack.whole[index]),
        view=view,
        recipe=recipe.jitter,
        random=random,
    )
