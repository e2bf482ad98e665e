"""Recordings generated for tests: a grey picture that gets brighter by two levels per frame."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.domain import Image

FRAMES_PER_SECOND = 25
WIDTH_PX, HEIGHT_PX = 160, 120


def a_picture(index: int) -> Image:
    """The picture of a frame: noise, so that frames are not tiny when encoded, around a brightness of 2 * index."""
    noise = np.random.default_rng(index).integers(-15, 15, (HEIGHT_PX, WIDTH_PX, 3))
    return np.clip(noise + 20 + 2 * index, 0, 255).astype(np.uint8)


def write_recording(path: Path, *, frames: int = 50, frames_per_second: float = FRAMES_PER_SECOND) -> Path:
    """Write an .avi (MJPEG) or .mp4 (MPEG-4, index at the end) with OpenCV."""
    code = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
    writer = cv2.VideoWriter(str(path), code, frames_per_second, (WIDTH_PX, HEIGHT_PX))
    for index in range(frames):
        writer.write(a_picture(index))
    writer.release()
    return path


def ffmpeg(*arguments: object) -> None:
    """Run ffmpeg from the Debian package."""
    assert shutil.which("ffmpeg"), "ffmpeg is not installed; apt-get install ffmpeg"
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL)


def cut_off(path: Path, *, kept_fraction: float = 0.5) -> Path:
    """Write a truncated copy of a file next to it, as a power cut or a full disk leaves it."""
    content = path.read_bytes()
    cut = path.with_name(f"cut_{path.name}")
    cut.write_bytes(content[: int(len(content) * kept_fraction)])
    return cut
