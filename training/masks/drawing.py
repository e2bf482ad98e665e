"""Drawing: renders a mask on a face.

Masks are drawn in coordinates of the head: u runs from the person's right to left, in interpupillary distances; v runs
down from the pupils, with 1 at the lips and about 1.65 at the chin. Outline, cloth and folds are defined there, so they
turn, lean and scale with the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_agent.domain import Image
    from training.masks.landmarks import FaceLandmarks, Point

Wearing: TypeAlias = Literal["properly", "nose_free", "chin_only", "under_the_chin"]

MaskKind: TypeAlias = Literal["surgical", "cloth", "cup", "scarf"]
MASK_KINDS: tuple[MaskKind, ...] = get_args(MaskKind)

Pattern: TypeAlias = Literal["plain", "stripes", "checks", "dots", "flowers", "camouflage", "print"]
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)

# Half the width of a head at the pupils, nose, lips, jaw and chin, in interpupillary distances; after drawing
# proportions (a head is five eye widths wide, the lips are a third of the way from nose to chin).
JAW_V = np.array([-0.2, 0.0, 0.5, 1.0, 1.3, 1.55, 1.72, 2.2])
JAW_U = np.array([1.12, 1.12, 1.06, 0.90, 0.74, 0.50, 0.30, 0.30])
# How far the middle of the face stands out: its shift when the head turns, as a fraction of the nose's shift.
RIDGE_V = np.array([-0.2, 0.0, 0.3, 0.6, 1.0, 1.65, 2.2])
RIDGE_U = np.array([0.3, 0.35, 0.7, 1.0, 0.75, 0.55, 0.2])

# Distance from pupils to lips in pixels above which soft edges need no finer grid.
LARGE_FACE_PX = 200
MIN_REGION_PX = 2
# With the nose this far off the middle, the ear on that side is hidden.
EAR_HIDDEN_TURN = 0.35
CHEEKS_U = (-0.8, 0.8)
CHEEKS_V = (-0.1, 0.9)
NOSE_HALF_WIDTH = 0.25
# The part of a surgical mask between its seams, 0 at the top, 1 at the bottom.
PLEATED = (0.15, 0.85)

# Ranges, in v, of the upper edge, of how far its ends hang below its middle, of the lower end of the sides, and of the
# lower edge.
POSITION_RANGES: dict[Wearing, tuple[tuple[float, float], ...]] = {
    "properly": ((0.18, 0.42), (0.12, 0.28), (0.95, 1.15), (1.62, 1.85)),
    "nose_free": ((0.74, 0.95), (-0.2, -0.02), (1.15, 1.3), (1.65, 1.9)),
    "chin_only": ((1.14, 1.36), (-0.35, -0.1), (1.3, 1.5), (1.75, 2.05)),
    "under_the_chin": ((1.5, 1.66), (-0.45, -0.25), (1.5, 1.7), (1.95, 2.25)),
}

SURGICAL_COLOURS = ((214, 196, 150), (226, 214, 178), (240, 240, 238), (150, 190, 120), (200, 180, 230), (45, 42, 40))
CLOTH_COLOURS = (
    (30, 30, 32), (60, 58, 60), (238, 238, 236), (150, 150, 152), (92, 52, 28), (40, 40, 150), (60, 110, 60),
    (150, 120, 200), (130, 160, 190), (180, 150, 90), (70, 140, 210), (90, 60, 110),
    # Skin colours, light to dark: colour alone must not distinguish a mask from a bare face.
    (180, 200, 235), (140, 172, 215), (105, 140, 190), (70, 98, 148), (45, 62, 98), (30, 42, 70),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MaskStyle:
    """One mask: kind, cloth and fit. Colours are BGR, 0..255."""

    kind: MaskKind
    pattern: Pattern
    colour: tuple[int, int, int]
    second_colour: tuple[int, int, int]
    wearing: Wearing
    top: float
    """v of the middle of the upper edge."""
    side_top: float
    side_bottom: float
    bottom: float
    width: float
    """Position of its ends, as a fraction of the head's half width."""
    tilt: float
    """Difference of v between the ears: how crooked it sits."""
    shows_loops: bool
    seed: int
    """Random seed of folds and print."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Position and orientation of a head: maps between pixels and (u, v)."""

    origin: Point
    across: Point
    down: Point
    turn: float
    """Offset of the nose from the middle, in interpupillary distances; negative to the person's right."""

    @classmethod
    def of(cls, face: FaceLandmarks) -> Head:
        """Compute the head from five landmarks."""
        pupils = (face.right_eye + face.left_eye) / 2
        lips = (face.mouth_right + face.mouth_left) / 2
        down = lips - pupils
        length = max(float(np.hypot(*down)), 1.0)
        across = np.array([down[1], -down[0]]) / length
        # In profile the pupils move together, but the head keeps its width.
        unit = max(float(np.hypot(*(face.left_eye - face.right_eye))), 0.9 * length)
        turn = float(np.dot(face.nose - pupils, across)) / unit
        return cls(pupils, across * unit, down, float(np.clip(turn, -0.6, 0.6)))

    def to_pixels(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert head coordinates to pixels: shape (..., 2)."""
        return np.asarray(self.origin + u[..., None] * self.across + v[..., None] * self.down, np.float64)

    def to_head(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Convert pixels to (u, v)."""
        inverse = np.linalg.inv(np.stack([self.across, self.down], axis=1))
        u = inverse[0, 0] * (x - self.origin[0]) + inverse[0, 1] * (y - self.origin[1])
        v = inverse[1, 0] * (x - self.origin[0]) + inverse[1, 1] * (y - self.origin[1])
        return u, v

    def ridge(self, v: NDArray[np.float64]) -> NDArray[np.float64]:
        """The u of the middle of the face at v."""
        return np.asarray(np.interp(v, RIDGE_V, RIDGE_U) * self.turn, np.float64)

    def edge(self, v: NDArray[np.float64], side: int) -> NDArray[np.float64]:
        """The u of the head's outline at v; side -1 is the person's right."""
        towards = self.turn * side
        share = 1.0 - 1.1 * towards if towards > 0 else 1.0 - 0.45 * towards
        return np.asarray(side * np.interp(v, JAW_V, JAW_U) * max(share, 0.25), np.float64)

    def half_width(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance from the middle of the face to its outline, on the side of u; at least 0.1."""
        middle = self.ridge(v)
        half = np.where(u > middle, self.edge(v, 1) - middle, middle - self.edge(v, -1))
        return np.asarray(np.maximum(half, 0.1), np.float64)


def choose_style(random: np.random.Generator, *, wearing: Wearing) -> MaskStyle:
    """Draw a random mask, worn as specified."""
    kind: MaskKind = random.choice(MASK_KINDS, p=[0.45, 0.3, 0.17, 0.08])
    if wearing != "properly" and kind == "scarf":
        kind = "cloth"
    plain = {"surgical": 0.92, "cloth": 0.55, "cup": 0.95, "scarf": 0.4}[kind]
    pattern: Pattern = "plain" if random.random() < plain else random.choice(PATTERNS[1:])
    colours = SURGICAL_COLOURS if kind in {"surgical", "cup"} else CLOTH_COLOURS
    colour = np.array(colours[random.integers(len(colours))]) + random.normal(0, 10, 3)
    second = np.array(CLOTH_COLOURS[random.integers(len(CLOTH_COLOURS))]) + random.normal(0, 10, 3)
    top, side_top, side_bottom, bottom = _draw_position(random, wearing, kind)
    return MaskStyle(
        kind=kind,
        pattern=pattern,
        colour=to_colour(colour),
        second_colour=to_colour(second),
        wearing=wearing,
        top=top,
        side_top=side_top,
        side_bottom=side_bottom,
        bottom=bottom,
        width=float(random.uniform(0.82, 0.98)),
        tilt=float(random.normal(0, 0.04)),
        shows_loops=kind != "scarf" and random.random() < (0.7 if wearing == "properly" else 0.5),
        seed=int(random.integers(1 << 31)),
    )


def _draw_position(random: np.random.Generator, wearing: Wearing, kind: MaskKind) -> tuple[float, float, float, float]:
    """Choose v of the upper edge, of both ends of the side and of the lower edge at random."""
    top, hang, side_bottom, bottom = (random.uniform(*limits) for limits in POSITION_RANGES[wearing])
    return top, top + hang, side_bottom, bottom + (0.6 if kind == "scarf" else 0.0)


def to_colour(values: NDArray[np.float64]) -> tuple[int, int, int]:
    """The nearest colour of a lit surface: neither black nor white."""
    blue, green, red = np.clip(values, 8, 247).astype(int).tolist()
    return blue, green, red


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """A head and its surroundings, cut from a picture and enlarged for soft edges."""

    pixels: NDArray[np.float64]
    """BGR, 0..255: shape (height, width, 3)."""
    head: Head
    """In its pixels."""
    u: NDArray[np.float64]
    """Of each pixel: shape (height, width), as `v`."""
    v: NDArray[np.float64]
    region: tuple[int, int, int, int]
    """Its place in the picture: x1, y1, x2, y2."""

    @classmethod
    def around(cls, image: Image, face: FaceLandmarks) -> Surface | None:
        """The surface of a face; none if less than two pixels of it are in the picture."""
        head = Head.of(face)
        scale = 2.0 if np.hypot(*head.down) < LARGE_FACE_PX else 1.0
        x1, y1, x2, y2 = _region(head, image)
        if min(x2 - x1, y2 - y1) < MIN_REGION_PX:
            return None
        size = (round((x2 - x1) * scale), round((y2 - y1) * scale))
        pixels = cv2.resize(image[y1:y2, x1:x2], size, interpolation=cv2.INTER_CUBIC).astype(np.float64)
        enlarged = Head((head.origin - (x1, y1)) * scale, head.across * scale, head.down * scale, head.turn)
        rows, columns = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float64)
        return cls(pixels, enlarged, *enlarged.to_head(columns, rows), (x1, y1, x2, y2))

    @property
    def unit_px(self) -> float:
        """One interpupillary distance."""
        return float(np.hypot(*self.head.across))

    def put_into(
        self, image: Image, drawn: NDArray[np.float64], covered: NDArray[np.float64], random: np.random.Generator
    ) -> Image:
        """A copy of the picture with what was drawn on this surface, and the noise of a camera where it is covered."""
        x1, y1, x2, y2 = self.region
        part, size = image[y1:y2, x1:x2], (x2 - x1, y2 - y1)
        small = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA)
        noise = random.normal(0, 2.0, small.shape) * cv2.resize(covered, size, interpolation=cv2.INTER_AREA)[..., None]
        # Untouched pixels are copied: resizing twice would have blurred them.
        back = cv2.resize(self.pixels.astype(np.uint8), size, interpolation=cv2.INTER_AREA)
        touched = np.abs(small - back).max(axis=2, keepdims=True) > 1.0
        result = image.copy()
        result[y1:y2, x1:x2] = np.where(touched, np.clip(small + noise, 0, 255), part).astype(np.uint8)
        return result


def draw_mask(image: Image, face: FaceLandmarks, style: MaskStyle) -> Image:
    """A copy of a picture (BGR, uint8) with this mask on a face, lit like the face."""
    surface = Surface.around(image, face)
    if surface is None:
        return image.copy()
    head, unit = surface.head, surface.unit_px
    coverage = _coverage(_outline(head, style), surface.u.shape)
    canvas = _cast_shadow(surface.pixels, coverage, unit)
    canvas = _draw_loops(canvas, head, style, unit)
    light = brightness(canvas, surface, top=style.top, bottom=style.bottom)
    cloth = _cloth(surface.u, surface.v, head, style) * light[..., None]
    soft = np.asarray(cv2.GaussianBlur(coverage, (0, 0), max(0.6, 0.012 * unit)), np.float64)
    canvas = canvas * (1 - soft[..., None]) + np.clip(cloth, 0, 255) * soft[..., None]
    return surface.put_into(image, canvas, soft, np.random.default_rng(style.seed))


def _region(head: Head, image: Image) -> tuple[int, int, int, int]:
    corners = head.to_pixels(np.array([-1.5, 1.5, -1.5, 1.5]), np.array([-0.4, -0.4, 2.9, 2.9]))
    height, width = image.shape[:2]
    x1, y1 = np.clip(np.floor(corners.min(axis=0)), 0, (width - 1, height - 1)).astype(int).tolist()
    x2, y2 = np.clip(np.ceil(corners.max(axis=0)), (x1 + 1, y1 + 1), (width, height)).astype(int).tolist()
    return x1, y1, x2, y2


def _outline(head: Head, style: MaskStyle) -> NDArray[np.float64]:
    """The outline in pixels: shape (n, 2). Along the top from right to left, back along the bottom."""
    along = np.linspace(-1.0, 1.0, 41)
    arch = {"surgical": 1.6, "cloth": 1.8, "cup": 1.5, "scarf": 2.2}[style.kind]
    sides_top = style.side_top + style.tilt * along
    top_v = style.top + (sides_top - style.top) * np.abs(along) ** arch
    bottom_v = style.side_bottom + style.tilt * along
    fullness = {"surgical": 3.4, "cloth": 2.4, "cup": 2.8, "scarf": 2.0}[style.kind]
    bottom_v = bottom_v + (style.bottom - bottom_v) * (1 - np.abs(along) ** fullness)
    rows = []
    for heights, positions in ((top_v, along), (bottom_v[::-1], along[::-1])):
        right, left, middle = head.edge(heights, -1), head.edge(heights, 1), head.ridge(heights)
        # Below the cheeks the cloth hangs straight down and does not follow the jaw.
        at_side = np.full_like(heights, (style.side_top + style.side_bottom) / 2)
        right = np.minimum(right, head.edge(at_side, -1) * 0.9)
        left = np.maximum(left, head.edge(at_side, 1) * 0.9)
        across = np.where(
            positions < 0,
            middle + (right * style.width - middle) * -positions,
            middle + (left * style.width - middle) * positions,
        )
        rows.append(head.to_pixels(across, heights))
    return np.concatenate(rows)


def _coverage(outline: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    coverage = np.zeros(shape, np.uint8)
    cv2.fillPoly(coverage, [np.round(outline * 16).astype(np.int32)], (255.0,), cv2.LINE_AA, 4)
    return np.asarray(coverage / 255.0, np.float64)


def _cast_shadow(canvas: NDArray[np.float64], coverage: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """Darken the skin near the mask, more below than above it."""
    down = np.array([[1, 0, 0], [0, 1, 0.05 * unit]])
    shifted = cv2.warpAffine(coverage, down, (coverage.shape[1], coverage.shape[0]))
    near = cv2.GaussianBlur(shifted, (0, 0), max(0.8, 0.05 * unit))
    return canvas * (1 - 0.35 * near[..., None])


def _draw_loops(canvas: NDArray[np.float64], head: Head, style: MaskStyle, unit: float) -> NDArray[np.float64]:
    """Draw bands from the ends of the mask to the ears."""
    if not style.shows_loops:
        return canvas
    brightness = float(np.clip(canvas.mean() / 130.0, 0.4, 1.1))
    colour = tuple(
        float(channel) * brightness for channel in (style.colour if style.kind == "cloth" else (225, 225, 225))
    )
    overlay = canvas.astype(np.float32)
    thickness = max(1, round(0.025 * unit))
    for side in (-1, 1):
        if head.turn * side > EAR_HIDDEN_TURN:
            continue
        for start_v in (style.side_top + 0.03, style.side_bottom - 0.05):
            start = np.array([start_v + style.tilt * side])
            u0 = head.edge(np.array([(style.side_top + style.side_bottom) / 2]), side) * style.width * 0.97
            u1 = head.edge(np.array([0.2]), side) * 1.12
            bend = np.linspace(0, 1, 9)
            across = u0 + (u1 - u0) * bend
            heights = (
                start
                + (0.22 - start) * bend
                + 0.08 * np.sin(np.pi * bend) * (1 if start_v > style.side_top + 0.1 else -0.5)
            )
            points = np.round(head.to_pixels(across, heights) * 16).astype(np.int32)
            cv2.polylines(overlay, [points], False, colour, thickness, cv2.LINE_AA, 4)
    return overlay.astype(np.float64)


def brightness(canvas: NDArray[np.float64], surface: Surface, *, top: float, bottom: float) -> NDArray[np.float64]:
    """Brightness of what covers a face from v = `top` to `bottom`, from the light on it and its round shape.

    `canvas` are the pixels of the surface, darkened by shadows. Shape (height, width); 1 is a well-lit face.
    """
    u, v, head = surface.u, surface.v, surface.head
    grey = canvas.mean(axis=2)
    cheeks = _between(u, *CHEEKS_U) & _between(v, *CHEEKS_V)
    skin = float(np.median(grey[cheeks])) if cheeks.any() else 120.0
    bright = float(np.percentile(grey, 92))
    # A dark face may be dark skin in good light: the brightest surroundings show the light level.
    level = np.clip((0.45 * skin + 0.55 * bright) / 185.0, 0.3, 1.1)
    right = grey[cheeks & (u < -NOSE_HALF_WIDTH)]
    left = grey[cheeks & (u > NOSE_HALF_WIDTH)]
    lean = float(np.clip((left.mean() - right.mean()) / 160.0, -0.4, 0.4)) if right.size and left.size else 0.0
    horizontal = np.clip((u - head.ridge(v)) / head.half_width(u, v), -1.2, 1.2)
    centre = (top + bottom) / 2
    low = np.clip((v - centre) / max(bottom - centre, 0.2), -1.0, 1.2)
    light = (
        1.0
        - 0.32 * horizontal**2
        + lean * horizontal
        - 0.16 * np.clip(low, 0, None) ** 2
        + 0.05 * np.exp(-((horizontal / 0.3) ** 2))
    )
    return np.asarray(np.clip(light, 0.25, 1.3) * level, np.float64)


def _cloth(u: NDArray[np.float64], v: NDArray[np.float64], head: Head, style: MaskStyle) -> NDArray[np.float64]:
    """Colour of the cloth with pattern and folds, in even light: shape of u with 3 channels, BGR."""
    random = np.random.default_rng(style.seed)
    middle = head.ridge(v)
    # Wrapped around the head: patterns get narrower towards the sides.
    along = np.arcsin(np.clip((u - middle) / 1.25, -0.98, 0.98)) * 1.25
    share = _pattern(along, v, style, random)[..., None]
    cloth = np.array(style.colour) * (1 - share) + np.array(style.second_colour) * share
    shading: NDArray[np.float64] = wrinkles(u.shape, random) * (0.05 if style.kind in {"surgical", "cup"} else 0.09)
    height = (v - style.top) / max(style.bottom - style.top, 0.2)
    match style.kind:
        case "surgical":
            pleats = np.sin((height + 0.05 * along**2) * np.pi * 2 * random.uniform(3.2, 4.4))
            shading += 0.07 * np.clip(pleats, -1, 0.4) * _between(height, *PLEATED)
            shading += 0.10 * (np.exp(-(((height - 0.05) / 0.03) ** 2)))
        case "cloth":
            shading -= 0.10 * np.exp(-((along / 0.035) ** 2)) * random.integers(2)
            shading -= 0.08 * np.exp(-(((height - 0.05) / 0.025) ** 2))
        case "cup":
            shading -= 0.14 * np.clip(np.abs(along) - 0.1, 0, 1) - 0.04
            shading -= 0.10 * np.exp(-((along / 0.03) ** 2))
        case "scarf":
            shading += 0.10 * np.sin(along * 7 + v * 5 + random.uniform(0, 6))
    return np.asarray(cloth * (1 + shading[..., None]), np.float64)


def _pattern(
    along: NDArray[np.float64], v: NDArray[np.float64], style: MaskStyle, random: np.random.Generator
) -> NDArray[np.float64]:
    """Share of the second colour, 0..1: shape of v."""
    step, angle = random.uniform(0.14, 0.35), random.uniform(0, np.pi)
    middle = (style.top + style.bottom) / 2
    share = np.zeros_like(v)
    match style.pattern:
        case "plain":
            pass
        case "stripes":
            share = _square_wave((along * np.cos(angle) + v * np.sin(angle)) / step, share=0.44)
        case "checks":
            share = (_square_wave(along / step, share=0.5) + _square_wave(v / step, share=0.5)) / 2
        case "dots":
            share = (_cell_distance(along, v, step) < random.uniform(0.2, 0.38)).astype(np.float64)
        case "flowers":
            turned = np.arctan2(_cell_offset(v, step), _cell_offset(along, step))
            share = (_cell_distance(along, v, step) < 0.28 + 0.14 * np.cos(5 * turned)).astype(np.float64)
        case "camouflage":
            share = (wrinkles(v.shape, random) > random.uniform(0.0, 0.2)).astype(np.float64)
        case "print":
            half = random.uniform(0.15, 0.4)
            letters = _square_wave(along * random.uniform(4, 8), share=0.55)
            share = letters * _between(along, -half, half) * _between(v, middle - 0.14, middle + 0.14)
    return np.asarray(share, np.float64)


def _square_wave(values: NDArray[np.float64], *, share: float) -> NDArray[np.float64]:
    """1 in the first `share` of every unit interval, else 0."""
    return np.asarray((values - np.floor(values)) < share, np.float64)


def _between(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.bool_]:
    return np.asarray((values > low) & (values < high), np.bool_)


def _cell_offset(values: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Position within a cell, -0.5..0.5."""
    return np.asarray(values / step - np.round(values / step), np.float64)


def _cell_distance(along: NDArray[np.float64], v: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    return np.asarray(np.hypot(_cell_offset(along, step), _cell_offset(v, step)), np.float64)


def wrinkles(shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float64]:
    """Smooth irregular folds, about -1..1: a few random values, upscaled."""
    total = np.zeros(shape[:2])
    for cells, strength in ((4, 0.6), (9, 0.4)):
        values = random.uniform(-1, 1, (cells, cells))
        total += strength * cv2.resize(values, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(total, np.float64)
