"""Pack: stores cropped faces of a source for fast access during training.

Every face is stored with its surroundings, at the scale of its picture, in one binary file. Training then jitters the
box and crops with the device's own code, without opening pictures again.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from tqdm import tqdm

from edge_agent.domain import Box, Image
from edge_agent.errors import ConfigError
from edge_agent.vision.tensors import cut_region, face_region
from training.masks.examples import modified_ns, with_pictures
from training.masks.split import perceptual_hash

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.masks.detection import Detector
    from training.masks.examples import Example

# Enough for the box jitter (jitter.py) with the widest margin that a recipe allows.
CONTEXT_FRACTION = 0.75
# At a margin of 0.25 a face of 128 px fills an input of 192 px: more pixels would be discarded anyway.
MAX_FACE_PX = 128
VERSION = 5


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """Faces in a memory-mapped file. `examples[i]` belongs to `crop(i)`."""

    examples: tuple[Example, ...]
    boxes: NDArray[np.float64]
    """Box of each face within its crop: shape (n, 4), x1, y1, x2, y2."""
    boxes_in_picture: NDArray[np.float64]
    """Box of each face within its picture: shape (n, 4), x1, y1, x2, y2."""
    whole: NDArray[np.bool_]
    """True if the crop is a face without surroundings: shape (n,)."""
    hashes: NDArray[np.uint8]
    """Perceptual hash of each face's whole picture: shape (n, 8)."""
    unreadable: tuple[str, ...]
    _shapes: NDArray[np.int64]
    _offsets: NDArray[np.int64]
    _bytes: NDArray[np.uint8]
    _index: Path

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by path: other processes open the file, which is too large to send."""
        return _reopen, (self.examples, self._index)

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.examples)

    def crop(self, index: int) -> Image:
        """A face with its surroundings: BGR, uint8, read-only."""
        height, width = self._shapes[index]
        start = self._offsets[index]
        return self._bytes[start : start + height * width * 3].reshape(height, width, 3)

    def box(self, index: int) -> Box:
        """The box of the face in its crop."""
        return Box(*self.boxes[index].tolist())


def open_pack(
    examples: Sequence[Example], *, folder: Path, detector: Detector | None = None, every_face: bool = False
) -> Pack:
    """Open the pack of these examples, or build it if `folder` has none or a picture has changed.

    An example without a box is the whole picture or, with a `detector`, the largest face detected in it; with
    `every_face`, every face detected. Unreadable pictures are skipped and listed in the pack.

    Raises:
        ConfigError: no face remains.
    """
    key = hashlib.sha256(
        json.dumps(
            [
                VERSION,
                detector.identity if detector else None,
                every_face,
                [
                    (str(example.path), modified_ns(example.path), example.label, str(example.box))
                    for example in examples
                ],
            ]
        ).encode()
    ).hexdigest()[:16]
    index = folder / f"{key}.npz"
    if not index.is_file():
        _build(examples, index=index, detector=detector, every_face=every_face)
    return _read(examples, index)


def _build(examples: Sequence[Example], *, index: Path, detector: Detector | None, every_face: bool) -> None:
    index.parent.mkdir(parents=True, exist_ok=True)
    # Each process has its own, as several runs may build the same pack at once.
    new_crops, new_index = (index.with_suffix(f".{os.getpid()}{suffix}") for suffix in (".bin", ".npz"))
    try:
        table = _write_crops(examples, new_crops, detector, every_face=every_face)
        np.savez(new_index, **table)
        new_crops.replace(index.with_suffix(".bin"))
        new_index.replace(index)
    finally:
        for unfinished in (new_crops, new_index):
            unfinished.unlink(missing_ok=True)


def _write_crops(
    examples: Sequence[Example], path: Path, detector: Detector | None, *, every_face: bool
) -> dict[str, Any]:
    """Write the crop of every face to one file; returns the columns of the index."""
    numbers, boxes, boxes_in_picture, whole, shapes, hashes = [], [], [], [], [], []
    unreadable: list[str] = []
    # Faces of one picture are adjacent, so that it is opened once.
    ordered = sorted(enumerate(examples), key=lambda item: str(item[1].path))
    progress = tqdm(ordered, desc=f"reading {examples[0].source}", unit="face", leave=False, disable=None)
    pictures = with_pictures(progress, unreadable=unreadable, path_of=lambda item: item[1].path)
    with path.open("wb") as file:
        for (number, example), image in pictures:
            for box, is_whole in _faces_of(example, image, detector, every_face=every_face):
                pixels, box_in_crop = _crop_with_context(image, box)
                file.write(np.ascontiguousarray(pixels).tobytes())
                numbers.append(number)
                boxes.append((box_in_crop.x1, box_in_crop.y1, box_in_crop.x2, box_in_crop.y2))
                boxes_in_picture.append((box.x1, box.y1, box.x2, box.y2))
                whole.append(is_whole)
                hashes.append(perceptual_hash(image))
                shapes.append(pixels.shape[:2])
    if not numbers:
        raise ConfigError(
            f"{examples[0].path.parent}: no face can be read of {len(examples)}: {'; '.join(unreadable[:3])}"
        )
    return {
        "numbers": numbers,
        "boxes": boxes,
        "boxes_in_picture": boxes_in_picture,
        "whole": whole,
        "shapes": shapes,
        "hashes": hashes,
        "unreadable": np.array(unreadable, np.str_),
    }


def _faces_of(example: Example, image: Image, detector: Detector | None, *, every_face: bool) -> list[tuple[Box, bool]]:
    if example.box is not None:
        return [(example.box, False)]
    height, width = image.shape[:2]
    if detector is None:
        return [(Box(0, 0, width, height), True)]
    found = detector.detect(image)
    if every_face:
        return [(box, False) for box in found]
    # No detection in a picture of one face usually means that a covered face was missed.
    return [(found[0], False)] if found else [(Box(0, 0, width, height), True)]


def _crop_with_context(image: Image, box: Box) -> tuple[Image, Box]:
    height, width = image.shape[:2]
    region = face_region(box, margin_fraction=CONTEXT_FRACTION).clipped(width_px=width, height_px=height)
    # Even coordinates, as the device rounds half pixels to even: crops are then the same as from the whole picture.
    x1, y1 = int(region.x1) // 2 * 2, int(region.y1) // 2 * 2
    x2, y2 = max(int(np.ceil(region.x2)), x1 + 1), max(int(np.ceil(region.y2)), y1 + 1)
    pixels = cut_region(image, Box(x1, y1, x2, y2))
    scale = min(1.0, MAX_FACE_PX / max(box.width_px, box.height_px))
    if scale < 1.0:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return pixels, Box(*(side * scale for side in (box.x1 - x1, box.y1 - y1, box.x2 - x1, box.y2 - y1)))


def _read(examples: Sequence[Example], index: Path) -> Pack:
    with np.load(index) as content:
        of_rows = tuple(examples[number] for number in content["numbers"])
    return _reopen(of_rows, index)


def _reopen(examples: tuple[Example, ...], index: Path) -> Pack:
    """The pack of an index file, given the example of each row."""
    with np.load(index) as content:
        shapes = content["shapes"].astype(np.int64)
        sizes = shapes.prod(axis=1) * 3
        return Pack(
            examples=examples,
            boxes=content["boxes"].astype(np.float64),
            boxes_in_picture=content["boxes_in_picture"].astype(np.float64),
            whole=content["whole"].astype(np.bool_),
            hashes=content["hashes"].astype(np.uint8),
            unreadable=tuple(str(example) for example in content["unreadable"]),
            _shapes=shapes,
            _offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            _bytes=np.memmap(index.with_suffix(".bin"), np.uint8, mode="r"),
            _index=index,
        )
