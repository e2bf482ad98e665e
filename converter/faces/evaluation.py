"""Evaluating detectors: how many of the annotated faces does a detector find, and how often does it see one in nothing?

Judged by the same code as a training run, on what the device's own detector gives.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from converter.bands import SIZE_BANDS, banded, size_band
from converter.labelled_faces import faces_of_scenes
from converter.progress import with_progress
from edge_agent.vision.images import read_picture
from training.faces.judge import Finds, match, report
from training.faces.scenes import Scene

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from converter.faces.candidates import DetectorCandidate
    from converter.labelled_faces import LabelledFace
    from edge_agent.domain import Face
    from training.faces.judge import Match

OVERLAP, SMALLEST_PX = 0.5, 16.0


@dataclass(frozen=True, slots=True)
class DetectorReport:
    """What a detector did on annotated scenes and on pictures without people."""

    name: str
    pictures: int
    faces: int
    """Of SMALLEST_PX and more."""
    ap: dict[str, float]
    """By overlap asked for, in per cent, and by the smallest face that counts, as `ap_50_16px`."""
    min_score: float
    """From which score on a detection is a face."""
    recall: float
    """Share of the faces that are found at that score."""
    false_detections: float
    """Finds that are no annotated face, per picture, at that score; background faces without annotation count."""
    empty_pictures: int
    false_detections_in_empty: float
    """Finds per picture without people, at that score; 0 where there are none."""
    median_ms: float
    """Of a picture, from its pixels to its faces."""
    bands: dict[str, dict[str, Band]]
    """By `size_px`, `domain` and `pose`."""


@dataclass(frozen=True, slots=True)
class Band:
    """Faces of one kind: how many there are, and the share of them that is found."""

    faces: int
    recall: float


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedScene(Scene):
    """A scene with what annotations say of it and of each of its faces."""

    domain: str | None = None
    poses: tuple[str | None, ...] = ()


def scenes_of(annotations: Path, *, split: str | None, source: str | None) -> list[AnnotatedScene]:
    """The annotated pictures of COCO scenes.

    Raises:
        ConfigError: the file is missing or not COCO, or no face is left.
    """
    all_faces = faces_of_scenes(annotations, split=split, source=source, labelled=False, with_ignored=True)
    scenes = []
    for path, group in groupby(all_faces, key=lambda face: face.path):
        faces = list(group)
        counting = [face for face in faces if not face.ignore]
        scenes.append(
            AnnotatedScene(
                path=path,
                source=source or "scenes",
                faces=_boxes(counting),
                ignored=_boxes(face for face in faces if face.ignore),
                chance=0.0,
                domain=faces[0].domain,
                poses=tuple(face.pose for face in counting),
            )
        )
    return scenes


def _boxes(faces: Iterable[LabelledFace]) -> NDArray[np.float32]:
    corners = [(face.box.x1, face.box.y1, face.box.x2, face.box.y2) for face in faces if face.box is not None]
    return np.array(corners, np.float32).reshape(-1, 4)


def evaluate_detectors(
    candidates: Sequence[DetectorCandidate], scenes: Sequence[AnnotatedScene], empty: Sequence[Path]
) -> list[DetectorReport]:
    """Judge detectors on the same pictures, one after the other on each: what disturbs the clock disturbs all alike.

    Raises:
        PictureError: a picture cannot be read.
    """
    found: list[list[Finds]] = [[] for _ in candidates]
    seconds: list[list[float]] = [[] for _ in candidates]
    for scene in with_progress(scenes, total=len(scenes), what="detecting"):
        image = read_picture(scene.path)
        for candidate, detections, times in zip(candidates, found, seconds, strict=True):
            started = time.perf_counter()
            faces = candidate.detect(image)
            times.append(time.perf_counter() - started)
            detections.append(detections_in(scene, faces))
    in_empty = [0] * len(candidates)
    for path in with_progress(empty, total=len(empty), what="detecting in pictures without people"):
        image = read_picture(path)
        for number, candidate in enumerate(candidates):
            in_empty[number] += sum(face.score >= candidate.min_score for face in candidate.detect(image))
    return [
        _report(candidate, scenes, detections, times, empty_pictures=len(empty), in_empty=count)
        for candidate, detections, times, count in zip(candidates, found, seconds, in_empty, strict=True)
    ]


def _report(
    candidate: DetectorCandidate,
    scenes: Sequence[AnnotatedScene],
    found: Sequence[Finds],
    seconds: Sequence[float],
    *,
    empty_pictures: int,
    in_empty: int,
) -> DetectorReport:
    sure = [surer(detections, candidate.min_score) for detections in found]
    matches = [match(detections, overlap=OVERLAP, smallest_px=SMALLEST_PX) for detections in sure]
    large = sum(int(one.large.sum()) for one in matches)
    return DetectorReport(
        name=candidate.name,
        pictures=len(found),
        faces=large,
        ap=report(found),
        min_score=candidate.min_score,
        recall=sum(int((one.found & one.large).sum()) for one in matches) / max(large, 1),
        false_detections=sum(int((one.counted & ~one.hits).sum()) for one in matches) / max(len(found), 1),
        empty_pictures=empty_pictures,
        false_detections_in_empty=in_empty / max(empty_pictures, 1),
        median_ms=1000 * float(np.median(seconds)),
        bands=_bands(scenes, matches),
    )


def _bands(scenes: Sequence[AnnotatedScene], matches: Sequence[Match]) -> dict[str, dict[str, Band]]:
    """How many faces of each kind there are, and the share that is found."""
    faces = [
        (size_band(float(min(box[2:] - box[:2]))), scene.domain, pose, bool(found))
        for scene, one in zip(scenes, matches, strict=True)
        for box, pose, found, large in zip(scene.faces, scene.poses, one.found, one.large, strict=True)
        if large
    ]
    sorts = {
        "size_px": banded(faces, lambda face: face[0], order=SIZE_BANDS),
        "domain": banded(faces, lambda face: face[1]),
        "pose": banded(faces, lambda face: face[2]),
    }
    return {
        sort: {name: Band(len(inside), sum(face[3] for face in inside) / len(inside)) for name, inside in bands.items()}
        for sort, bands in sorts.items()
        if bands
    }


def detections_in(scene: Scene, faces: Sequence[Face]) -> Finds:
    """What was found in a scene, as the judge reads it."""
    boxes = [(face.box.x1, face.box.y1, face.box.x2, face.box.y2) for face in faces]
    scores = [face.score for face in faces]
    return Finds(scene, np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32))


def surer(detections: Finds, min_score: float) -> Finds:
    """The detections of at least this score."""
    kept = detections.scores >= min_score
    return Finds(detections.scene, detections.boxes[kept], detections.scores[kept])
