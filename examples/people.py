"""People: cuts the persons of the example recording out of portraits, with or without a drawn mask.

Uses two public-domain portraits shipped with well-known Python packages: Eileen Collins (NASA, in scikit-image) and
Grace Hopper (US Navy, in matplotlib). The cut-outs have soft edges; the mask is a surgical one.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.resources import files
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.vision.images import decode_picture

Image: TypeAlias = NDArray[np.uint8]
"""Pixels, shape (height, width, 3) BGR or (height, width, 4) BGRA, uint8."""

Plane: TypeAlias = NDArray[np.float32]
"""One value per pixel, shape (height, width)."""

Point: TypeAlias = tuple[float, float]

MASK_BLUE = (208.0, 186.0, 146.0)
"""Outer side of a surgical mask in even light, as blue, green, red."""

DETAIL = 4
"""Masks are drawn enlarged by this factor, then scaled down for soft lines."""

SEED = 20
"""Seed of the cloth's grain and of GrabCut; arbitrary, but fixed for reproducible pictures."""


@dataclass(frozen=True, slots=True)
class Mask:
    """Position of a surgical mask on a portrait, in pixels of the portrait.

    Both edges run from left to right in the picture, each strap from the mask to the ear.
    """

    upper_edge: tuple[Point, ...]
    lower_edge: tuple[Point, ...]
    straps: tuple[tuple[Point, ...], ...]

    @property
    def surroundings(self) -> tuple[int, int, int, int]:
        """The area that mask, straps and shadow can touch, as x1, y1, x2, y2."""
        points = np.concatenate([self.upper_edge, self.lower_edge, *self.straps])
        margin = 0.2 * np.ptp(points[:, 0])
        (x1, y1), (x2, y2) = points.min(axis=0) - margin, points.max(axis=0) + margin
        return int(x1), int(y1), int(x2), int(y2)

    def moved(self, x: float, y: float) -> Mask:
        """The same mask at another position."""

        def move(points: tuple[Point, ...]) -> tuple[Point, ...]:
            return tuple((px + x, py + y) for px, py in points)

        return Mask(move(self.upper_edge), move(self.lower_edge), tuple(move(strap) for strap in self.straps))


@dataclass(frozen=True, slots=True)
class Portrait:
    """A public-domain photograph with hand-drawn markings.

    `face` is brow to chin and cheek to cheek as x1, y1, x2, y2; `outline` runs once around the person.
    """

    name: str
    package: str
    file: str
    face: tuple[int, int, int, int]
    outline: tuple[Point, ...]
    mask: Mask


def points(text: str) -> tuple[Point, ...]:
    """Parse points in SVG notation: "x,y x,y ...".

    Raises:
        ValueError: a point does not consist of two numbers.
    """
    return tuple((float(x), float(y)) for x, y in (pair.split(",") for pair in text.split()))


COLLINS = Portrait(
    name="Eileen Collins",
    package="skimage",
    file="data/astronaut.png",
    face=(181, 86, 268, 181),
    outline=points(
        "22,512 25,440 28,380 30,335 38,300 45,270 60,245 85,228 105,212 114,205 114,190 122,175 "
        "135,160 155,150 172,148 184,149 182,135 181,131 176,130 170,120 160,110 155,100 153,85 "
        "153,70 156,60 165,50 175,42 188,35 195,27 210,21 230,15 250,18 270,28 283,38 291,52 298,68 "
        "301,85 299,95 296,108 288,118 278,128 272,135 267,137 264,150 258,160 255,170 254,175 "
        "262,175 275,185 288,198 298,215 304,232 310,238 325,245 338,258 346,275 350,290 357,310 "
        "362,340 375,345 400,343 425,347 450,360 475,385 490,420 496,450 503,470 505,512"
    ),
    mask=Mask(
        upper_edge=points("182,122 192,120 205,116 214,110 223,107 232,111 241,117 254,122 266,126"),
        lower_edge=points("182,122 183,140 187,157 196,171 208,180 222,184 236,181 249,173 260,156 265,141 266,126"),
        straps=(
            points("184,123 179,121 174,117"),
            points("187,155 182,142 177,130"),
            points("264,127 268,126 273,122"),
            points("260,154 266,144 270,134"),
        ),
    ),
)

HOPPER = Portrait(
    name="Grace Hopper",
    package="matplotlib",
    file="mpl-data/sample_data/grace_hopper.jpg",
    face=(180, 142, 347, 334),
    outline=points(
        "12,600 18,550 25,500 32,450 40,420 48,395 60,382 75,374 100,365 130,355 165,343 190,325 "
        "203,312 200,298 185,290 170,283 161,270 161,250 158,225 153,205 153,190 146,180 144,165 "
        "146,140 150,120 153,105 160,90 172,84 175,68 185,54 200,44 215,41 222,33 235,24 255,22 "
        "270,23 285,28 298,36 305,40 320,43 338,55 349,70 352,86 363,86 369,95 371,115 372,140 "
        "369,170 366,180 372,185 375,200 373,220 368,240 363,255 362,265 360,280 355,293 345,303 "
        "335,306 330,312 338,322 350,335 370,345 400,358 430,368 460,378 485,385 495,395 503,415 "
        "507,450 509,500 510,600"
    ),
    mask=Mask(
        upper_edge=points("185,232 205,230 228,226 246,216 262,210 279,215 297,224 320,228 343,229"),
        lower_edge=points(
            "185,232 187,262 193,290 205,313 222,330 242,340 263,343 284,340 304,330 320,314 333,291 340,262 343,229"
        ),
        straps=(
            points("188,233 176,224 164,206"),
            points("192,285 180,276 166,254"),
            points("340,230 350,222 360,206"),
            points("335,284 350,272 362,250"),
        ),
    ),
)


@functools.cache
def picture(portrait: Portrait) -> Image:
    """The portrait as shipped in its package: (height, width, 3) BGR."""
    file = files(portrait.package) / portrait.file
    if not file.is_file():
        raise FileNotFoundError(f"{portrait.file} is not in {portrait.package}; install maskwatch[dev,train]")
    return _shared(decode_picture(file.read_bytes()))


@functools.cache
def masked_picture(portrait: Portrait) -> Image:
    """The portrait with a light blue surgical mask drawn on it: (height, width, 3) BGR."""
    pixels = picture(portrait).copy()
    x1, y1, x2, y2 = portrait.mask.surroundings
    mask = portrait.mask.moved(-x1, -y1)
    around = pixels[y1:y2, x1:x2]
    large = cv2.resize(around, None, fx=DETAIL, fy=DETAIL, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    cloth = _cloth(large, mask)
    coverage = _coverage(mask, (large.shape[0], large.shape[1]))

    # The mask stands off the face and casts a soft shadow on cheeks, chin and neck.
    depth_px = _width_px(mask) * 0.05
    shadow = _blur(np.roll(coverage, round(depth_px), axis=0), depth_px)
    large *= 1.0 - 0.45 * shadow[..., np.newaxis]
    _draw_straps(large, mask)
    large += coverage[..., np.newaxis] * (cloth - large)

    small = cv2.resize(large, around.shape[1::-1], interpolation=cv2.INTER_AREA)
    pixels[y1:y2, x1:x2] = np.clip(small, 0, 255)
    return _shared(pixels)


@functools.cache
def cut_out(portrait: Portrait, *, masked: bool) -> Image:
    """The person without background: (height, width, 4) BGRA with a soft edge, of the portrait's size."""
    pixels = masked_picture(portrait) if masked else picture(portrait)
    return _shared(np.dstack([pixels, _figure(portrait)]))


@functools.cache
def _figure(portrait: Portrait) -> Image:
    """Opacity of the person per pixel, 0..255: the hand-drawn outline, refined by GrabCut."""
    pixels = picture(portrait)
    inside = np.zeros(pixels.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.asarray(portrait.outline, np.int32)], [255])
    band_px = 9
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (band_px, band_px))
    # The border of the picture is not an edge of the person.
    certain = cv2.erode(inside, kernel, borderType=cv2.BORDER_REPLICATE)
    possible = cv2.dilate(inside, kernel)
    labels = np.where(inside > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[certain > 0] = cv2.GC_FGD
    labels[possible == 0] = cv2.GC_BGD
    cv2.setRNGSeed(SEED)
    cv2.grabCut(pixels, labels, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)

    kept = np.where((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), np.uint8(255), np.uint8(0))
    kept = cv2.medianBlur(kept, 7)
    # Shrink by a pixel, then soften, so that no old background shows at the edge.
    kept = cv2.erode(kept, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.GaussianBlur(kept, (0, 0), 1.2), np.uint8)


def _cloth(large: NDArray[np.float32], mask: Mask) -> NDArray[np.float32]:
    """Colour of the cloth at every pixel: lit like the face below it, with three folds and a hem."""
    height, width = large.shape[0], large.shape[1]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    left, right = (np.asarray(mask.upper_edge[end], np.float32) * DETAIL for end in (0, -1))
    middle = (left + right) / 2
    # Coordinates along the line between the ears: -1..1 across the mask and 0..1 down it.
    axis = (right - left) / np.linalg.norm(right - left)
    half = float(np.linalg.norm(right - left)) / 2
    across = ((columns - middle[0]) * axis[0] + (rows - middle[1]) * axis[1]) / half
    depth = max(y for _, y in mask.lower_edge) * DETAIL - middle[1]
    down = ((rows - middle[1]) * axis[0] - (columns - middle[0]) * axis[1]) / depth

    covered = _coverage(mask, (height, width)) > 0
    light = _blur(large.mean(axis=2), half * 0.35)
    light = np.clip(light / light[covered].mean(), 0.75, 1.2)
    # Shaped like a tent over nose and chin: darker towards the sides and below.
    light *= 1.06 - 0.24 * np.abs(across) ** 2.5 - 0.16 * np.clip(down - 0.5, 0, 1)
    for fold in (0.3, 0.5, 0.7):
        # Folds are fixed at the ends and sag in the middle.
        distance = down - (fold + 0.07 * (1 - across**2))
        light *= 1.0 - 0.2 * np.exp(-((distance / 0.022) ** 2)) + 0.07 * np.exp(-(((distance - 0.05) / 0.03) ** 2))
    light *= 1.0 + 0.012 * np.random.default_rng(SEED).standard_normal((height, width)).astype(np.float32)
    cloth = light[..., np.newaxis] * np.asarray(MASK_BLUE, np.float32)

    hem = np.zeros((height, width), np.float32)
    for edge in (mask.upper_edge, mask.lower_edge):
        cv2.polylines(
            hem, [_curve(edge)], isClosed=False, color=[1.0], thickness=round(half * 0.09), lineType=cv2.LINE_AA
        )
    return np.asarray(cloth * (1.0 + 0.1 * _blur(hem, half * 0.02)[..., np.newaxis]), np.float32)


def _coverage(mask: Mask, size: tuple[int, int]) -> Plane:
    """Opacity of the mask, 0..1, in the enlarged picture of `size` (height, width)."""
    plane = np.zeros(size, np.float32)
    cv2.fillPoly(plane, [np.concatenate([_curve(mask.upper_edge), _curve(mask.lower_edge)[::-1]])], [1.0], cv2.LINE_AA)
    return _blur(plane, 1.5)


def _draw_straps(large: NDArray[np.float32], mask: Mask) -> None:
    """Draw the white elastic straps to the ears, with their shadows, into the enlarged picture."""
    thickness_px = max(2, round(_width_px(mask) * 0.022))
    for strap in mask.straps:
        for offset_px, colour, share in ((thickness_px, (40.0, 40.0, 50.0), 0.35), (0, (232.0, 232.0, 228.0), 0.95)):
            line = np.zeros(large.shape[:2], np.float32)
            cv2.polylines(
                line, [_curve(strap) + np.array([0, offset_px], np.int32)], False, [share], thickness_px, cv2.LINE_AA
            )
            large += _blur(line, 1.0)[..., np.newaxis] * (np.asarray(colour, np.float32) - large)


def _curve(points: tuple[Point, ...]) -> NDArray[np.int32]:
    """A smooth curve (Catmull-Rom) through points, in pixels of the enlarged picture: (n, 2)."""
    knots = np.asarray((points[0], *points, points[-1]), np.float64) * DETAIL
    steps = np.linspace(0, 1, 12, endpoint=False)[:, np.newaxis]
    parts = []
    for a, b, c, d in zip(knots, knots[1:], knots[2:], knots[3:], strict=False):
        curve = 2 * b + (c - a) * steps + (2 * a - 5 * b + 4 * c - d) * steps**2 + (3 * b - a - 3 * c + d) * steps**3
        parts.append(curve / 2)
    return np.asarray(np.round(np.concatenate([*parts, knots[-1:]])), np.int32)


def _width_px(mask: Mask) -> float:
    """Width of a mask in pixels of the enlarged picture."""
    return (mask.upper_edge[-1][0] - mask.upper_edge[0][0]) * DETAIL


def _shared(pixels: NDArray[np.generic]) -> Image:
    """Make cached pixels read-only."""
    image = np.asarray(pixels, np.uint8)
    image.setflags(write=False)
    return image


def _blur(plane: NDArray[np.float32], sigma_px: float) -> Plane:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma_px), np.float32)
