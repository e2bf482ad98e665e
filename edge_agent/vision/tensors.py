"""Tensors: crops and converts faces to the classifier's input.

The device, the training and the converter all call these functions, so that a model meets on the street
exactly what it was trained and judged on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.domain import Box, Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_agent.vision.card import InputCard, OutputCard, Resampling


def face_region(box: Box, *, margin_fraction: float) -> Box:
    """The square around a face that a mask classifier gets.

    Detectors disagree on how tall a face is more than on where it is: a square keeps the picture from being
    squeezed. Its side is the longer side of the box plus the margin on both ends; it may reach outside the frame.
    """
    x, y = box.centre
    half = max(box.width_px, box.height_px) * (0.5 + margin_fraction)
    return Box(x - half, y - half, x + half, y + half)


def cut_region(image: Image, region: Box) -> Image:
    """Cut a region out of a picture; what lies outside repeats the edge. Returns a copy, at least 1x1 px.

    A region wholly outside gives the nearest pixels of the edge.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = region.as_ints()
    x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
    # The part inside, at least one pixel wide, is padded to the size asked for.
    left, right = min(max(x1, 0), width - 1), max(min(x2, width), 1)
    top, bottom = min(max(y1, 0), height - 1), max(min(y2, height), 1)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    inside = image[top:bottom, left:right]
    pad_left = min(max(0, left - x1), x2 - x1 - 1)
    pad_top = min(max(0, top - y1), y2 - y1 - 1)
    pad_right = max(0, (x2 - x1) - pad_left - inside.shape[1])
    pad_bottom = max(0, (y2 - y1) - pad_top - inside.shape[0])
    if pad_left or pad_top or pad_right or pad_bottom:
        padded = cv2.copyMakeBorder(inside, pad_top, pad_bottom, pad_left, pad_right, cv2.BORDER_REPLICATE)
        return np.asarray(padded, np.uint8)
    return inside.copy()


def resize(image: Image, *, width_px: int, height_px: int, resampling: Resampling = "area") -> Image:
    """Scale a picture; by default averages where it shrinks (no aliasing), and interpolates where it grows."""
    shrinks = image.shape[0] > height_px or image.shape[1] > width_px
    method = cv2.INTER_AREA if shrinks and resampling == "area" else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width_px, height_px), interpolation=method), np.uint8)


def face_pixels(
    image: Image,
    region: Box,
    *,
    width_px: int,
    height_px: int,
    colour_order: str = "rgb",
    resampling: Resampling = "area",
) -> Image:
    """The pixels that a model sees of a region: (height, width, 3), uint8, in the model's colour order."""
    pixels = resize(cut_region(image, region), width_px=width_px, height_px=height_px, resampling=resampling)
    if colour_order == "rgb":
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
    return pixels


def input_table(card: InputCard, *, scale: float, zero_point: int) -> NDArray[np.generic]:
    """What each of the 256 pixel values becomes in the input tensor: shape (256,), the tensor's dtype.

    `scale` and `zero_point` are those of the tensor itself. For a quantized model converted by this project the
    table is the identity: preprocessing is a resize and nothing more.
    """
    real = (np.arange(256, dtype=np.float64) - card.zero_point) * card.scale
    if card.dtype == "float32":
        return real.astype(np.float32)
    kind = np.iinfo(card.dtype)
    return np.asarray(np.clip(np.round(real / scale + zero_point), kind.min, kind.max), card.dtype)


def probabilities(output: NDArray[np.generic], card: OutputCard, *, temperature: float) -> NDArray[np.float64]:
    """The output tensor as calibrated probabilities that sum to 1: shape (labels,)."""
    values = (output.astype(np.float64).reshape(-1) - card.zero_point) * card.scale
    # Half a step of a uint8 softmax: a score of 0 means "less than that", and must survive the logarithm.
    values = np.clip(values, 1 / 512, None) ** (1.0 / temperature)
    return np.asarray(values / values.sum(), np.float64)
