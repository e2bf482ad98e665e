"""Figures: people cut out of photographs.

A figure is cut out along a soft edge that GrabCut finds, starting from the face; the body is extended below the edge of
the photograph. A figure knows the position of its face.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

from edge_agent.domain import Box, Image
from examples.people import Portrait, cut_out
from examples.people import picture as portrait_picture
from training.masks.drawing import MaskStyle, draw_mask
from training.masks.landmarks import LandmarkDetector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from training.masks.landmarks import FaceLandmarks

SHARED = Path(__file__).resolve().parents[3] / "shared"
SCENES = SHARED / "data" / "scenes"
DETECTOR = SHARED / "weights" / "face_detection_yunet_2023mar.onnx"

WORKING_FACE_PX = 110.0
"""Width of a face while it is cut out: larger than it is ever shown, and small enough for GrabCut."""
SIDE_WIDTHS, ABOVE_HEIGHTS, BELOW_HEIGHTS = 1.7, 0.75, 1.9
"""Area around the face to cut out, in widths and heights of the face."""
BODY_HEIGHTS = 8.0
"""Height of the body drawn below the photograph by repeating its last row, in heights of the face."""
SEED = 20
SMALLEST_SCORE = 0.3
PAPER_LEVEL = 222


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """A person without background: (height, width, 4) BGRA, and the face in it as a detector sees it."""

    pixels: Image
    face: Box


@dataclass(frozen=True, slots=True)
class Photograph:
    """An annotated face of the reference data, by its id, with a drawn mask if one is given."""

    annotation: int
    drawn: MaskStyle | None = None


@dataclass(frozen=True, slots=True)
class Sitting:
    """A public-domain portrait, with or without a drawn mask: needs no reference data."""

    portrait: Portrait
    masked: bool


Source: TypeAlias = "Photograph | Sitting"


@functools.cache
def figure_of(source: Source) -> Figure:
    """Cut a person out."""
    match source:
        case Photograph():
            return _photograph_figure(source)
        case Sitting():
            return _portrait_figure(source)


def _photograph_figure(photograph: Photograph) -> Figure:
    picture, face = _close_up(photograph.annotation)
    if photograph.drawn is not None:
        picture = draw_mask(picture, face, photograph.drawn)
    return _with_body(picture, _outline(photograph.annotation), face.box)


def _portrait_figure(sitting: Sitting) -> Figure:
    pixels = cut_out(sitting.portrait, masked=sitting.masked)
    return _with_body(pixels[..., :3], pixels[..., 3], Box(*sitting.portrait.face))


@functools.cache
def poster_of(source: Source) -> Figure:
    """Make a bare face into a printed picture, with its background and a white border."""
    if isinstance(source, Photograph):
        picture, found = _close_up(source.annotation)
        face = found.box
    else:
        picture, face = portrait_picture(source.portrait), Box(*source.portrait.face)
    x1, x2 = max(0, round(face.x1 - 0.9 * face.width_px)), round(face.x2 + 0.9 * face.width_px)
    y1, y2 = max(0, round(face.y1 - 0.6 * face.height_px)), round(face.y2 + 0.8 * face.height_px)
    return _framed(picture[y1:y2, x1:x2], Box(face.x1 - x1, face.y1 - y1, face.x2 - x1, face.y2 - y1))


@functools.cache
def raised_hand() -> Figure:
    """A hand with the palm forward, cut out of a photograph on white; its `face` is the palm."""
    picture = cv2.imread(str(SCENES / HAND.file), cv2.IMREAD_COLOR)
    if picture is None:
        raise FileNotFoundError(f"{SCENES / HAND.file}")
    (x1, y1), (x2, y2) = np.min(HAND.outline, axis=0), np.max(HAND.outline, axis=0)
    inside = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.asarray(HAND.outline, np.int32)], [255])
    # White paper is bright in all three channels, skin is not in blue.
    inside[picture.min(axis=2) > PAPER_LEVEL] = 0
    inside = _image(cv2.GaussianBlur(cv2.erode(_largest_part(inside), np.ones((3, 3), np.uint8)), (0, 0), 0.8))
    x1, y1, x2, y2 = int(x1), int(y1), int(x2), int(y2)
    return Figure(_shared(np.dstack([picture, inside])[y1:y2, x1:x2]), Box(0, 0, x2 - x1, y2 - y1))


def _framed(picture: Image, face: Box) -> Figure:
    """A picture with a white border, as a poster has it."""
    border = round(0.12 * face.width_px)
    printed = cv2.copyMakeBorder(picture, border, border, border, border, cv2.BORDER_CONSTANT, value=(235, 238, 238))
    opaque = np.full(printed.shape[:2], 255, np.uint8)
    moved = Box(face.x1 + border, face.y1 + border, face.x2 + border, face.y2 + border)
    return Figure(_shared(np.dstack([printed, opaque])), moved)


@dataclass(frozen=True, slots=True)
class Cutting:
    """An object in a picture of the reference data, by its outline."""

    file: str
    outline: tuple[tuple[int, int], ...]


HAND = Cutting(
    "street/027.jpg",
    (
        (55, 130), (62, 80), (90, 50), (110, 48), (132, 70), (135, 150), (176, 150), (178, 168), (150, 192), (126, 195),
        (108, 218), (70, 214), (58, 180),
    ),
)  # fmt: skip


@functools.cache
def _annotations() -> Mapping[int, tuple[str, Box]]:
    """The file and the face of each annotation."""
    content = json.loads((SCENES / "annotations.json").read_text(encoding="utf-8"))
    names = {image["id"]: image["file_name"] for image in content["images"]}
    found = {}
    for one in content["annotations"]:
        x, y, width, height = one["bbox"]
        found[one["id"]] = names[one["image_id"]], Box(x, y, x + width, y + height)
    return found


@functools.cache
def _detector() -> LandmarkDetector:
    return LandmarkDetector(DETECTOR, min_score=SMALLEST_SCORE)


@functools.cache
def _close_up(annotation: int) -> tuple[Image, FaceLandmarks]:
    """The surroundings of a face, scaled so that it is WORKING_FACE_PX wide, and its landmarks there."""
    name, face = _annotations()[annotation]
    picture = cv2.imread(str(SCENES / name), cv2.IMREAD_COLOR)
    if picture is None:
        raise FileNotFoundError(f"{SCENES / name}")
    height, width = picture.shape[:2]
    region = Box(
        face.x1 - SIDE_WIDTHS * face.width_px,
        face.y1 - ABOVE_HEIGHTS * face.height_px,
        face.x2 + SIDE_WIDTHS * face.width_px,
        face.y2 + BELOW_HEIGHTS * face.height_px,
    ).clipped(width_px=width, height_px=height)
    x1, y1, x2, y2 = region.as_ints()
    scale = WORKING_FACE_PX / face.width_px
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    close = cv2.resize(picture[y1:y2, x1:x2], None, fx=scale, fy=scale, interpolation=method)
    annotated = Box(*((value - shift) * scale for value, shift in zip(_corners(face), (x1, y1, x1, y1), strict=True)))
    found = [one for one in _detector().detect(_image(close)) if one.box.overlap(annotated) > 0]
    if not found:
        raise LookupError(f"annotation {annotation} of {SCENES}: no face is found there")
    return _shared(close), max(found, key=lambda one: one.box.overlap(annotated))


@functools.cache
def _outline(annotation: int) -> Image:
    """How much of each pixel of a close-up belongs to the person, 0..255: GrabCut, initialised from the face."""
    picture, face = _close_up(annotation)
    height, width = picture.shape[:2]
    box = face.box
    (x, y), w, h = box.centre, box.width_px, box.height_px
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)

    def ellipse(centre: tuple[float, float], half: tuple[float, float], label: int) -> None:
        cv2.ellipse(labels, _ints(centre), _ints(half), 0, 0, 360, [label], -1)

    def polygon(points: list[tuple[float, float]], label: int) -> None:
        cv2.fillPoly(labels, [np.asarray(points, np.int32)], [label])

    low = float(height + h)
    # Hair and shoulders are possible foreground; face, neck and the middle of the chest are certain.
    ellipse((x, y - 0.05 * h), (1.15 * w, 1.05 * h), cv2.GC_PR_BGD)
    polygon(
        [(x - 0.6 * w, y + 0.5 * h), (x + 0.6 * w, y + 0.5 * h), (x + 2.2 * w, low), (x - 2.2 * w, low)], cv2.GC_PR_BGD
    )
    ellipse((x, y - 0.1 * h), (0.68 * w, 0.75 * h), cv2.GC_PR_FGD)
    polygon(
        [
            (x - 0.4 * w, y + 0.6 * h),
            (x + 0.4 * w, y + 0.6 * h),
            (x + 1.2 * w, y + 1.3 * h),
            (x + 1.3 * w, low),
            (x - 1.3 * w, low),
            (x - 1.2 * w, y + 1.3 * h),
        ],
        cv2.GC_PR_FGD,
    )
    ellipse((x, y), (0.45 * w, 0.52 * h), cv2.GC_FGD)
    polygon(
        [
            (x - 0.25 * w, y + 0.3 * h),
            (x + 0.25 * w, y + 0.3 * h),
            (x + 0.6 * w, y + 1.4 * h),
            (x + 0.6 * w, low),
            (x - 0.6 * w, low),
            (x - 0.6 * w, y + 1.4 * h),
        ],
        cv2.GC_FGD,
    )
    # In half the size, which takes a quarter of the time.
    half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    labels = np.asarray(cv2.resize(labels, half.shape[1::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
    cv2.setRNGSeed(SEED)
    cv2.grabCut(half, labels, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK)
    kept = np.where((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), np.uint8(255), np.uint8(0))
    kept = cv2.resize(_largest_part(kept), (width, height), interpolation=cv2.INTER_LINEAR)
    kept = cv2.medianBlur(kept, 9)
    kept = cv2.erode(kept, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    return _shared(cv2.GaussianBlur(kept, (0, 0), 1.6))


def _largest_part(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Keep the largest connected part, and fill holes."""
    outlines, _ = cv2.findContours(plane, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(plane)
    cv2.drawContours(filled, [max(outlines, key=cv2.contourArea)], -1, [255], -1)
    return filled


def _with_body(picture: Image, outline: NDArray[np.uint8], face: Box) -> Figure:
    """Extend the body below the photograph, and fade the parts cut off at its sides."""
    height, width = outline.shape
    below = round(BODY_HEIGHTS * face.height_px)
    # The last rows may hold a border; one above them is cloth. A soft row leaves no stripes.
    row = height - 4
    whole = cv2.copyMakeBorder(picture[:row], 0, below, 0, 0, cv2.BORDER_REPLICATE)
    whole[row - 2 :] = cv2.GaussianBlur(whole[row - 2 :], (0, 0), 0.2 * face.width_px)
    solid = cv2.copyMakeBorder(outline[:row], 0, below, 0, 0, cv2.BORDER_REPLICATE)
    fade_px = max(4, round(0.12 * face.width_px))
    columns = np.minimum(np.arange(width), np.arange(width)[::-1])
    fade = np.clip(columns / fade_px, 0, 1)
    return Figure(_shared(np.dstack([whole, (solid * fade).astype(np.uint8)])), face)


def _corners(box: Box) -> tuple[float, float, float, float]:
    return box.x1, box.y1, box.x2, box.y2


def _ints(values: tuple[float, float]) -> tuple[int, int]:
    return round(values[0]), round(values[1])


def _image(pixels: NDArray[np.generic]) -> Image:
    return np.asarray(pixels, np.uint8)


def _shared(pixels: NDArray[np.generic]) -> Image:
    """Cached pixels, read only."""
    image = _image(pixels)
    image.setflags(write=False)
    return image
