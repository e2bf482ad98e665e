"""Split: assigns pictures to training and validation, with near-duplicates on one side.

Near-duplicates are found by a perceptual hash of the discrete cosine transform: 64 bits, each set if one of the lowest
frequencies of a 32x32 grey picture exceeds their median (after C. Zauner, "Implementation and Benchmarking of
Perceptual Image Hash Functions", 2010).
"""

from __future__ import annotations

import hashlib
import io
import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

import cv2
import numpy as np

from edge_agent.host.atomic_files import write_whole
from edge_agent.vision.images import read_picture
from training.annotations import read_annotations
from training.masks.examples import list_pictures, modified_ns
from training.run_folder import FILE_MODE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.domain import Image
    from training.recipe_file import HeldOutRecipe

Split: TypeAlias = Literal["train", "validation", "excluded"]

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


def hashes_of_test_sets(test_sets: Sequence[Path], *, folder: Path) -> NDArray[np.uint8]:
    """The hashes of all pictures of test sets: shape (n, 8).

    A test set is the test split of a COCO file, or every picture of a folder. The hashes are cached in `folder`, until
    a picture is added, removed or changed.

    Raises:
        ConfigError: a test set does not exist, or a COCO file has no test split.
    """
    pictures = sorted({path for test_set in test_sets for path in _test_pictures(test_set)})
    states = [(str(path), modified_ns(path)) for path in pictures]
    cache = folder / f"test-hashes-{hashlib.sha256(json.dumps(states).encode()).hexdigest()[:16]}.npy"
    if not cache.is_file():
        hashes = np.array([perceptual_hash(read_picture(path)) for path in pictures], np.uint8)
        content = io.BytesIO()
        np.save(content, hashes.reshape(-1, HASH_SIDE))
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(cache, content.getvalue(), mode=FILE_MODE)
    return np.asarray(np.load(cache), np.uint8)


def _test_pictures(test_set: Path) -> Iterable[Path]:
    if test_set.is_dir():
        return list_pictures(test_set)
    return (face.path for face in read_annotations(test_set, splits=("test",)))


def assign_splits(
    hashes: Mapping[Path, NDArray[np.uint8]],
    sources: Mapping[Path, str],
    test_hashes: NDArray[np.uint8],
    recipe: HeldOutRecipe,
    *,
    seed: int,
    train_only: Collection[Path] = (),
    drawn_on: Mapping[Path, Path] = MappingProxyType({}),
) -> dict[Path, Split]:
    """The split of each picture in `hashes`, the same for near-duplicates.

    `sources` names the source of each picture that may be held out for validation; near-duplicates of those that are,
    and pictures like those of a test set, whose hashes are `test_hashes`, (n, 8), are excluded. Pictures in
    `train_only`, and their near-duplicates, are for training. A drawing is on the same side as the picture that it is
    drawn on, by `drawn_on`, or excluded if it may not be.
    """
    paths = list(hashes)
    all_groups = duplicate_groups(np.array([*hashes.values(), *test_hashes]), duplicate_bits=recipe.duplicate_bits)
    groups, test_groups = all_groups[: len(paths)], set(all_groups[len(paths) :].tolist())
    candidates = [index for index, path in enumerate(paths) if path in sources]
    held_out = choose_held_out(
        groups[candidates], [sources[paths[index]] for index in candidates], fraction=recipe.fraction, seed=seed
    )
    train_groups = {group for path, group in zip(paths, groups.tolist(), strict=True) if path in train_only}
    validation_groups = set(groups[candidates][held_out].tolist()) - train_groups
    splits: dict[Path, Split] = {}
    for path, group in zip(paths, groups.tolist(), strict=True):
        if group in test_groups:
            splits[path] = "excluded"
        elif group not in validation_groups:
            splits[path] = "train"
        else:
            splits[path] = "validation" if path in sources else "excluded"
    split_of_place = {path.resolve(): split for path, split in splits.items()}
    for drawing, original in drawn_on.items():
        split = split_of_place.get(original.resolve())
        if split is None or splits[drawing] == "excluded":
            continue
        may_be_held_out = drawing in sources and drawing not in train_only
        splits[drawing] = split if split == "train" or may_be_held_out else "excluded"
    return splits


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
        distances = BYTE_BITS[hashes[number + 1 :] ^ hashes[number]].sum(axis=1)
        for near in np.flatnonzero(distances <= duplicate_bits):
            parents[root(number + 1 + int(near))] = root(number)
    return np.array([root(number) for number in range(len(hashes))], np.int64)


def choose_held_out(
    groups: NDArray[np.int64], sources: Sequence[str], *, fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Choose validation pictures: whole groups, about `fraction` of each source's pictures: bool, shape (n,).

    The choice depends only on the seed and the source, not on other sources of the recipe.
    """
    held_out = np.zeros(len(groups), np.bool_)
    names = np.array(sources)
    for source in sorted(set(sources)):
        of_source = np.flatnonzero(names == source)
        target_count = round(fraction * len(of_source))
        random = np.random.default_rng([seed, *source.encode()])
        for index in random.permutation(of_source):
            if int(held_out[of_source].sum()) >= target_count:
                break
            held_out[groups == groups[index]] = True
    return held_out
