"""Synthesis: makes a data set of masks worn properly and wrongly, or of beards, from pictures of bare faces.

Writes one folder per label, with one picture per face with its surroundings, and `annotations.json` (COCO) with each
face's box, so that the result can be read as class folders or as scenes.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np
from tqdm import tqdm

from edge_agent.domain import LABELS, Box, Image, Label
from edge_agent.errors import ConfigError, PictureError
from edge_agent.vision.images import read_picture
from edge_agent.vision.tensors import cut_region, face_region
from training.coco import CocoFile
from training.masks.beards import choose_beard, draw_beard
from training.masks.drawing import Head, Wearing, choose_style, draw_mask
from training.masks.examples import Example, list_pictures, read_scenes
from training.run_folder import check_new_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from training.masks.landmarks import FaceLandmarks, LandmarkDetector

# The reach of box jitter and the widest margin.
MARGIN_FRACTION = 0.75
MIN_FACE_PX = 32
# A detection with this overlap (IoU) is the annotated face; others near it may wear a mask.
MATCHING_IOU = 0.3
JPEG_QUALITY = 92
ANNOTATIONS = "annotations.json"
# A mask needs the chin or neck to be visible in the picture.
MIN_VISIBLE_V: dict[Wearing, float] = {"properly": 1.3, "nose_free": 1.5, "chin_only": 1.75, "under_the_chin": 1.9}
INCORRECT: tuple[Wearing, ...] = ("nose_free", "chin_only", "under_the_chin")
INCORRECT_SHARES = (0.6, 0.25, 0.15)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SynthesisResult:
    """Number of faces written, and the pictures without result."""

    written: dict[Label, int]
    without_face: int
    unreadable: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A picture with something drawn on its face, and what the face is now."""

    picture: Image
    label: Label
    kind: str


Draw: TypeAlias = "Callable[[Image, FaceLandmarks, np.random.Generator], Drawn]"


def with_mask(wrong_share: float) -> Draw:
    """Draw masks, of which `wrong_share`, 0..1, are worn wrongly."""

    def draw(image: Image, face: FaceLandmarks, random: np.random.Generator) -> Drawn:
        wearing = _choose_wearing(image, face, wrong_share=wrong_share, random=random)
        picture = draw_mask(image, face, choose_style(random, wearing=wearing))
        return Drawn(picture, "with_mask" if wearing == "properly" else "mask_worn_incorrectly", wearing)

    return draw


def with_beard(image: Image, face: FaceLandmarks, random: np.random.Generator) -> Drawn:
    """Draw a beard: the face stays bare."""
    style = choose_beard(random)
    return Drawn(draw_beard(image, face, style), "without_mask", style.kind)


def synthesise(
    folder: Path, *, output: Path, detector: LandmarkDetector, draw: Draw, max_pictures: int, seed: int
) -> SynthesisResult:
    """Draw a mask or beard on the largest bare face of every picture below a folder, and write the data set.

    If `folder` is a COCO file, every face annotated as bare in its train split is used. At most `max_pictures` pictures
    are used, evenly spread.

    Raises:
        ConfigError: there are no pictures or no faces, or the output folder is not empty.
    """
    pictures = _bare_faces(folder)
    if not pictures:
        raise ConfigError(f"{folder}: no pictures; give a folder of bare faces")
    check_new_folder(output)
    random = np.random.default_rng(seed)
    if len(pictures) > max_pictures:
        pictures = [pictures[index] for index in sorted(random.choice(len(pictures), max_pictures, replace=False))]
    drawn_faces = CocoFile(output / ANNOTATIONS, LABELS)
    counts: Counter[Label] = Counter()
    unreadable, without_face = [], 0
    for number, example in enumerate(tqdm(pictures, desc="drawing", unit="picture", disable=None)):
        try:
            image, annotated = _picture_of(example)
        except PictureError as error:
            unreadable.append(str(error))
            continue
        faces = [
            face
            for face in detector.detect(image)
            if face.box.shorter_side_px >= MIN_FACE_PX
            and (annotated is None or face.box.overlap(annotated) >= MATCHING_IOU)
        ]
        if not faces:
            without_face += 1
            continue
        drawn = draw(image, faces[0], random)
        cropped, box = _crop(drawn.picture, faces[0].box)
        path = output / drawn.label / f"{number:05d}_{drawn.kind}.jpg"
        _write(path, cropped)
        drawn_faces.add_picture(path, source=output.name, split="train", drawn_on=example.path)
        drawn_faces.add_face(path, (box.x1, box.y1, box.x2, box.y2), category=drawn.label)
        counts[drawn.label] += 1
    if not counts:
        raise ConfigError(f"{folder}: no face of {MIN_FACE_PX} px or more was found in {len(pictures)} pictures")
    drawn_faces.write()
    written = {label: counts[label] for label in LABELS if counts[label]}
    return SynthesisResult(written, without_face, tuple(unreadable))


def _bare_faces(place: Path) -> list[Example]:
    if place.is_file():
        return read_scenes(place, min_face_px=MIN_FACE_PX, labels=("without_mask",))
    return [Example(path, "without_mask", place.name) for path in list_pictures(place)]


def _picture_of(example: Example) -> tuple[Image, Box | None]:
    """The picture, or an annotated face with its surroundings, and its box in these."""
    image = read_picture(example.path)
    return (image, None) if example.box is None else _crop(image, example.box)


def _choose_wearing(image: Image, face: FaceLandmarks, *, wrong_share: float, random: np.random.Generator) -> Wearing:
    if random.random() >= wrong_share:
        return "properly"
    wearing: Wearing = random.choice(INCORRECT, p=INCORRECT_SHARES)
    _, y = Head.of(face).to_pixels(np.array([0.0]), np.array([MIN_VISIBLE_V[wearing]]))[0]
    return wearing if y < image.shape[0] else "nose_free"


def _crop(image: Image, box: Box) -> tuple[Image, Box]:
    region = face_region(box, margin_fraction=MARGIN_FRACTION)
    x1, y1, x2, y2 = region.clipped(width_px=image.shape[1], height_px=image.shape[0]).as_ints()
    cropped = cut_region(image, Box(x1, y1, x2, y2))
    return cropped, Box(box.x1 - x1, box.y1 - y1, box.x2 - x1, box.y2 - y1)


def _write(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    path.write_bytes(data.tobytes())
