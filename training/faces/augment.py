"""Augmentation: random variations of a scene for training.

Operates on uint8 pictures and boxes as x1, y1, x2, y2, with NumPy and OpenCV. The same random numbers give the same
canvas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

from edge_agent.vision.detector.scaling import letterboxed
from edge_agent.vision.tensors import resize
from training.faces.boxes import areas, shorter_sides
from training.masks.jitter import compressed_as_jpeg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_agent.domain import Image
    from training.faces.recipe import AugmentationRecipe

    Boxes: TypeAlias = NDArray[np.float32]
    Random: TypeAlias = np.random.Generator

MIN_RELATIVE_SCALE = 0.6
"""Minimum scale of a picture, relative to the scale at which it fits its place."""
MIN_VISIBLE_FRACTION = 0.6
"""A face with less than this on the canvas is ignored by the loss."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A canvas, (rows, columns, 3), BGR, uint8, with faces and regions to ignore, each (n, 4), float32."""

    pixels: Image
    faces: Boxes
    ignored: Boxes


@dataclass(frozen=True, slots=True)
class Window:
    """The visible part of a picture: its upper left corner in the picture, and the scale."""

    left: float
    top: float
    scale: float


def single_picture(sample: Sample, recipe: AugmentationRecipe, random: Random) -> Sample:
    """One picture on the whole canvas: letterboxed as on the device, or a part of it at another scale."""
    side = recipe.canvas
    if random.random() < recipe.plain_share:
        pixels, back = letterboxed(sample.pixels, width_px=side, height_px=side)
        return _with_small_faces_ignored(Sample(pixels, sample.faces / back, sample.ignored / back), recipe)
    window = _random_window(sample, recipe, random, width=side, height=side)
    return _with_small_faces_ignored(_cropped_and_scaled(sample, window, width=side, height=side), recipe)


def mosaic(samples: Sequence[Sample], recipe: AugmentationRecipe, random: Random) -> Sample:
    """Four pictures around a random point of the canvas."""
    side = recipe.canvas
    x, y = (int(side * random.uniform(0.3, 0.7)) for _ in range(2))
    pixels = np.zeros((side, side, 3), np.uint8)
    faces, ignored = [], []
    corners = ((0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side))
    for sample, (left, top, right, bottom) in zip(samples, corners, strict=True):
        width, height = right - left, bottom - top
        part = _cropped_and_scaled(
            sample, _random_window(sample, recipe, random, width=width, height=height), width=width, height=height
        )
        pixels[top:bottom, left:right] = part.pixels
        offset = np.array([left, top, left, top], np.float32)
        faces.append(part.faces + offset)
        ignored.append(part.ignored + offset)
    return _with_small_faces_ignored(Sample(pixels, np.concatenate(faces), np.concatenate(ignored)), recipe)


def flipped(sample: Sample, recipe: AugmentationRecipe, random: Random) -> Sample:
    """Mirror at random."""
    if random.random() >= recipe.flip_share:
        return sample
    width = sample.pixels.shape[1]

    def mirror(boxes: Boxes) -> Boxes:
        return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)

    return Sample(np.asarray(cv2.flip(sample.pixels, 1), np.uint8), mirror(sample.faces), mirror(sample.ignored))


def rotated(sample: Sample, recipe: AugmentationRecipe, random: Random) -> Sample:
    """Rotate around the centre at random, as with a tilted head or camera; new corners are black.

    A face is roughly an ellipse: its new box is the bounding box of the rotated ellipse.
    """
    if random.random() >= recipe.rotation_share:
        return sample
    degrees = random.uniform(-recipe.rotation_degrees, recipe.rotation_degrees)
    height, width = sample.pixels.shape[:2]
    rotation = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0), np.float64)
    cosine, sine = abs(rotation[0, 0]), abs(rotation[0, 1])
    # The canvas grows, so that no face leaves the picture.
    new_size = (math.ceil(width * cosine + height * sine), math.ceil(width * sine + height * cosine))
    rotation[:, 2] += (np.array(new_size) - (width, height)) / 2

    def rotate(boxes: Boxes) -> Boxes:
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2 @ rotation[:, :2].T + rotation[:, 2]
        halves = (boxes[:, 2:] - boxes[:, :2]) / 2
        around = np.sqrt((halves**2) @ np.array([[cosine, sine], [sine, cosine]]) ** 2)
        return np.asarray(np.concatenate([centres - around, centres + around], axis=1), np.float32)

    pixels = np.asarray(cv2.warpAffine(sample.pixels, rotation, new_size), np.uint8)
    return Sample(pixels, rotate(sample.faces), rotate(sample.ignored))


def degraded(image: Image, recipe: AugmentationRecipe, random: Random) -> Image:
    """Vary light, lens, sensor and compression; the shape stays the same."""
    adjusted = _colour_jittered(image, recipe, random)
    if random.random() < recipe.blur_share:
        adjusted = _blurred(adjusted, random)
    is_night = random.random() < recipe.night_share
    if is_night:
        adjusted = np.asarray(cv2.convertScaleAbs(adjusted, alpha=random.uniform(0.25, 0.6)), np.uint8)
    if is_night or random.random() < recipe.noise_share:
        adjusted = _noisy(adjusted, random.uniform(2, 14), random)
    if random.random() < recipe.jpeg_share:
        adjusted = compressed_as_jpeg(adjusted, quality=int(random.integers(recipe.jpeg_quality, 96)))
    return adjusted


def _random_window(sample: Sample, recipe: AugmentationRecipe, random: Random, *, width: int, height: int) -> Window:
    """A random part of a picture; with faces, it contains one of them, at a log-uniformly drawn size."""
    rows, columns = sample.pixels.shape[:2]
    fit_scale = min(width / columns, height / rows)
    if not len(sample.faces):
        scale = min(recipe.max_scale, fit_scale * float(np.exp(random.uniform(0.0, 1.2))))
        return Window(
            _random_offset(random, columns, width / scale), _random_offset(random, rows, height / scale), scale
        )
    x1, y1, x2, y2 = sample.faces[random.integers(len(sample.faces))]
    side = max(1.0, min(x2 - x1, y2 - y1))
    largest = min(recipe.max_target_px, 0.9 * min(width, height))
    target_px = float(np.exp(random.uniform(np.log(recipe.min_target_px), np.log(largest))))
    scale = float(np.clip(target_px / side, MIN_RELATIVE_SCALE * fit_scale, recipe.max_scale))
    # The face is anywhere on the canvas, but entirely on it.
    left = (x1 + x2) / 2 - random.uniform(0.1, 0.9) * width / scale
    top = (y1 + y2) / 2 - random.uniform(0.1, 0.9) * height / scale
    return Window(_clamped(left, columns, width / scale), _clamped(top, rows, height / scale), scale)


def _random_offset(random: Random, length: int, shown: float) -> float:
    return float(random.uniform(0, length - shown)) if shown < length else 0.0


def _clamped(start: float, length: int, shown: float) -> float:
    """Keep the smaller of window and picture inside the larger."""
    low, high = min(0.0, length - shown), max(0.0, length - shown)
    return float(np.clip(start, low, high))


def _cropped_and_scaled(sample: Sample, window: Window, *, width: int, height: int) -> Sample:
    """Cut out and scale the window; areas outside the picture are black."""
    rows, columns = sample.pixels.shape[:2]
    x1, y1 = max(0, int(window.left)), max(0, int(window.top))
    x2 = min(columns, int(np.ceil(window.left + width / window.scale)))
    y2 = min(rows, int(np.ceil(window.top + height / window.scale)))
    pixels = np.zeros((height, width, 3), np.uint8)
    origin = np.array([x1, y1], np.float32)
    # Position of the cut on the canvas in whole pixels: boxes follow the pixels actually shown.
    left, top = (max(0, round((edge - start) * window.scale)) for edge, start in ((x1, window.left), (y1, window.top)))
    shown_width = min(width - left, max(1, round((x2 - x1) * window.scale)))
    shown_height = min(height - top, max(1, round((y2 - y1) * window.scale)))
    cut = sample.pixels[y1:y2, x1:x2]
    if cut.size and shown_width > 0 and shown_height > 0:
        # Scale the whole cut, then crop.
        full = resize(
            cut,
            width_px=max(1, round((x2 - x1) * window.scale)),
            height_px=max(1, round((y2 - y1) * window.scale)),
        )
        pixels[top : top + shown_height, left : left + shown_width] = full[:shown_height, :shown_width]
    move = np.tile(np.array([left, top], np.float32), 2)

    def transform(boxes: Boxes) -> Boxes:
        return np.asarray((boxes - np.tile(origin, 2)) * np.float32(window.scale) + move, np.float32)

    return _clipped(Sample(pixels, transform(sample.faces), transform(sample.ignored)))


def _clipped(sample: Sample) -> Sample:
    """Clip boxes to the canvas; faces with too little left become regions to ignore."""
    height, width = sample.pixels.shape[:2]
    limits = np.array([width, height, width, height], np.float32)
    faces, ignored = (np.clip(boxes, 0, limits) for boxes in (sample.faces, sample.ignored))
    visible = areas(faces) >= MIN_VISIBLE_FRACTION * np.maximum(areas(sample.faces), 1e-6)
    ignored = np.concatenate([ignored, faces[~visible]])
    return Sample(sample.pixels, faces[visible], ignored[areas(ignored) > 0])


def _with_small_faces_ignored(sample: Sample, recipe: AugmentationRecipe) -> Sample:
    """Turn faces that are too small to learn into regions to ignore."""
    large = shorter_sides(sample.faces) >= recipe.min_face_px
    return Sample(sample.pixels, sample.faces[large], np.concatenate([sample.ignored, sample.faces[~large]]))


def _colour_jittered(image: Image, recipe: AugmentationRecipe, random: Random) -> Image:
    """Vary brightness, contrast, gamma and tint, with one lookup table per colour."""
    spread = recipe.light_fraction
    values = np.arange(256, dtype=np.float32) / 255
    values = values ** np.exp(random.normal(0, spread))
    contrast, brightness = np.exp(random.normal(0, spread)), random.normal(0, spread / 2)
    values = (values - 0.5) * contrast + 0.5 + brightness
    tints = np.exp(random.uniform(-1, 1, 3) * recipe.tint_fraction)
    table = np.clip(values[:, None] * tints * 255, 0, 255).astype(np.uint8)
    adjusted = np.asarray(cv2.LUT(image, table.reshape(1, 256, 3)), np.uint8)
    if random.random() < recipe.grey_share:
        adjusted = np.asarray(cv2.cvtColor(cv2.cvtColor(adjusted, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)
    return adjusted


def _blurred(image: Image, random: Random) -> Image:
    """Blur as by the lens, or by motion along a line."""
    if random.random() < 0.5:  # noqa: PLR2004  (both alike)
        return np.asarray(cv2.GaussianBlur(image, (0, 0), random.uniform(0.4, 2.0)), np.uint8)
    length = int(random.integers(2, 8))
    kernel = np.zeros((length, length), np.float32)
    angle = random.uniform(0, math.pi)
    middle, reach = (length - 1) / 2, length / 2
    ends = [
        (round(middle + sign * reach * math.cos(angle)), round(middle + sign * reach * math.sin(angle)))
        for sign in (-1, 1)
    ]
    cv2.line(kernel, ends[0], ends[1], (1.0,))
    return np.asarray(cv2.filter2D(image, -1, kernel / max(kernel.sum(), 1.0)), np.uint8)


def _noisy(image: Image, strength: float, random: Random) -> Image:
    """Add noise, drawn for a quarter of the picture and repeated: drawing it is the most expensive step."""
    height, width = image.shape[:2]
    tile = random.standard_normal((height // 2 + 1, width // 2 + 1, 3), np.float32) * np.float32(strength)
    noise = np.tile(tile, (2, 2, 1))[:height, :width]
    return np.asarray(np.clip(image + noise, 0, 255), np.uint8)
