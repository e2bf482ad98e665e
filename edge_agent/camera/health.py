"""Health: detects faulty pictures of a camera.

Pure: no clock, no I/O. A camera without any pictures is detected where pictures are read.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.messages.status import Reason
from edge_agent.vision.images import halved
from edge_agent.vision.planes import Planes

if TYPE_CHECKING:
    from edge_agent.config.model import CameraConfig
    from edge_agent.domain import Picture

# Grey levels between the darkest and the brightest hundredth, after averaging to AVERAGED_SIZE. The three reference
# recordings have 172 and more; darkened to a twentieth, with noise, 8; to a fiftieth, where no face can be seen,
# 2 to 3; a covered lens that lets some light in at one side 4.
NOTHING_LEVELS = 5.0
SOMETHING_LEVELS = 7.0
AVERAGED_SIZE = (64, 48)
# Below this size, rounding at each halving and the blur at the cells' edges would change what is found.
HALVED_TO = (256, 192)
CHECK_SECONDS = 1.0
# Every so many rows are compared first: sensor noise makes them differ in nearly every frame. Whole rows, because
# memory is read far faster in a row than pixel by pixel.
SAMPLE_STEP = 64


class CameraHealth:
    """Checks every picture of one live camera, before it is transformed. Owned by one thread."""

    def __init__(self, config: CameraConfig) -> None:
        """Start without pictures."""
        self._config = config
        self._rows: bytes | None = None
        self._checksum: int | None = None
        self._is_proven = False
        self._same_since_at = 0.0
        self._checked_at = float("-inf")
        self._nothing_since_at: float | None = None

    def observe(self, picture: Picture, *, at: float) -> tuple[Reason, ...]:
        """Check the next picture, and return the current faults."""
        self._compare(picture, at=at)
        if at - self._checked_at >= CHECK_SECONDS:
            self._checked_at = at
            self._look(picture, at=at)
        found = (self._wrong_size(picture), self._covered(at), self._frozen(at))
        return tuple(fault for fault in found if fault is not None)

    def _compare(self, picture: Picture, *, at: float) -> None:
        # Luma without chroma: the noise of a sensor is in both.
        pixels = picture.luma if isinstance(picture, Planes) else np.asarray(picture)
        rows = pixels[::SAMPLE_STEP].tobytes()
        has_same_rows = rows == self._rows
        # Kept instead of the picture. Of the first of several alike there is none: only the third one proves it.
        checksum = zlib.crc32(np.ascontiguousarray(pixels).data) if has_same_rows else None
        self._is_proven = checksum is not None and checksum == self._checksum
        if not has_same_rows or self._checksum not in (None, checksum):
            self._same_since_at = at
        self._rows, self._checksum = rows, checksum

    def _look(self, picture: Picture, *, at: float) -> None:
        levels = contrast_levels(picture)
        if levels >= (NOTHING_LEVELS if self._nothing_since_at is None else SOMETHING_LEVELS):
            self._nothing_since_at = None
        elif self._nothing_since_at is None:
            self._nothing_since_at = at

    def _wrong_size(self, picture: Picture) -> Reason | None:
        wanted = self._config.frame_size
        height_px, width_px = picture.shape[:2]
        if wanted is None or wanted == (width_px, height_px):
            return None
        text = f"delivers {width_px}x{height_px} instead of frame_size {wanted[0]}x{wanted[1]}; choose a supported size"
        return Reason(code="camera_wrong_size", text=text)

    def _covered(self, at: float) -> Reason | None:
        seconds = self._config.covered_seconds
        if not seconds or self._nothing_since_at is None or at - self._nothing_since_at < seconds:
            return None
        return Reason(code="camera_covered", text="picture has no contrast: the lens is covered, or it is dark")

    def _frozen(self, at: float) -> Reason | None:
        seconds = self._config.frozen_seconds
        # In the dark or in glaring light, all pixels of a working sensor may be saturated.
        can_tell = self._is_proven and self._nothing_since_at is None
        if not seconds or not can_tell or at - self._same_since_at < seconds:
            return None
        return Reason(code="camera_frozen", text="picture frozen: every frame is bit-identical")


def contrast_levels(picture: Picture) -> float:
    """Grey levels between the 1st and 99th percentile of a picture, averaged to suppress sensor noise."""
    half = halved(picture, width_px=HALVED_TO[0], height_px=HALVED_TO[1])
    grey = cv2.cvtColor(cv2.resize(half, AVERAGED_SIZE, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    darkest, brightest = np.percentile(grey, (1, 99))
    return float(brightest - darkest)
