"""Detector evaluation: measures average precision, recall and false detections.

Uses the matching code of training runs, on the output of the device's own detector. With a classifier, decisions are
those of the device: detections that it rejects are not faces, and a face is correct if its label is the annotated one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from converter.bands import SIZE_BANDS, grouped, size_band
from converter.progress import with_progress
from edge_agent.domain import LABELS
from edge_agent.vision.images import read_picture
from training.faces.boxes import as_array
from training.faces.metrics import SceneDetections, match, report
from training.faces.scenes import annotated_scenes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from converter.faces.candidates import DetectorCandidate
    from edge_agent.domain import Face, Image, Label
    from training.faces.metrics import Match
    from training.faces.scenes import Scene

MIN_IOU, MIN_FACE_PX = 0.5, 16.0
MIN_POSED_FACE_PX = 48.0
"""The pose of smaller faces is hard to determine, for annotators too."""


@dataclass(frozen=True, slots=True)
class DetectorReport:
    """Results of a detector on annotated scenes and on pictures without people."""

    name: str
    pictures: int
    faces: int
    """Faces of at least MIN_FACE_PX."""
    ap: dict[str, float]
    """By minimum overlap in per cent and smallest face that counts, as `ap_50_16px`."""
    min_score: float
    """Minimum score of a face."""
    recall: float
    """Share of the faces detected at that score."""
    false_detections: float
    """Detections per picture that match no annotated face, at that score; unannotated background faces count too."""
    empty_pictures: int
    false_detections_in_empty: float
    """Detections per picture without people, at that score; 0 if there are no such pictures."""
    median_ms: float
    """Latency per picture, from pixels to faces."""
    bands: dict[str, dict[str, Band]]
    """By `size_px`, `domain`, `pose` and `label`."""
    read_right: float | None = None
    """Share of the faces detected and correctly classified; None without a classifier."""


@dataclass(frozen=True, slots=True)
class Band:
    """Faces of one group: their number and recall and, with a classifier, the share also correctly classified."""

    faces: int
    recall: float
    read_right: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Detections in one scene, and those that the device would accept as faces."""

    all: SceneDetections
    accepted: SceneDetections
    labels: tuple[Label, ...] | None
    """Of the kept detections; None without a classifier."""


def scenes_of(annotations: Path, *, split: str | None, source: str | None) -> list[Scene]:
    """The annotated pictures of COCO scenes.

    Raises:
        ConfigError: the file is missing or not COCO, or no face matches.
    """
    return annotated_scenes(
        annotations, sources=[source] if source else (), splits=[split] if split else (), any_category=True
    )


def evaluate_detectors(
    candidates: Sequence[DetectorCandidate],
    scenes: Sequence[Scene],
    empty: Sequence[Path],
) -> list[DetectorReport]:
    """Evaluate detectors on the same pictures, alternating, so that disturbances affect the timing of all alike.

    Raises:
        PictureError: a picture cannot be read.
    """
    detections: list[list[Detections]] = [[] for _ in candidates]
    seconds: list[list[float]] = [[] for _ in candidates]
    for scene in with_progress(scenes, total=len(scenes), what="detecting"):
        image = read_picture(scene.path)
        for candidate, of_candidate, times in zip(candidates, detections, seconds, strict=True):
            started = time.perf_counter()
            faces = candidate.detect(image)
            times.append(time.perf_counter() - started)
            accepted, labels = _accept(candidate, faces, image)
            of_candidate.append(Detections(detections_in(scene, faces), detections_in(scene, accepted), labels))
    in_empty = [0] * len(candidates)
    for path in with_progress(empty, total=len(empty), what="detecting in pictures without people"):
        image = read_picture(path)
        for number, candidate in enumerate(candidates):
            accepted, _ = _accept(candidate, candidate.detect(image), image)
            in_empty[number] += len(accepted)
    return [
        _report(candidate, of_candidate, times, empty_pictures=len(empty), in_empty=count)
        for candidate, of_candidate, times, count in zip(candidates, detections, seconds, in_empty, strict=True)
    ]


def _accept(
    candidate: DetectorCandidate, faces: Sequence[Face], image: Image
) -> tuple[list[Face], tuple[Label, ...] | None]:
    """The detections that the device would accept as faces, with their labels."""
    confident = [face for face in faces if face.score >= candidate.min_score]
    if candidate.classifier is None:
        return confident, None
    read = [(face, candidate.classifier.classify(image, face.box)) for face in confident]
    accepted = [(face, reading.label) for face, reading in read if reading.is_face]
    return [face for face, _ in accepted], tuple(label for _, label in accepted)


def _report(
    candidate: DetectorCandidate,
    detections: Sequence[Detections],
    seconds: Sequence[float],
    *,
    empty_pictures: int,
    in_empty: int,
) -> DetectorReport:
    matches = [match(detected.accepted, min_iou=MIN_IOU, min_face_px=MIN_FACE_PX) for detected in detections]
    faces = [
        face
        for detected, matching in zip(detections, matches, strict=True)
        for face in _face_results(detected, matching)
    ]
    false = sum(int((matching.counted & ~matching.hits).sum()) for matching in matches)
    return DetectorReport(
        name=candidate.name,
        pictures=len(detections),
        faces=len(faces),
        ap=report([detected.all for detected in detections]),
        min_score=candidate.min_score,
        recall=_band(faces).recall,
        false_detections=false / max(len(detections), 1),
        empty_pictures=empty_pictures,
        false_detections_in_empty=in_empty / max(empty_pictures, 1),
        median_ms=1000 * float(np.median(seconds)),
        bands=_bands(faces),
        read_right=_band(faces).read_right,
    )


@dataclass(frozen=True, slots=True)
class _FaceResult:
    size_px: str
    domain: str | None
    pose: str | None
    label: Label | None
    is_detected: bool
    is_correct: bool | None


def _face_results(detections: Detections, matching: Match) -> list[_FaceResult]:
    """The annotated faces of a scene that are large enough to count."""
    scene = detections.accepted.scene
    sides = (scene.faces[:, 2:] - scene.faces[:, :2]).min(axis=1, initial=np.inf)
    read: dict[int, Label] = {}
    if detections.labels is not None:
        read = {int(face): label for face, label in zip(matching.face_of, detections.labels, strict=True) if face >= 0}
    return [
        _FaceResult(
            size_px=size_band(float(sides[index])),
            domain=scene.domain,
            pose=scene.poses[index] if sides[index] >= MIN_POSED_FACE_PX else None,
            label=scene.labels[index],
            is_detected=bool(matching.found[index]),
            is_correct=None if detections.labels is None else index in read and read[index] == scene.labels[index],
        )
        for index in np.flatnonzero(matching.large).tolist()
    ]


def _band(faces: Sequence[_FaceResult]) -> Band:
    right = [face.is_correct for face in faces if face.is_correct is not None]
    return Band(
        faces=len(faces),
        recall=sum(face.is_detected for face in faces) / max(len(faces), 1),
        read_right=sum(right) / len(right) if right else None,
    )


def _bands(faces: Sequence[_FaceResult]) -> dict[str, dict[str, Band]]:
    groupings = {
        "size_px": grouped(faces, lambda face: face.size_px, order=SIZE_BANDS),
        "domain": grouped(faces, lambda face: face.domain),
        "pose": grouped(faces, lambda face: face.pose),
        "label": grouped(faces, lambda face: face.label, order=LABELS),
    }
    return {
        grouping: {name: _band(inside) for name, inside in bands.items()}
        for grouping, bands in groupings.items()
        if bands
    }


def detections_in(scene: Scene, faces: Sequence[Face]) -> SceneDetections:
    """Detections in the form that the matching code takes."""
    boxes = as_array(face.box for face in faces)
    return SceneDetections(scene, boxes, np.array([face.score for face in faces], np.float32))


def above_score(detections: SceneDetections, min_score: float) -> SceneDetections:
    """The detections of at least this score."""
    accepted = detections.scores >= min_score
    return SceneDetections(detections.scene, detections.boxes[accepted], detections.scores[accepted])
