"""Planes: a picture as a video decoder stores it, converted to BGR only where it is needed.

Half of the chroma's pixels are left out in both directions (YUV 4:2:0), which halves the memory of a frame. Where the
detector's input is half as large as the picture, only the luma has to be scaled.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_agent.domain import Image

Standard = Literal["bt601", "bt709"]

_KR_KB: dict[Standard, tuple[float, float]] = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
"""Shares of red and blue in the luma (ITU-R BT.601 and BT.709)."""
_CHROMA_MIDDLE = 128.0


@dataclass(frozen=True, slots=True)
class ColourSpace:
    """How YUV of 8 bits becomes BGR."""

    standard: Standard
    is_full_range: bool
    """Luma is 0..255, not 16..235, as in JPEG."""

    @property
    def luma_scale(self) -> float:
        """Grey levels per step of luma."""
        return 1.0 if self.is_full_range else 255 / 219

    @property
    def black(self) -> int:
        """The luma of black."""
        return 0 if self.is_full_range else 16


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """A picture in YUV 4:2:0. Indexed by rows and columns, or as a whole by `np.asarray`, it becomes BGR uint8.

    `luma` is (height, width), `u` and `v` are (height / 2, width / 2); uint8, read-only.
    """

    luma: NDArray[np.uint8]
    u: NDArray[np.uint8]
    v: NDArray[np.uint8]
    colour: ColourSpace

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of the picture as BGR."""
        return self.luma.shape[0], self.luma.shape[1], 3

    @property
    def nbytes(self) -> int:
        """Memory of the planes."""
        return self.luma.nbytes + self.u.nbytes + self.v.nbytes

    def __getitem__(self, part: tuple[slice, slice]) -> Image:
        """The pixels of a part, without steps, as BGR uint8: a copy."""
        (top, bottom, _), (left, right, _) = (
            axis.indices(side) for axis, side in zip(part, self.luma.shape, strict=True)
        )
        # Chroma of whole pairs of rows and columns; each of its pixels is that of four of the picture.
        rows, columns = slice(top // 2, (bottom + 1) // 2), slice(left // 2, (right + 1) // 2)
        chroma = [_doubled(plane[rows, columns]) for plane in (self.u, self.v)]
        inside = [plane[top % 2 :, left % 2 :][: bottom - top, : right - left] for plane in chroma]
        return _as_bgr([self.luma[top:bottom, left:right], *inside], self.colour)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The whole picture as BGR."""
        return np.asarray(self[:, :], dtype)

    def halved(self, *, width_px: int, height_px: int) -> Image:
        """As BGR uint8, halved as often as it stays at least this large."""
        luma, u, v = self.luma, self.u, self.v
        is_half = False
        while luma.shape[1] // 2 >= width_px and luma.shape[0] // 2 >= height_px:
            luma = half(luma)
            if is_half:
                u, v = half(u), half(v)
            is_half = True
        return _as_bgr([luma, u, v], self.colour) if is_half else self[:, :]

    def grey(self, *, width_px: int, height_px: int) -> NDArray[np.uint8]:
        """In grey levels 0..255, scaled between the nearest pixels: (height_px, width_px), uint8."""
        small = cv2.resize(self.luma, (width_px, height_px), interpolation=cv2.INTER_LINEAR)
        scale = self.colour.luma_scale
        # Darker than black is black: the absolute value that OpenCV takes would be another grey.
        levels = cv2.convertScaleAbs(np.maximum(small, self.colour.black), alpha=scale, beta=-scale * self.colour.black)
        return np.asarray(levels, np.uint8)


def half(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average blocks of 2x2 pixels; an odd last row or column is left out.

    OpenCV does this far faster than averaging areas of any other ratio.
    """
    rows, columns = pixels.shape[0] // 2, pixels.shape[1] // 2
    halved = cv2.resize(pixels[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(halved, np.uint8)


def _doubled(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat each pixel in 2x2."""
    # Both bytes of a 16-bit number are the pixel: several times as fast as repeating columns, or cv2.resize.
    in_rows = (pixels.astype(np.uint16) * np.uint16(0x0101)).view(np.uint8)
    return np.repeat(in_rows, 2, axis=0)


def _as_bgr(planes: list[NDArray[np.uint8]], colour: ColourSpace) -> Image:
    """Convert luma, U and V of the same size."""
    return np.asarray(cv2.transform(cv2.merge(planes), _to_bgr(colour)), np.uint8)


@cache
def _to_bgr(colour: ColourSpace) -> NDArray[np.float64]:
    """The matrix from Y, U, V, 1 to B, G, R: shape (3, 4)."""
    red, blue = _KR_KB[colour.standard]
    green = 1 - red - blue
    chroma_scale = 1.0 if colour.is_full_range else 255 / 224
    from_u, from_v = 2 * (1 - blue) * chroma_scale, 2 * (1 - red) * chroma_scale
    linear = np.array(
        [
            [colour.luma_scale, from_u, 0.0],
            [colour.luma_scale, -from_u * blue / green, -from_v * red / green],
            [colour.luma_scale, 0.0, from_v],
        ]
    )
    zero = np.array([colour.black, _CHROMA_MIDDLE, _CHROMA_MIDDLE])
    return np.concatenate([linear, -linear @ zero[:, np.newaxis]], axis=1)
