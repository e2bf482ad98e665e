"""Composition: the frames of a scripted scene as a camera sees them, with the ground truth of each frame.

A scene consists of people, each with a path and a way of wearing the mask over time, in front of a photograph, seen by
a camera with noise, light changes and blur. The same scene gives the same frames in every run.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.domain import Box, Image, Label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tests.scenes.figures import Figure

WIDTH_PX, HEIGHT_PX = 640, 360
CHANGE_SECONDS = 0.3
"""Duration of a transition between two looks."""
_NOISE_SHIFT_PX = 128
EXPOSURES = 5
"""Samples within one exposure, averaged to motion blur."""

# A standing person sways by a few centimetres at less than half a hertz, and also nods and moves with each breath; a
# face is about 15 cm wide. Each row: fraction of the width of the face, hertz.
SWAY = ((0.05, 0.31), (0.03, 0.53), (0.012, 1.3))
BOB = ((0.025, 0.27), (0.018, 0.83), (0.008, 1.7))
LEAN_DEGREES = ((1.5, 0.23), (0.7, 0.71))
NEARER = ((0.015, 0.19), (0.008, 0.61))


@dataclass(frozen=True, slots=True)
class Stop:
    """Position of the centre of a face at a time, in pixels of the frame, and the width of the face."""

    second: float
    x_px: float
    y_px: float
    face_px: float


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """Appearance of an actor from a time on; without a label it is not the face of a person present."""

    from_second: float
    figure: Figure
    label: Label | None


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """A person or thing in front of the background, from the first stop to the last.

    The path between two stops is straight. Living people always move a little: `movement` is 1 for a standing person,
    less for a sitting one, and 0 for a thing.
    """

    name: str
    path: tuple[Stop, ...]
    looks: tuple[Look, ...]
    movement: float = 1.0
    seed: int = 0

    def is_there(self, second: float) -> bool:
        """Whether the actor is on the path."""
        return self.path[0].second <= second <= self.path[-1].second

    def place(self, second: float) -> Stop:
        """The position on the path at a time."""
        seconds = [stop.second for stop in self.path]
        x, y, face = (
            float(np.interp(second, seconds, [getattr(stop, name) for stop in self.path]))
            for name in ("x_px", "y_px", "face_px")
        )
        return Stop(second, x, y, face)

    def shares(self, second: float) -> list[tuple[Look, float]]:
        """The visible looks with their shares: two during a transition."""
        index = max(i for i, look in enumerate(self.looks) if i == 0 or look.from_second <= second)
        look = self.looks[index]
        done = min((second - look.from_second) / CHANGE_SECONDS, 1.0) if index else 1.0
        if done >= 1.0:
            return [(look, 1.0)]
        return [(self.looks[index - 1], 1.0 - done), (look, done)]


@dataclass(frozen=True, slots=True)
class Camera:
    """The effects of a camera: levels are of 0..255, fractions are of the light."""

    noise_levels: float = 2.0
    light: float = 1.0
    flicker_fraction: float = 0.0
    drift_fraction: float = 0.02
    """Slow changes of the light by clouds and automatic exposure."""
    exposure_seconds: float = 0.0
    defocus_px: float = 0.0
    jpeg_quality: int = 82
    """JPEG quality of a webcam."""
    lost_fraction: float = 0.0
    """Share of frames lost at random, as over a bad radio link."""
    gap_seconds: float = 0.0
    """Gap without frames, about once a second."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A script with its correct number of alerts."""

    name: str
    seconds: float
    background: Image
    actors: tuple[Actor, ...]
    alerts: int
    frames_per_second: float = 10.0
    camera: Camera = field(default_factory=Camera)
    foreground: Image | None = None
    """An object in front of all people, (height, width, 4) BGRA."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The ground truth of an actor in a frame; `visible_fraction` of the face is neither hidden nor cut off."""

    actor: str
    label: Label | None
    box: Box
    visible_fraction: float


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A frame of a scene with its ground truth."""

    second: float
    image: Image
    seen: tuple[Seen, ...]


def shots(scene: Scene) -> Iterator[Shot]:
    """Render a scene frame by frame."""
    random = np.random.default_rng(len(scene.name) * 1009 + round(scene.seconds * 10))
    arriving = np.random.default_rng(len(scene.name))
    gap_until = 0.0
    for index in range(round(scene.seconds * scene.frames_per_second)):
        second = index / scene.frames_per_second
        if scene.camera.gap_seconds and second >= gap_until and arriving.random() < 1 / scene.frames_per_second:
            gap_until = second + scene.camera.gap_seconds
        if second < gap_until or arriving.random() < scene.camera.lost_fraction:
            continue
        picture, seen = _expose(scene, second)
        yield Shot(second, _develop(picture, scene.camera, second, random), seen)


def _expose(scene: Scene, second: float) -> tuple[NDArray[np.float32], tuple[Seen, ...]]:
    if not scene.camera.exposure_seconds:
        return _moment(scene, second)
    moments = [second + share * scene.camera.exposure_seconds for share in np.linspace(-0.5, 0.5, EXPOSURES)]
    pictures = [_moment(scene, moment)[0] for moment in moments]
    return np.mean(pictures, axis=0, dtype=np.float32), _moment(scene, second)[1]


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """The area an actor covers: colours times opacity, 0..255, (height, width, 3); opacity 0..1; and its position."""

    colours: NDArray[np.float32]
    opacity: NDArray[np.float32]
    x_px: int
    y_px: int

    @property
    def area(self) -> tuple[slice, slice]:
        height, width = self.opacity.shape
        return slice(self.y_px, self.y_px + height), slice(self.x_px, self.x_px + width)


def _moment(scene: Scene, second: float) -> tuple[NDArray[np.float32], tuple[Seen, ...]]:
    """The light on the sensor at a time."""
    height, width = scene.background.shape[:2]
    picture = scene.background.astype(np.float32)
    # People farther away have smaller faces and are drawn first.
    there = sorted(
        (actor for actor in scene.actors if actor.is_there(second)), key=lambda actor: actor.place(second).face_px
    )
    layers = [_layer(actor, second, (width, height)) for actor in there]
    front = [] if scene.foreground is None else [_as_layer(scene.foreground)]
    for layer in (*layers, *front):
        picture[layer.area] *= 1 - layer.opacity[..., np.newaxis]
        picture[layer.area] += layer.colours
    hidden = np.zeros((height, width), np.float32)
    for layer in front:
        hidden[layer.area] = layer.opacity
    seen = []
    for actor, layer in zip(reversed(there), reversed(layers), strict=True):
        seen.append(_truth(actor, second, hidden))
        hidden[layer.area] = np.maximum(hidden[layer.area], layer.opacity)
    return picture, tuple(seen)


def _as_layer(pixels: Image, *, x_px: int = 0, y_px: int = 0) -> _Layer:
    opacity = pixels[..., 3].astype(np.float32) / np.float32(255)
    return _Layer(pixels[..., :3] * opacity[..., np.newaxis], opacity, x_px, y_px)


def _layer(actor: Actor, second: float, size: tuple[int, int]) -> _Layer:
    """An actor at its size and position of this time, with looks cross-faded."""
    parts = [(_posed(actor, look, second, size), share) for look, share in actor.shares(second)]
    if len(parts) == 1:
        return parts[0][0]
    x1, y1 = min(part.x_px for part, _ in parts), min(part.y_px for part, _ in parts)
    x2 = max(part.area[1].stop for part, _ in parts)
    y2 = max(part.area[0].stop for part, _ in parts)
    colours, opacity = np.zeros((y2 - y1, x2 - x1, 3), np.float32), np.zeros((y2 - y1, x2 - x1), np.float32)
    for part, share in parts:
        rows, columns = part.area
        inside = slice(rows.start - y1, rows.stop - y1), slice(columns.start - x1, columns.stop - x1)
        colours[inside] += share * part.colours
        opacity[inside] += share * part.opacity
    return _Layer(colours, opacity, x1, y1)


def _posed(actor: Actor, look: Look, second: float, size: tuple[int, int]) -> _Layer:
    """A figure at the actor's position, cropped to the frame of `size` (width, height)."""
    pose = _pose(actor, second)
    smaller = _reduced(look.figure, pose.face_px)
    scale = pose.face_px / smaller.face.width_px
    x, y = smaller.face.centre
    matrix = np.asarray(cv2.getRotationMatrix2D((x, y), pose.lean_degrees, scale), np.float64)
    matrix[0, 2] += pose.x_px - x
    matrix[1, 2] += pose.y_px - y
    height, width = smaller.pixels.shape[:2]
    corners = np.array([(0, 0, 1), (width, 0, 1), (0, height, 1), (width, height, 1)]) @ matrix.T
    x1, y1 = np.clip(np.floor(corners.min(axis=0)), 0, size).astype(int).tolist()
    x2, y2 = np.clip(np.ceil(corners.max(axis=0)), 0, size).astype(int).tolist()
    if x2 <= x1 or y2 <= y1:
        return _Layer(np.zeros((0, 0, 3), np.float32), np.zeros((0, 0), np.float32), 0, 0)
    matrix[:, 2] -= (x1, y1)
    warped = cv2.warpAffine(smaller.pixels, matrix, (x2 - x1, y2 - y1), flags=cv2.INTER_LINEAR)
    return _as_layer(np.asarray(warped, np.uint8), x_px=x1, y_px=y1)


@dataclass(frozen=True, slots=True)
class _Pose:
    x_px: float
    y_px: float
    face_px: float
    lean_degrees: float


def _pose(actor: Actor, second: float) -> _Pose:
    """The path, plus the involuntary movements of a living person."""
    place = actor.place(second)
    phases = np.random.default_rng(actor.seed).uniform(0, 2 * math.pi, 16).tolist()

    def swing(parts: tuple[tuple[float, float], ...], first: int) -> float:
        return actor.movement * sum(
            share * math.sin(2 * math.pi * hertz * second + phases[first + index])
            for index, (share, hertz) in enumerate(parts)
        )

    return _Pose(
        place.x_px + place.face_px * swing(SWAY, 0),
        place.y_px + place.face_px * swing(BOB, 4),
        place.face_px * (1 + swing(NEARER, 8)),
        swing(LEAN_DEGREES, 12),
    )


@functools.lru_cache(maxsize=256)
def _halved(figure: Figure, times: int) -> Figure:
    """A figure halved this many times, so that a small drawing does not flicker by aliasing."""
    pixels, face, scale = figure.pixels, figure.face, 0.5**times
    smaller = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if times else pixels
    x_scale, y_scale = smaller.shape[1] / pixels.shape[1], smaller.shape[0] / pixels.shape[0]
    moved = Box(face.x1 * x_scale, face.y1 * y_scale, face.x2 * x_scale, face.y2 * y_scale)
    return replace(figure, pixels=np.asarray(smaller, np.uint8), face=moved)


def _reduced(figure: Figure, face_px: float) -> Figure:
    """The smallest version of a figure that is still as large as it will be drawn."""
    return _halved(figure, max(0, math.floor(math.log2(figure.face.width_px / face_px))))


def _truth(actor: Actor, second: float, hidden: NDArray[np.float32]) -> Seen:
    """The position of the face, how it wears its mask, and how much of it is visible."""
    pose = _pose(actor, second)
    shares = actor.shares(second)
    # During a transition the face has neither label.
    label = shares[0][0].label if len(shares) == 1 else None
    face = shares[-1][0].figure.face
    half_width, half_height = pose.face_px / 2, pose.face_px / 2 * face.height_px / face.width_px
    box = Box(pose.x_px - half_width, pose.y_px - half_height, pose.x_px + half_width, pose.y_px + half_height)
    inside = box.clipped(width_px=hidden.shape[1], height_px=hidden.shape[0])
    x1, y1, x2, y2 = inside.as_ints()
    if x2 <= x1 or y2 <= y1:
        return Seen(actor.name, label, box, 0.0)
    open_fraction = 1.0 - float(hidden[y1:y2, x1:x2].mean())
    return Seen(actor.name, label, box, open_fraction * inside.area_px / box.area_px)


@functools.cache
def _noise_plane(height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((height, width, 3), np.float32)


def _noise(shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float32]:
    """Standard normal noise: a random part of a larger plane, as drawing every value would take a fifth of the time."""
    height, width = shape[:2]
    down, right = random.integers(0, _NOISE_SHIFT_PX, 2)
    plane = _noise_plane(height + _NOISE_SHIFT_PX, width + _NOISE_SHIFT_PX)
    return plane[down : down + height, right : right + width]


def _develop(light: NDArray[np.float32], camera: Camera, second: float, random: np.random.Generator) -> Image:
    """Apply the camera's effects to the light: brightness, focus, noise, compression."""
    drift = camera.drift_fraction * math.sin(2 * math.pi * 0.11 * second)
    # A mains lamp sampled at an unrelated frame rate shows a slow beat; a faulty tube flickers randomly.
    flicker = camera.flicker_fraction * (0.6 * math.sin(2 * math.pi * 3.7 * second) + 0.4 * random.uniform(-1, 1))
    picture = light * np.float32(camera.light * (1 + drift + flicker))
    if camera.defocus_px:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), camera.defocus_px), np.float32)
    picture = picture + camera.noise_levels * _noise(picture.shape, random)
    sensed = np.clip(picture, 0, 255).astype(np.uint8)
    _, compressed = cv2.imencode(".jpg", sensed, [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg_quality])
    return np.asarray(cv2.imdecode(compressed, cv2.IMREAD_COLOR), np.uint8)
