"""Calibration: selects the pictures that set the int8 ranges.

Deterministic: the same folder always gives the same pictures, spread evenly over labels and names. They are whole
faces, cropped and scaled by the device's own code.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from converter.labelled_faces import LabelledFace, faces_in, faces_of_scenes
from converter.progress import print_message, with_progress
from edge_agent.errors import ConfigError
from edge_agent.vision.card import RESAMPLINGS
from edge_agent.vision.tensors import face_pixels
from training.masks.examples import with_pictures

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from converter.masks.networks import Network
    from edge_agent.domain import Label
    from edge_agent.vision.card import Resampling

MIN_PICTURES = 20
MAX_PICTURES = 200


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationSet:
    """`pixels` is uint8, (pictures, height, width, 3), RGB; `labels` None where unknown."""

    pixels: NDArray[np.uint8]
    labels: tuple[Label | None, ...]

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.labels)


def choose_calibration_faces(
    place: Path, *, max_count: int = MAX_PICTURES, excluded: Sequence[LabelledFace] = ()
) -> list[LabelledFace]:
    """Choose at most `max_count` faces, evenly spread, from a folder or the `train` split of COCO annotations.

    Pictures that also occur in `excluded` are excluded.

    Raises:
        ConfigError: there are fewer than MIN_PICTURES.
    """
    faces = faces_of_scenes(place, split="train") if place.is_file() else faces_in(place)
    chosen = select_evenly(_excluding(faces, excluded), max_count=max_count)
    check_count(len(chosen), place, "apart from those for validation" if excluded else "")
    return chosen


def read_pixels(
    faces: Sequence[LabelledFace],
    network: Network,
    *,
    resamplings: Sequence[Resampling] = RESAMPLINGS,
    reports_skipped: bool = False,
) -> tuple[dict[Resampling, NDArray[np.uint8]], tuple[Label | None, ...]]:
    """Read faces as a network sees them; returns their pixels by resampling method, and their labels.

    The pixels are uint8, (faces, height, width, 3), RGB. Unreadable pictures are skipped, with a message on stderr if
    `reports_skipped`.
    """
    width_px, height_px = network.width_px, network.height_px
    no_pixels = np.zeros((0, height_px, width_px, 3), np.uint8)
    by_resampling: dict[Resampling, list[NDArray[np.uint8]]] = {resampling: [no_pixels] for resampling in resamplings}
    labels = []
    unreadable: list[str] = []
    with_images = with_pictures(faces, unreadable=unreadable)
    for face, image in with_progress(with_images, total=len(faces), what="reading pictures"):
        region = face.region(image, margin_fraction=network.margin_fraction)
        for resampling, pixels in by_resampling.items():
            face_image = face_pixels(image, region, width_px=width_px, height_px=height_px, resampling=resampling)
            pixels.append(face_image[np.newaxis])
        labels.append(face.label)
    if reports_skipped:
        for error in unreadable:
            print_message(f"skipped: {error}")
    return {resampling: np.concatenate(pixels) for resampling, pixels in by_resampling.items()}, tuple(labels)


def check_count(count: int, place: Path, which: str = "that can be read") -> None:
    """Check that a place has enough pictures to calibrate the int8 ranges.

    Raises:
        ConfigError: there are fewer than MIN_PICTURES.
    """
    if count < MIN_PICTURES:
        pictures = "1 picture" if count == 1 else f"{count} pictures"
        raise ConfigError(
            f"{place}: {' '.join((pictures, which)).strip()}; int8 needs at least {MIN_PICTURES} to measure the "
            f"ranges of its values, and {MAX_PICTURES} of all labels are better"
        )


def _excluding(faces: list[LabelledFace], excluded: Sequence[LabelledFace]) -> list[LabelledFace]:
    """The faces whose pictures are not among those of others; compared by content, not by name."""
    if not excluded:
        return faces
    excluded_digests = {digest for path in {face.path for face in excluded} if (digest := _digest(path))}
    with_images = {path: _digest(path) for path in {face.path for face in faces}}
    return [face for face in faces if with_images[face.path] not in excluded_digests]


def _digest(path: Path) -> bytes:
    """SHA-256 of a file; empty if unreadable, which is reported when it is opened as a picture."""
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""


def select_evenly(faces: Sequence[LabelledFace], *, max_count: int) -> list[LabelledFace]:
    """At most `max_count` faces, evenly divided among labels and evenly spaced within each; deterministic."""
    groups: dict[Label | None, list[LabelledFace]] = {}
    for face in faces:
        groups.setdefault(face.label, []).append(face)
    chosen = []
    for group in groups.values():
        share = min(len(group), max(1, max_count // len(groups)))
        chosen += [group[index * len(group) // share] for index in range(share)]
    return chosen
