"""Jitter: simulates variations of detector boxes and camera distance.

Works on a face with its surroundings, before the device's code crops and scales it: boxes are shifted, scaled and
stretched, and distant cameras are simulated by fewer pixels and JPEG artefacts. Degrading all labels alike keeps the
model from distinguishing them by sharpness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.domain import Box, Image
from edge_agent.vision.tensors import face_pixels, face_region

if TYPE_CHECKING:
    from training.masks.recipe import JitterRecipe

MIN_SIDE_PX = 4
# Most cameras average when downscaling; some drop pixels, which leaves jagged edges.
AREA_RESAMPLING_PROBABILITY = 0.7


@dataclass(frozen=True, slots=True)
class FaceCropper:
    """How a face is cropped: margin around its box, and side of the input in pixels."""

    margin_fraction: float
    input_px: int

    def crop(self, image: Image, box: Box, *, whole: bool) -> Image:
        """The pixels that the device would give to the model: (side, side, 3), uint8, RGB.

        A `whole` picture is a face that already has its margin.
        """
        region = box if whole else face_region(box, margin_fraction=self.margin_fraction)
        return face_pixels(image, region, width_px=self.input_px, height_px=self.input_px)


def jittered(
    image: Image, box: Box, *, whole: bool, cropper: FaceCropper, recipe: JitterRecipe, random: np.random.Generator
) -> Image:
    """The pixels of a face as from another detector and camera: (side, side, 3), uint8, RGB."""
    image, box = _from_distance(image, box, recipe, random)
    return cropper.crop(image, _jittered_box(box, recipe, random), whole=whole)


def _jittered_box(box: Box, recipe: JitterRecipe, random: np.random.Generator) -> Box:
    x, y = box.centre
    x += random.normal(0.0, recipe.shift_fraction) * box.width_px
    y += random.normal(0.0, recipe.shift_fraction) * box.height_px
    scale = float(np.exp(random.normal(0.0, recipe.scale_fraction)))
    stretch = float(np.exp(random.normal(0.0, recipe.aspect_fraction)))
    half_width = box.width_px * scale / stretch**0.5 / 2
    half_height = box.height_px * scale * stretch**0.5 / 2
    return Box(x - half_width, y - half_height, x + half_width, y + half_height)


def _from_distance(image: Image, box: Box, recipe: JitterRecipe, random: np.random.Generator) -> tuple[Image, Box]:
    side = box.shorter_side_px
    if random.random() < recipe.distance_share and side > recipe.min_face_px:
        # Log-uniform: as many faces between 12 and 24 px as between 24 and 48.
        target_px = float(np.exp(random.uniform(np.log(recipe.min_face_px), np.log(side))))
        width = max(MIN_SIDE_PX, round(image.shape[1] * target_px / side))
        height = max(MIN_SIDE_PX, round(image.shape[0] * target_px / side))
        method = cv2.INTER_AREA if random.random() < AREA_RESAMPLING_PROBABILITY else cv2.INTER_LINEAR
        across, down = width / image.shape[1], height / image.shape[0]
        image = np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)
        box = Box(box.x1 * across, box.y1 * down, box.x2 * across, box.y2 * down)
    if random.random() < recipe.jpeg_share:
        image = compressed_as_jpeg(image, quality=int(random.integers(recipe.jpeg_quality, 96)))
    return image, box


def compressed_as_jpeg(image: Image, *, quality: int) -> Image:
    """Compress and decompress with a JPEG quality of 1..100."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
