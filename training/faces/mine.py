"""Mining: labels a detector's detections in annotated pictures, as training data for a classifier.

A detection that overlaps an annotated face gets its label, and keeps the detector's box with its errors, as on the
device. A detection that neither an annotation nor the teacher supports is `no_face`, a hard negative.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from tqdm import tqdm

from edge_agent.domain import CLASSES, NO_FACE, Class
from edge_agent.errors import ConfigError, PictureError
from edge_agent.vision.images import read_picture
from training.coco import CocoFile
from training.faces.boxes import pairwise_iou, shorter_sides
from training.faces.keras_detector import KerasDetector
from training.faces.network import open_network
from training.faces.scenes import annotated_scenes
from training.masks.examples import list_pictures, read_corrections

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.domain import Image, Label

    Boxes: TypeAlias = NDArray[np.float32]

INPUT_SIZES_PX = ((448, 352), (640, 384))
"""Input sizes of the detector, as on the device."""
MIN_SCORE = 0.2
POSITIVE_IOU = 0.5
"""Minimum overlap (IoU) for a detection to be an annotated face."""
NEGATIVE_IOU = 0.25
"""Maximum overlap for a detection to be no face, though it may be part of one; those between are discarded."""
TEACHER_PX = 640
LARGE_FACE_PX = 40.0
MIN_FACE_PX = 24.0
"""Background faces are often not annotated, so smaller detections in pictures with people are not used as negatives."""
TEACHER_SCORE, TEACHER_SCORE_LARGE = 0.1, 0.4
"""Detections that the teacher shares with this score may be unannotated faces; the second from LARGE_FACE_PX on."""

_NOTHING = np.zeros((0, 4), np.float32)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Detection:
    """One detection: its box as x1, y1, x2, y2 in pixels of the picture, and its label."""

    box: tuple[float, float, float, float]
    label: Class


def mine_detections(
    output: Path,
    *,
    scenes: Path,
    corrections: Path | None,
    empty: Sequence[Path],
    detector: Path,
    teacher: Path,
) -> dict[Class, int]:
    """Write a COCO file of the detections in the train split of scenes and in pictures without people.

    Returns the number of detections by label.

    Raises:
        ConfigError: pictures or annotations are missing, or nothing was detected.
        ModelError: detector or teacher are missing or invalid.
    """
    corrected_labels = read_corrections(corrections) if corrections else None
    annotated = {
        scene.path: scene
        for scene in annotated_scenes(scenes, splits=("train",), corrections=corrected_labels)
        if len(scene.faces)
    }
    without_people = {path: folder.name for folder in empty for path in list_pictures(folder)}
    detectors = [
        KerasDetector(open_network(detector), longer_px=a, shorter_px=b, min_score=MIN_SCORE) for a, b in INPUT_SIZES_PX
    ]
    suspected_faces = _teacher_regions(teacher)
    detections_of: dict[Path, list[Detection]] = {}
    for path in tqdm(
        sorted({*annotated, *without_people}), desc="detecting", unit="picture", leave=False, disable=None
    ):
        try:
            image = read_picture(path)
        except PictureError as error:
            log.warning("%s", error)
            continue
        detections = np.concatenate([detect(image)[0] for detect in detectors])
        scene = annotated.get(path)
        if scene is None:
            detections_of[path] = label_detections(detections, _NOTHING, (), excluded=_NOTHING)
        else:
            excluded = np.concatenate([scene.ignored, suspected_faces(image)])
            detections_of[path] = label_detections(
                detections, scene.faces, scene.labels, excluded=excluded, min_face_px=MIN_FACE_PX
            )
    counts = {
        name: sum(detection.label == name for detections in detections_of.values() for detection in detections)
        for name in CLASSES
    }
    if not any(counts.values()):
        raise ConfigError(f"{scenes}: the detector finds nothing in its pictures")
    output.mkdir(parents=True, exist_ok=True)
    sources = {path: scene.source for path, scene in annotated.items()}
    _write(output / "annotations.json", detections_of, sources | without_people)
    return counts


def _teacher_regions(teacher: Path) -> Callable[[Image], Boxes]:
    """A function that gives the regions of a picture in which a teacher suspects unannotated faces."""
    detector = KerasDetector(
        open_network(teacher), longer_px=TEACHER_PX, shorter_px=TEACHER_PX, min_score=TEACHER_SCORE
    )

    def regions(image: Image) -> Boxes:
        boxes, scores = detector(image)
        return boxes[scores >= np.where(shorter_sides(boxes) < LARGE_FACE_PX, TEACHER_SCORE, TEACHER_SCORE_LARGE)]

    return regions


def label_detections(
    detections: Boxes, faces: Boxes, labels: Sequence[Label | None], *, excluded: Boxes, min_face_px: float = 0.0
) -> list[Detection]:
    """Label the detections of a picture, (n, 4): the face with the largest overlap, `no_face`, or discarded if unclear.

    `labels` are those of the annotated faces, (m, 4). Detections that overlap `excluded`, (k, 4), or have a shorter
    side below `min_face_px` may be unannotated faces and never become `no_face`.
    """
    iou = pairwise_iou(detections, faces)
    is_unclear = (pairwise_iou(detections, excluded).max(axis=1, initial=0.0) > NEGATIVE_IOU) | (
        shorter_sides(detections) < min_face_px
    )
    labelled = []
    for box, row, unclear in zip(detections, iou, is_unclear, strict=True):
        best = float(row.max(initial=0.0))
        label: Class | None = None
        if best >= POSITIVE_IOU:
            label = labels[int(row.argmax())]
        elif best <= NEGATIVE_IOU and not unclear:
            label = NO_FACE
        if label is not None:
            x1, y1, x2, y2 = box.tolist()
            labelled.append(Detection((x1, y1, x2, y2), label))
    return labelled


def _write(file: Path, detections_of: dict[Path, list[Detection]], sources: dict[Path, str]) -> None:
    mined = CocoFile(file, CLASSES)
    for path, detections in detections_of.items():
        mined.add_picture(path, source=sources[path], split="train")
        for detection in detections:
            mined.add_face(path, detection.box, category=detection.label)
    mined.write()
