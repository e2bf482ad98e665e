"""Evaluating finders: how many of the annotated faces does a finder find, and how often does it see one in nothing?

Judged by the same code as a training run, on what the device's own finder gives.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from converter.faces import faces_of_scenes, read_picture
from converter.progress import with_progress
from training.faces.judge import Finds, match, report
from training.faces.scenes import Scene

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from converter.finder_candidates import FinderCandidate
    from edge_agent.domain import Face

OVERLAP, SMALLEST_PX = 0.5, 16.0
NOTHING = np.zeros((0, 4), np.float32)


@dataclass(frozen=True, slots=True)
class FinderReport:
    """What a finder did on annotated scenes and on pictures without people."""

    name: str
    pictures: int
    faces: int
    """Of SMALLEST_PX and more."""
    ap: dict[str, float]
    """By overlap asked for, in per cent, and by the smallest face that counts, as `ap_50_16px`."""
    min_score: float
    """From which score on a find is a face."""
    recall: float
    """Share of the faces that are found at that score."""
    false_finds: float
    """Finds that are no annotated face, per picture, at that score; background faces without annotation count."""
    empty_pictures: int
    false_finds_in_empty: float
    """Finds per picture without people, at that score; 0 where there are none."""
    median_ms: float
    """Of a picture, from its pixels to its faces."""


def scenes_of(annotations: Path, *, split: str | None, source: str | None) -> list[Scene]:
    """The annotated pictures of COCO scenes.

    Raises:
        ConfigError: the file is missing or not COCO, or no face is left.
    """
    scenes = []
    for path, faces in groupby(
        faces_of_scenes(annotations, split=split, source=source, labelled=False), key=lambda face: face.path
    ):
        boxes = [(face.box.x1, face.box.y1, face.box.x2, face.box.y2) for face in faces if face.box is not None]
        scenes.append(Scene(path, source or "scenes", np.array(boxes, np.float32), NOTHING, 0.0))
    return scenes


def evaluate_finders(
    candidates: Sequence[FinderCandidate], scenes: Sequence[Scene], empty: Sequence[Path]
) -> list[FinderReport]:
    """Judge finders on the same pictures, one after the other on each: what disturbs the clock disturbs all alike.

    Raises:
        PictureError: a picture cannot be read.
    """
    found: list[list[Finds]] = [[] for _ in candidates]
    seconds: list[list[float]] = [[] for _ in candidates]
    for scene in with_progress(scenes, total=len(scenes), what="looking"):
        image = read_picture(scene.path)
        for candidate, finds, times in zip(candidates, found, seconds, strict=True):
            started = time.perf_counter()
            faces = candidate.find(image)
            times.append(time.perf_counter() - started)
            finds.append(finds_in(scene, faces))
    in_empty = [0] * len(candidates)
    for path in with_progress(empty, total=len(empty), what="looking at pictures without people"):
        image = read_picture(path)
        for number, candidate in enumerate(candidates):
            in_empty[number] += sum(face.score >= candidate.min_score for face in candidate.find(image))
    return [
        _report(candidate, finds, times, empty_pictures=len(empty), in_empty=count)
        for candidate, finds, times, count in zip(candidates, found, seconds, in_empty, strict=True)
    ]


def _report(
    candidate: FinderCandidate, found: Sequence[Finds], seconds: Sequence[float], *, empty_pictures: int, in_empty: int
) -> FinderReport:
    sure = [surer(finds, candidate.min_score) for finds in found]
    matches = [match(finds, overlap=OVERLAP, smallest_px=SMALLEST_PX) for finds in sure]
    large = sum(int(one.large.sum()) for one in matches)
    return FinderReport(
        name=candidate.name,
        pictures=len(found),
        faces=large,
        ap=report(found),
        min_score=candidate.min_score,
        recall=sum(int((one.found & one.large).sum()) for one in matches) / max(large, 1),
        false_finds=sum(int((one.counted & ~one.hits).sum()) for one in matches) / max(len(found), 1),
        empty_pictures=empty_pictures,
        false_finds_in_empty=in_empty / max(empty_pictures, 1),
        median_ms=1000 * float(np.median(seconds)),
    )


def finds_in(scene: Scene, faces: Sequence[Face]) -> Finds:
    """What was found in a scene, as the judge reads it."""
    boxes = [(face.box.x1, face.box.y1, face.box.x2, face.box.y2) for face in faces]
    scores = [face.score for face in faces]
    return Finds(scene, np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32))


def surer(finds: Finds, min_score: float) -> Finds:
    """The finds of at least this score."""
    kept = finds.scores >= min_score
    return Finds(finds.scene, finds.boxes[kept], finds.scores[kept])
