"""Example recording: renders the video of a camera over a street door.

    python -m examples.make_recording

writes examples/street_door.mp4 and, beside it, street_door.events.json with the people that appear in it. Needs ffmpeg
and, for the portraits, maskwatch[dev,train]. The same versions give the same pixels.
"""

from __future__ import annotations

import functools
import json
import math
import shutil
import subprocess
from dataclasses import asdict, dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from examples.people import COLLINS, HOPPER, Image, Portrait, cut_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

RECORDING = Path(__file__).with_name("street_door.mp4")
EVENTS = Path(__file__).with_name("street_door.events.json")

WIDTH_PX, HEIGHT_PX = 640, 360
FRAMES_PER_SECOND = 15
DURATION_SECONDS = 9.2
LEDGE_TOP_PX = 318
"""Upper edge of the ledge in the foreground, which hides all feet."""

STEPS_PER_SECOND, RISE_PX, SWAY_DEGREES = 1.8, 4.0, 1.2
"""A relaxed walk: with each step the person rises and leans a little."""

NOISE_LEVELS = 1.5
"""Standard deviation of the sensor's noise."""

SEED = 1952


@dataclass(frozen=True, slots=True)
class Walk:
    """One person crossing the picture from left to right, seen from the front."""

    portrait: Portrait
    masked: bool
    from_seconds: float
    to_seconds: float
    face_y_px: float
    scale: tuple[float, float]
    """Size of the portrait at the start and at the end; people grow as they approach."""

    def is_on_the_way(self, second: float) -> bool:
        """Whether any part of the person may be visible."""
        return self.from_seconds <= second <= self.to_seconds

    def pose(self, second: float) -> NDArray[np.float64]:
        """The (2, 3) affine matrix from portrait to picture: position, size, and the rise and sway of steps."""
        share = (second - self.from_seconds) / (self.to_seconds - self.from_seconds)
        scale = self.scale[0] + share * (self.scale[1] - self.scale[0])
        phase = math.pi * STEPS_PER_SECOND * (second - self.from_seconds)
        x1, y1, x2, y2 = self.portrait.face
        face = (x1 + x2) / 2, (y1 + y2) / 2
        matrix = cv2.getRotationMatrix2D(face, SWAY_DEGREES * math.sin(phase), scale)
        matrix[0, 2] += self._face_x_px(share) - face[0]
        matrix[1, 2] += self.face_y_px - RISE_PX * abs(math.sin(phase)) - face[1]
        return np.asarray(matrix, np.float64)

    def face_box(self, second: float) -> tuple[float, float, float, float]:
        """The face as x1, y1, x2, y2 in pixels of the picture."""
        x1, y1, x2, y2 = self.portrait.face
        corners = np.array([(x1, y1, 1), (x2, y2, 1)]) @ self.pose(second).T
        left, top, right, bottom = corners.reshape(-1).tolist()
        return left, top, right, bottom

    def _face_x_px(self, share: float) -> float:
        # From entirely outside on the left to entirely outside on the right.
        reach_left = (self.portrait.face[0] + self.portrait.face[2]) / 2 * self.scale[1]
        reach_right = 140.0
        return -reach_right + share * (WIDTH_PX + reach_left + reach_right)


@dataclass(frozen=True, slots=True)
class Event:
    """Interval in which a face is entirely visible, with its label."""

    person: str
    label: Literal["with_mask", "without_mask"]
    from_seconds: float
    to_seconds: float


# All people enter on the left, long after the previous one has left that side, and pairs keep their distance: no two
# faces ever touch.
WALKS = (
    Walk(HOPPER, masked=True, from_seconds=0.1, to_seconds=2.7, face_y_px=156, scale=(0.46, 0.5)),
    Walk(COLLINS, masked=False, from_seconds=2.1, to_seconds=4.9, face_y_px=140, scale=(0.88, 0.98)),
    Walk(HOPPER, masked=False, from_seconds=5.6, to_seconds=8.2, face_y_px=152, scale=(0.48, 0.52)),
    Walk(COLLINS, masked=True, from_seconds=6.4, to_seconds=9.2, face_y_px=136, scale=(0.94, 0.9)),
)


def events() -> list[Event]:
    """The visible faces, computed from the geometry of the walks."""
    found = []
    for walk in WALKS:
        seconds = [second for second in moments() if walk.is_on_the_way(second) and _is_inside(walk.face_box(second))]
        label: Literal["with_mask", "without_mask"] = "with_mask" if walk.masked else "without_mask"
        found.append(Event(walk.portrait.name, label, round(seconds[0], 2), round(seconds[-1], 2)))
    return found


def moments() -> list[float]:
    """The time of each frame in seconds."""
    return [index / FRAMES_PER_SECOND for index in range(round(DURATION_SECONDS * FRAMES_PER_SECOND))]


def frames() -> Iterator[Image]:
    """Every frame of the recording: (360, 640, 3) BGR."""
    noise = np.random.default_rng(SEED)
    for second in moments():
        picture = street().astype(np.float32)
        for walk in WALKS:
            if walk.is_on_the_way(second):
                _draw(picture, walk, second)
        _put(picture, ledge())
        picture += NOISE_LEVELS * noise.standard_normal(picture.shape).astype(np.float32)
        yield np.clip(picture, 0, 255).astype(np.uint8)


@functools.cache
def street() -> Image:
    """The empty scene: a brick wall with a door, (360, 640, 3) BGR."""
    bricks = cv2.rotate(_texture("data/brick.png"), cv2.ROTATE_90_CLOCKWISE)
    bricks = cv2.resize(bricks, (WIDTH_PX, WIDTH_PX), interpolation=cv2.INTER_CUBIC)[140 : 140 + HEIGHT_PX]
    # The texture is grey: dark pixels are brick, light ones mortar.
    mortar = np.clip((bricks.astype(np.float32) - 70) / 110, 0, 1)[..., np.newaxis]
    wall = (1 - mortar) * (62, 78, 128) + mortar * (168, 180, 190)
    wall *= 0.75 + 0.5 * (bricks.astype(np.float32) / 255)[..., np.newaxis]
    picture = wall.astype(np.uint8)
    _draw_door(picture)
    # Evening light from the upper left.
    columns, rows = np.meshgrid(np.linspace(0, 1, WIDTH_PX), np.linspace(0, 1, HEIGHT_PX))
    light = 1.12 - 0.22 * columns - 0.2 * rows
    # The wall is slightly out of focus, unlike the people in front of it.
    blurred = cv2.GaussianBlur(picture, (0, 0), 0.9)
    return np.asarray(np.clip(blurred * light[..., np.newaxis], 0, 255), np.uint8)


@functools.cache
def ledge() -> Image:
    """The ledge in the foreground, (360, 640, 4) BGRA: rough plaster under a stone coping."""
    gravel = cv2.resize(_texture("data/gravel.png"), (WIDTH_PX, WIDTH_PX))[:HEIGHT_PX]
    smooth = cv2.GaussianBlur(gravel.astype(np.float32), (0, 0), 2.0)
    grain = (smooth - smooth.mean()) / 255
    layer = np.zeros((HEIGHT_PX, WIDTH_PX, 4), np.float32)
    coping = slice(LEDGE_TOP_PX, LEDGE_TOP_PX + 13)
    below = slice(LEDGE_TOP_PX + 13, HEIGHT_PX)
    layer[coping, :, :3] = np.array((176, 184, 188)) + 50 * grain[coping, :, np.newaxis]
    layer[below, :, :3] = np.array((118, 130, 136)) + 110 * grain[below, :, np.newaxis]
    layer[below.start : below.start + 6, :, :3] *= np.linspace(0.55, 1, 6)[:, np.newaxis, np.newaxis]
    layer[LEDGE_TOP_PX : LEDGE_TOP_PX + 2, :, :3] += 22
    layer[LEDGE_TOP_PX:, :, 3] = 255
    return np.asarray(np.clip(cv2.GaussianBlur(layer, (0, 0), 0.7), 0, 255), np.uint8)


def write_recording(path: Path) -> None:
    """Encode the frames as H.264 in MP4."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise SystemExit("ffmpeg is not installed; on Debian: apt-get install ffmpeg")
    # fmt: off
    command = [
        ffmpeg, "-hide_banner", "-loglevel", "error", "-nostdin", "-y",
        "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH_PX}x{HEIGHT_PX}", "-r", str(FRAMES_PER_SECOND), "-i", "-",
        "-c:v", "libx264", "-preset", "veryslow", "-crf", "23", "-pix_fmt", "yuv420p", "-g", str(2 * FRAMES_PER_SECOND),
        "-movflags", "+faststart", "-fflags", "+bitexact", "-flags:v", "+bitexact", str(path),
    ]
    # fmt: on
    pixels = b"".join(frame.tobytes() for frame in frames())
    subprocess.run(command, input=pixels, check=True)  # noqa: S603  (our own arguments)


def main() -> None:
    """Write the recording and its events."""
    write_recording(RECORDING)
    EVENTS.write_text(json.dumps([asdict(event) for event in events()], indent=2) + "\n", encoding="utf-8")
    print(f"{RECORDING}: {RECORDING.stat().st_size} bytes, {DURATION_SECONDS} s, {len(events())} people")


def _draw(picture: NDArray[np.float32], walk: Walk, second: float) -> None:
    person = cut_out(walk.portrait, masked=walk.masked)
    pose = walk.pose(second)
    layer = cv2.warpAffine(person, pose, (WIDTH_PX, HEIGHT_PX), flags=cv2.INTER_AREA)
    # Light from the left casts the shadow on the wall to the right, softened by distance.
    shifted = pose.copy()
    shifted[:, 2] += (26, 14)
    shadow = cv2.warpAffine(person[..., 3], shifted, (WIDTH_PX, HEIGHT_PX)).astype(np.float32) / 255
    picture *= 1 - 0.38 * cv2.GaussianBlur(shadow, (0, 0), 9)[..., np.newaxis]
    _put(picture, np.asarray(layer, np.uint8))


def _put(picture: NDArray[np.float32], layer: Image) -> None:
    share = layer[..., 3:].astype(np.float32) / 255
    picture += share * (layer[..., :3] - picture)


def _draw_door(picture: Image) -> None:
    """Draw a dark green door with two panels in a stone frame, with number and doorbell."""
    stone, wood, line = (158, 170, 176), (60, 74, 34), (40, 50, 22)
    left, right, top = 412, 560, 44
    cv2.rectangle(picture, (left - 16, top - 16), (right + 16, HEIGHT_PX), stone, -1)
    cv2.rectangle(picture, (left - 3, top - 3), (right + 3, HEIGHT_PX), (70, 76, 80), -1)
    cv2.rectangle(picture, (left, top), (right, HEIGHT_PX), wood, -1)
    for panel_top, panel_bottom in ((top + 20, 168), (188, HEIGHT_PX)):
        cv2.rectangle(picture, (left + 20, panel_top), (right - 20, panel_bottom), line, 3)
        cv2.rectangle(picture, (left + 25, panel_top + 5), (right - 25, panel_bottom - 5), (70, 86, 42), -1)
        cv2.line(picture, (left + 25, panel_bottom - 5), (right - 25, panel_bottom - 5), (88, 104, 58), 2)
    cv2.circle(picture, (right - 11, 196), 5, (96, 168, 196), -1, cv2.LINE_AA)
    cv2.circle(picture, (right - 12, 194), 2, (170, 220, 236), -1, cv2.LINE_AA)
    cv2.rectangle(picture, (368, 150), (384, 178), (62, 66, 70), -1)
    cv2.circle(picture, (376, 164), 4, (150, 158, 162), -1, cv2.LINE_AA)


def _texture(file: str) -> Image:
    """A grey texture (CC0) shipped with scikit-image: (512, 512)."""
    with as_file(files("skimage") / file) as path:
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise FileNotFoundError(f"{file} is not in scikit-image; install maskwatch[dev]")
    return np.asarray(pixels, np.uint8)


def _is_inside(box: tuple[float, float, float, float]) -> bool:
    return box[0] >= 0 and box[1] >= 0 and box[2] <= WIDTH_PX and box[3] <= HEIGHT_PX


if __name__ == "__main__":
    main()
