"""The pack: how are thousands of faces read once and then cut anew in microseconds?

Every face is kept with what surrounds it, at the scale of its picture, in one file of bytes. Training then jitters
the box and cuts with the device's own code, without opening a picture again.
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
from edge_agent.errors import ConfigError, PictureError
from edge_agent.vision.images import read_picture
from edge_agent.vision.tensors import cut_region, face_region
from training.masks.examples import Example
from training.masks.split import perceptual_hash

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.masks.examples import Example
    from training.masks.landmarks import LandmarkDetector

# What the jitter of a box (jitter.py) can reach, with the widest margin a recipe allows.
REACH_FRACTION = 0.75
# A face of 128 px fills an input of 192 px at a margin of 0.25: more pixels would only be thrown away again.
LONGEST_FACE_PX = 128
# Smaller faces that a detector reports in a photograph of people are mostly mistakes.
SMALLEST_FOUND_PX = 20
VERSION = 3


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """Faces in memory-mapped bytes. `examples[i]` belongs to `surroundings(i)`."""

    examples: tuple[Example, ...]
    boxes: NDArray[np.float64]
    """Box of each face within its surroundings: shape (n, 4), x1, y1, x2, y2."""
    places: NDArray[np.float64]
    """Box of each face within its picture: shape (n, 4), x1, y1, x2, y2."""
    whole: NDArray[np.bool_]
    """True where the surroundings are all there is of the face: shape (n,)."""
    hashes: NDArray[np.uint8]
    """Perceptual hash of the whole picture behind each face: shape (n, 8)."""
    unreadable: tuple[str, ...]
    _shapes: NDArray[np.int64]
    _offsets: NDArray[np.int64]
    _bytes: NDArray[np.uint8]
    _index: Path

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the file itself: the bytes are too many to be sent."""
        return _reopen, (self.examples, self._index)

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.examples)

    def surroundings(self, index: int) -> Image:
        """A face with what surrounds it: BGR, uint8, read only."""
        height, width = self._shapes[index]
        start = self._offsets[index]
        return self._bytes[start : start + height * width * 3].reshape(height, width, 3)

    def box(self, index: int) -> Box:
        """Where the face is within its surroundings."""
        return Box(*self.boxes[index].tolist())


def open_pack(
    examples: Sequence[Example], *, folder: Path, detector: LandmarkDetector | None = None, every_face: bool = False
) -> Pack:
    """Open the pack of these examples, or build it where none is in `folder`.

    An example without a box is the whole picture; with a `detector`, the largest face found in it, or every face
    found with `every_face`. Pictures that cannot be read are listed in the pack and left out.

    Raises:
        ConfigError: no face is left.
    """
    key = hashlib.sha256(
        json.dumps(
            [VERSION, detector is not None, every_face, [(str(one.path), one.label, str(one.box)) for one in examples]]
        ).encode()
    ).hexdigest()[:16]
    index = folder / f"{examples[0].source}-{key}.npz"
    if not index.is_file():
        _build(examples, index=index, detector=detector, every_face=every_face)
    return _read(examples, index)


def _build(examples: Sequence[Example], *, index: Path, detector: LandmarkDetector | None, every_face: bool) -> None:
    index.parent.mkdir(parents=True, exist_ok=True)
    numbers, boxes, places, whole, shapes, hashes, unreadable = [], [], [], [], [], [], []
    # Faces of one picture follow each other, so that it is opened once.
    order = sorted(range(len(examples)), key=lambda number: str(examples[number].path))
    opened: tuple[Path | None, Image | None] = (None, None)
    unfinished = index.with_suffix(f".{os.getpid()}.part")
    with unfinished.open("wb") as file:
        for number in tqdm(order, desc=f"reading {examples[0].source}", unit="face", leave=False):
            example = examples[number]
            if opened[0] != example.path:
                try:
                    opened = (example.path, read_picture(example.path))
                except PictureError as error:
                    opened = (example.path, None)
                    unreadable.append(str(error))
            image = opened[1]
            if image is None:
                continue
            for box, is_whole in _faces_of(example, image, detector, every_face=every_face):
                pixels, inside = _surroundings(image, box)
                file.write(np.ascontiguousarray(pixels).tobytes())
                numbers.append(number)
                boxes.append((inside.x1, inside.y1, inside.x2, inside.y2))
                places.append((box.x1, box.y1, box.x2, box.y2))
                whole.append(is_whole)
                hashes.append(perceptual_hash(image))
                shapes.append(pixels.shape[:2])
    if not numbers:
        unfinished.unlink()
        raise ConfigError(
            f"{examples[0].path.parent}: no face can be read of {len(examples)}: {'; '.join(unreadable[:3])}"
        )
    unfinished.replace(index.with_suffix(".bin"))
    part = index.with_suffix(".part.npz")
    np.savez(
        part,
        numbers=numbers,
        boxes=boxes,
        places=places,
        whole=whole,
        shapes=shapes,
        hashes=hashes,
        unreadable=np.array(unreadable, np.str_),
    )
    part.replace(index)


def _faces_of(
    example: Example, image: Image, detector: LandmarkDetector | None, *, every_face: bool
) -> list[tuple[Box, bool]]:
    if example.box is not None:
        return [(example.box, False)]
    height, width = image.shape[:2]
    if detector is None:
        return [(Box(0, 0, width, height), True)]
    found = [face.box for face in detector.detect(image) if face.box.shorter_side_px >= SMALLEST_FOUND_PX]
    if every_face:
        return [(box, False) for box in found]
    # A detector that sees nothing in a picture of one face has most often missed a covered one.
    return [(found[0], False)] if found else [(Box(0, 0, width, height), True)]


def _surroundings(image: Image, box: Box) -> tuple[Image, Box]:
    height, width = image.shape[:2]
    reach = face_region(box, margin_fraction=REACH_FRACTION).clipped(width_px=width, height_px=height)
    # Even, as the device rounds half a pixel to the even side: a cut is then the same from here as from the whole.
    x1, y1 = int(reach.x1) // 2 * 2, int(reach.y1) // 2 * 2
    x2, y2 = max(int(np.ceil(reach.x2)), x1 + 1), max(int(np.ceil(reach.y2)), y1 + 1)
    pixels = cut_region(image, Box(x1, y1, x2, y2))
    scale = min(1.0, LONGEST_FACE_PX / max(box.width_px, box.height_px))
    if scale < 1.0:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return pixels, Box(*(side * scale for side in (box.x1 - x1, box.y1 - y1, box.x2 - x1, box.y2 - y1)))


def _read(examples: Sequence[Example], index: Path) -> Pack:
    with np.load(index) as content:
        of_rows = tuple(examples[number] for number in content["numbers"])
    return _reopen(of_rows, index)


def _reopen(examples: tuple[Example, ...], index: Path) -> Pack:
    """The pack of an index file, given the example of each of its rows."""
    with np.load(index) as content:
        shapes = content["shapes"].astype(np.int64)
        sizes = shapes.prod(axis=1) * 3
        return Pack(
            examples=examples,
            boxes=content["boxes"].astype(np.float64),
            places=content["places"].astype(np.float64),
            whole=content["whole"].astype(np.bool_),
            hashes=content["hashes"].astype(np.uint8),
            unreadable=tuple(str(one) for one in content["unreadable"]),
            _shapes=shapes,
            _offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            _bytes=np.memmap(index.with_suffix(".bin"), np.uint8, mode="r"),
            _index=index,
        )
