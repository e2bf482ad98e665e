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
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edge_agent.domain import Face, Image

    Find = Callable[[Image], list[Face]]

OVERLAP, SMALLEST_PX = 0.5, 16.0
NOTHING = np.zeros((0, 4), np.float32)


@dataclass(frozen=True, slots=True)
class FinderReport:
    """What a finder did on annotated scenes and on pictures without people."""

    pictures: int
    faces: int
    """Of SMALLEST_PX and more."""
    ap: dict[str, float]
    """By overlap asked for, in per cent, and by the smallest face that counts, as `ap_50_16px`."""
    recall: float
    """Share of the faces that are found at the score of the operating point."""
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
    for path, faces in groupby(faces_of_scenes(annotations, split=split, source=source), key=lambda face: face.path):
        boxes = [(face.box.x1, face.box.y1, face.box.x2, face.box.y2) for face in faces if face.box is not None]
        scenes.append(Scene(path, source or "scenes", np.array(boxes, np.float32), NOTHING, 0.0))
    return scenes


def evaluate_finder(find: Find, scenes: Sequence[Scene], empty: Sequence[Path], *, min_score: float) -> FinderReport:
    """Judge what `find` finds; it must give finds down to the lowest scores, of which `min_score` is the one used.

    Raises:
        PictureError: a picture cannot be read.
    """
    all_finds, times = [], []
    for scene in with_progress(scenes, total=len(scenes), what="looking"):
        image = read_picture(scene.path)
        started = time.perf_counter()
        faces = find(image)
        times.append(time.perf_counter() - started)
        all_finds.append(_finds(scene, faces))
    sure = [_surer(finds, min_score) for finds in all_finds]
    matches = [match(finds, overlap=OVERLAP, smallest_px=SMALLEST_PX) for finds in sure]
    large = sum(int(one.large.sum()) for one in matches)
    in_empty = sum(
        face.score >= min_score
        for path in with_progress(empty, total=len(empty), what="looking at pictures without people")
        for face in find(read_picture(path))
    )
    return FinderReport(
        pictures=len(scenes),
        faces=large,
        ap=report(all_finds),
        recall=sum(int((one.found & one.large).sum()) for one in matches) / max(large, 1),
        false_finds=sum(int((one.counted & ~one.hits).sum()) for one in matches) / max(len(scenes), 1),
        empty_pictures=len(empty),
        false_finds_in_empty=in_empty / max(len(empty), 1),
        median_ms=1000 * float(np.median(times)),
    )


def _finds(scene: Scene, faces: Sequence[Face]) -> Finds:
    boxes = [(face.box.x1, face.box.y1, face.box.x2, face.box.y2) for face in faces]
    scores = [face.score for face in faces]
    return Finds(scene, np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32))


def _surer(finds: Finds, min_score: float) -> Finds:
    kept = finds.scores >= min_score
    return Finds(finds.scene, finds.boxes[kept], finds.scores[kept])
