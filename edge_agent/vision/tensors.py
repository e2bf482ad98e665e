"""Tensors: crops and converts faces to the classifier's input.

Device, training and converter call the same functions, so that a model sees on the device exactly what it was trained
and evaluated on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.domain import Box, Image, Picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edge_agent.vision.card import InputCard, OutputCard, Resampling

_SIGN_BIT = np.uint8(0x80)


def face_region(box: Box, *, margin_fraction: float) -> Box:
    """The square around a face that is the input of a mask classifier.

    Detectors agree on the position of a face more than on its height; a square avoids distortion. Its side is the
    longer side of the box plus the margin on both ends; it may reach outside the frame.
    """
    x, y = box.centre
    half = max(box.width_px, box.height_px) * (0.5 + margin_fraction)
    return Box(x - half, y - half, x + half, y + half)


def cut_region(picture: Picture, region: Box) -> Image:
    """Copy a region, at least 1x1 px, from a picture, in BGR, uint8; pixels outside replicate the edge."""
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = region.as_ints()
    x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
    # The part inside, at least one pixel wide, is padded to the requested size.
    left, right = min(max(x1, 0), width - 1), max(min(x2, width), 1)
    top, bottom = min(max(y1, 0), height - 1), max(min(y2, height), 1)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    inside = picture[top:bottom, left:right]
    pad_left = min(max(0, left - x1), x2 - x1 - 1)
    pad_top = min(max(0, top - y1), y2 - y1 - 1)
    pad_right = max(0, (x2 - x1) - pad_left - inside.shape[1])
    pad_bottom = max(0, (y2 - y1) - pad_top - inside.shape[0])
    if pad_left or pad_top or pad_right or pad_bottom:
        padded = cv2.copyMakeBorder(inside, pad_top, pad_bottom, pad_left, pad_right, cv2.BORDER_REPLICATE)
        return np.asarray(padded, np.uint8)
    return inside.copy()


def resize(image: Image, *, width_px: int, height_px: int, resampling: Resampling = "area") -> Image:
    """Scale a picture; by default with area averaging (no aliasing) when shrinking, bilinear when growing."""
    shrinks = image.shape[0] > height_px or image.shape[1] > width_px
    method = cv2.INTER_AREA if shrinks and resampling == "area" else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width_px, height_px), interpolation=method), np.uint8)


def face_pixels(
    picture: Picture,
    region: Box,
    *,
    width_px: int,
    height_px: int,
    colour_order: str = "rgb",
    resampling: Resampling = "area",
) -> Image:
    """The model's input for a region: (height_px, width_px, 3), uint8, in its colour order ("rgb" or "bgr")."""
    pixels = resize(cut_region(picture, region), width_px=width_px, height_px=height_px, resampling=resampling)
    if colour_order == "rgb":
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
    return pixels


def input_conversion(card: InputCard, *, scale: float, zero_point: int) -> Callable[[Image], NDArray[np.generic]]:
    """The function that converts a picture of the input's size, uint8, to the input tensor, (1, height, width, 3).

    `scale` and `zero_point` are those of the tensor. All quantized models converted by this project take the pixels, or
    the pixels less 128: preprocessing is then a resize and nothing more.
    """
    table = _values_of_pixels(card, scale=scale, zero_point=zero_point)
    if table.dtype == np.uint8 and np.array_equal(table, np.arange(256)):
        return lambda pixels: pixels[np.newaxis]
    if table.dtype == np.int8 and np.array_equal(table, np.arange(-128, 128)):
        # 20 times faster than the table.
        return lambda pixels: (pixels ^ _SIGN_BIT).view(np.int8)[np.newaxis]
    return lambda pixels: table[pixels][np.newaxis]


def _values_of_pixels(card: InputCard, *, scale: float, zero_point: int) -> NDArray[np.generic]:
    """The value in the input tensor of each of the 256 pixel values: shape (256,), the tensor's dtype."""
    real = (np.arange(256, dtype=np.float64) - card.zero_point) * card.scale
    if card.dtype == "float32":
        return real.astype(np.float32)
    kind = np.iinfo(card.dtype)
    return np.asarray(np.clip(np.round(real / scale + zero_point), kind.min, kind.max), card.dtype)


def probabilities(output: NDArray[np.generic], card: OutputCard, *, temperature: float) -> NDArray[np.float64]:
    """The output tensor as calibrated probabilities that sum to 1: shape (outputs,)."""
    values = (output.astype(np.float64).reshape(-1) - card.zero_point) * card.scale
    # A score of 0 of a uint8 softmax means less than half a step; zero would break logarithms.
    values = np.clip(values, 1 / 512, None) ** (1.0 / temperature)
    return np.asarray(values / values.sum(), np.float64)
