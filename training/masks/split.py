"""Split: assigns pictures to training and validation, with near-duplicates on one side.

Near-duplicates are found by a perceptual hash of the discrete cosine transform: 64 bits, each set if one of the lowest
frequencies of a 32x32 grey picture exceeds their median (after C. Zauner, "Implementation and Benchmarking of
Perceptual Image Hash Functions", 2010).
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.vision.images import read_picture
from training.masks.examples import list_pictures, read_scenes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.domain import Image

HASH_SIDE = 8
SCALED_SIDE = 32
BYTE_BITS = np.array([value.bit_count() for value in range(256)], np.uint8)


def perceptual_hash(image: Image) -> NDArray[np.uint8]:
    """The 64-bit hash of a picture (BGR, uint8) as 8 bytes: shape (8,)."""
    small = cv2.resize(
        cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (SCALED_SIDE, SCALED_SIDE), interpolation=cv2.INTER_AREA
    )
    low = cv2.dct(small.astype(np.float32))[:HASH_SIDE, :HASH_SIDE]
    # The first coefficient is the mean brightness, which would raise the median of bright pictures.
    return np.packbits(low > np.median(low.reshape(-1)[1:]))


def hashes_apart(places: Sequence[Path], *, folder: Path) -> NDArray[np.uint8]:
    """The hashes of all pictures used for evaluation elsewhere: shape (n, 8).

    These are the test split of COCO files and every picture of folders. The hashes are cached in `folder`, by place.

    Raises:
        ConfigError: a place does not exist.
    """
    key = hashlib.sha256(json.dumps([str(place) for place in places]).encode()).hexdigest()[:16]
    kept = folder / f"apart-{key}.npy"
    if not kept.is_file():
        pictures = sorted({path for place in places for path in _judging(place)})
        hashes = np.array([perceptual_hash(read_picture(path)) for path in pictures], np.uint8).reshape(-1, HASH_SIDE)
        folder.mkdir(parents=True, exist_ok=True)
        np.save(kept, hashes)
    return np.asarray(np.load(kept), np.uint8)


def _judging(place: Path) -> Iterable[Path]:
    if place.is_dir():
        return list_pictures(place)
    return (one.path for one in read_scenes(place, sources=(), splits=("test",), smallest_px=0))


def duplicate_groups(hashes: NDArray[np.uint8], *, duplicate_bits: int) -> NDArray[np.int64]:
    """A group number per picture; pictures whose hashes differ in few bits share one, transitively.

    `hashes` has shape (n, 8). All pairs are compared: a few seconds for 20,000 pictures.
    """
    parents = list(range(len(hashes)))

    def root(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    for number in range(len(hashes) - 1):
        apart = BYTE_BITS[hashes[number + 1 :] ^ hashes[number]].sum(axis=1)
        for near in np.flatnonzero(apart <= duplicate_bits):
            parents[root(number + 1 + int(near))] = root(number)
    return np.array([root(number) for number in range(len(hashes))], np.int64)


def choose_held_out(
    groups: NDArray[np.int64], sources: Sequence[str], *, fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Choose validation pictures: whole groups, about `fraction` of each source's pictures: bool, shape (n,).

    The choice depends only on the seed and the source, not on other sources of the recipe.
    """
    held = np.zeros(len(groups), np.bool_)
    names = np.array(sources)
    for source in sorted(set(sources)):
        of_source = np.flatnonzero(names == source)
        wanted = round(fraction * len(of_source))
        random = np.random.default_rng([seed, *source.encode()])
        for index in random.permutation(of_source):
            if int(held[of_source].sum()) >= wanted:
                break
            held[groups == groups[index]] = True
    return held
