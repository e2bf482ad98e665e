"""Beards: renders a beard on a bare face.

Without bearded people among the bare faces, a classifier learns that whatever is not skin around the lips is a mask
worn incorrectly. Beards are drawn in coordinates of the head, as masks are (`training.masks.drawing`): an outline with
a ragged edge, filled with strands of hair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import cv2
import numpy as np

from training.masks.drawing import Surface, brightness, to_colour, wrinkles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_agent.domain import Image
    from training.masks.landmarks import FaceLandmarks

BeardKind: TypeAlias = Literal["full", "long", "circle", "goatee", "moustache", "stubble"]
BEARD_KINDS: tuple[BeardKind, ...] = get_args(BeardKind)
KIND_SHARES = (0.34, 0.12, 0.12, 0.16, 0.1, 0.16)

# Black to light brown, ginger, and grey to white.
HAIR_COLOURS = (
    (22, 22, 26), (30, 32, 40), (35, 45, 62), (45, 62, 88), (60, 85, 125), (60, 95, 160), (110, 112, 116),
    (150, 152, 156), (200, 202, 204),
)  # fmt: skip
COLOUR_SHARES = (0.24, 0.2, 0.16, 0.1, 0.07, 0.05, 0.08, 0.06, 0.04)
GREY = (170, 172, 176)

GREY_PATCHES_SHARE = 0.35

# Ranges of the upper edge in the middle and of the lower edge, both in v, of the half width in interpupillary
# distances, and of the density.
RANGES: dict[BeardKind, tuple[tuple[float, float], ...]] = {
    "full": ((0.74, 0.82), (1.72, 1.95), (0.3, 0.5), (0.75, 0.98)),
    "long": ((0.74, 0.82), (1.95, 2.5), (0.35, 0.7), (0.75, 0.98)),
    "circle": ((0.74, 0.82), (1.72, 1.95), (0.3, 0.5), (0.75, 0.98)),
    "goatee": ((1.12, 1.2), (1.72, 1.95), (0.28, 0.5), (0.75, 0.98)),
    "moustache": ((0.74, 0.82), (0.92, 1.0), (0.36, 0.55), (0.75, 0.98)),
    "stubble": ((0.74, 0.82), (1.65, 1.8), (0.3, 0.5), (0.25, 0.55)),
}
LIPS_V = 1.02
# Where the light on a beard is estimated, in v.
BEARD_V = (0.75, 1.8)
# How uneven the edge is, how far single hairs stray across it, and how soft it is, in v.
RAGGED = 0.06
STRAY = 0.012
SOFT = (0.014, 0.04)
STRAND_LENGTH = 0.22


@dataclass(frozen=True, slots=True)
class BeardStyle:
    """One beard. Positions are v, widths interpupillary distances (see `training.masks.drawing`)."""

    kind: BeardKind
    colour: tuple[int, int, int]
    """BGR, 0..255."""
    grey_share: float
    """How grey its grey patches are, 0..1."""
    top: float
    """Upper edge of the moustache."""
    cheek: float
    """Upper edge on the cheeks."""
    sideburn: float
    """Upper edge beside the ears."""
    bottom: float
    half_width: float
    """Of a goatee, circle beard or moustache, or of the hanging part of a long beard."""
    lips: tuple[float, float]
    """Half width and half height of what it leaves free around the lips."""
    density: float
    """Share of the skin that it hides, 0..1."""
    seed: int
    """Random seed of its strands and edge."""


def choose_beard(random: np.random.Generator) -> BeardStyle:
    """Draw a random beard."""
    kind: BeardKind = random.choice(BEARD_KINDS, p=KIND_SHARES)
    colour = np.array(HAIR_COLOURS[random.choice(len(HAIR_COLOURS), p=COLOUR_SHARES)]) * random.uniform(0.8, 1.2)
    top, bottom, half_width, density = (float(random.uniform(*limits)) for limits in RANGES[kind])
    return BeardStyle(
        kind=kind,
        colour=to_colour(colour),
        grey_share=float(random.uniform(0.2, 0.7)) if random.random() < GREY_PATCHES_SHARE else 0.0,
        top=top,
        cheek=float(random.uniform(0.72, 1.0)),
        sideburn=float(random.uniform(-0.1, 0.4)),
        bottom=bottom,
        half_width=half_width,
        lips=(float(random.uniform(0.34, 0.42)), float(random.uniform(0.08, 0.15))),
        density=density,
        seed=int(random.integers(1 << 31)),
    )


def draw_beard(image: Image, face: FaceLandmarks, style: BeardStyle) -> Image:
    """A copy of a picture (BGR, uint8) with this beard on a face, lit like the face."""
    surface = Surface.around(image, face)
    if surface is None:
        return image.copy()
    random = np.random.default_rng(style.seed)
    patches = wrinkles(surface.u.shape, random)
    edge = _distance_inside(surface, style) + RAGGED * patches + STRAY * _strands(surface, random)
    covered = 1 / (1 + np.exp(-edge / random.uniform(*SOFT)))
    strands = _strands(surface, random)
    alpha = covered * np.clip(covered * (style.density + 0.14 * strands + 0.1 * patches), 0, 1)
    light = brightness(surface.pixels, surface, top=BEARD_V[0], bottom=BEARD_V[1])
    hair = np.array(style.colour) * (1 + random.uniform(0.12, 0.32) * strands + 0.12 * patches)[..., None]
    grey = np.clip(patches, 0, 1)[..., None] * style.grey_share
    hair = hair * (1 - grey) + np.array(GREY) * (1 + 0.2 * strands)[..., None] * grey
    hair = np.clip(hair * (0.55 + 0.6 * light)[..., None], 0, 255)
    drawn = surface.pixels * (1 - alpha[..., None]) + hair * alpha[..., None]
    return surface.put_into(image, drawn, alpha, random)


def _distance_inside(surface: Surface, style: BeardStyle) -> NDArray[np.float64]:
    """Distance from the outline, about in v: positive inside the beard."""
    u, v, head = surface.u, surface.v, surface.head
    off, half = np.abs(u - head.ridge(v)), head.half_width(u, v)
    if style.kind == "moustache":
        return np.minimum(np.minimum(v - style.top, style.bottom - v), style.half_width - off)
    along = off / half
    cheek = style.top + 0.06, style.cheek + 0.08, style.cheek - 0.05
    top = np.interp(along, (0.0, 0.35, 0.55, 0.8, 1.0), (style.top, *cheek, style.sideburn))
    bottom = np.interp(along, (0.0, 0.4, 0.8, 1.0), np.array((0.0, -0.06, -0.25, -0.4)) + style.bottom)
    inside = np.minimum(np.minimum(v - top, bottom - v), (1.03 - along) * half)
    if style.kind == "long":
        # Below the chin it hangs straight down.
        chin = np.abs(u - head.ridge(np.full_like(v, 1.65)))
        inside = np.maximum(inside, np.minimum(np.minimum(v - 1.3, style.bottom - v), style.half_width - chin))
    if style.kind in {"goatee", "circle"}:
        inside = np.minimum(inside, style.half_width - off)
    width, height = style.lips
    around_lips = np.hypot(off / width, (v - LIPS_V) / height) - 1
    return np.asarray(np.minimum(inside, 0.12 * around_lips), np.float64)


def _strands(surface: Surface, random: np.random.Generator) -> NDArray[np.float64]:
    """Hair that grows downwards: noise drawn out along the head, with a standard deviation of 1."""
    length = max(3, round(STRAND_LENGTH * surface.unit_px))
    angle = np.arctan2(surface.head.down[1], surface.head.down[0]) + random.normal(0, 0.35)
    reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    line = np.zeros((length, length), np.float64)
    start, end = (np.round(length / 2 + sign * reach).astype(int).tolist() for sign in (-1, 1))
    cv2.line(line, start, end, (1.0,), 1)
    strands = cv2.filter2D(random.normal(0, 1, surface.u.shape), -1, line)
    strands = cv2.GaussianBlur(strands, (0, 0), max(0.5, 0.01 * surface.unit_px))
    return np.asarray(strands / max(float(strands.std()), 1e-6), np.float64)
