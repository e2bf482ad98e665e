"""Box style: measures a detector's systematic box offset from the annotations and compensates it.

Annotations differ in where a face ends: at the chin or below it, at the brows or at the hair. A detector trained on
other conventions should not lose by that alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from converter.faces.candidates import DetectorCandidate
from converter.progress import with_progress
from edge_agent.domain import Box
from edge_agent.errors import ConfigError
from edge_agent.vision.detector.scaling import faces_inside
from edge_agent.vision.images import read_picture
from training.faces.boxes import as_array, pairwise_iou
from training.faces.recipe import StyleRecipe
from training.faces.scenes import converted_to_style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_agent.domain import Face, Image
    from training.faces.scenes import Scene

MIN_SCORE = 0.5
MATCHING_IOU = 0.3
"""A detection with this overlap (IoU) is the same face, in another box style."""
MIN_FACE_PX = 16.0
"""Smaller faces are useless for measuring: one pixel is too large a fraction."""
MIN_FACES = 30


def with_moved_boxes(candidate: DetectorCandidate, scenes: Sequence[Scene]) -> DetectorCandidate:
    """A detector whose boxes are adjusted to the median style of the scenes; never fit it to evaluation scenes.

    Raises:
        ConfigError: it finds too few of their faces.
    """
    style = fit_box_style(candidate, scenes)

    def detect(image: Image) -> list[Face]:
        faces = candidate.detect(image)
        boxes = converted_to_style(as_array(face.box for face in faces), style).tolist()
        return faces_inside([(Box(*box), face.score) for box, face in zip(boxes, faces, strict=True)], image)

    return DetectorCandidate(f"{candidate.name}, moved", detect, candidate.min_score, candidate.classifier)


def fit_box_style(candidate: DetectorCandidate, scenes: Sequence[Scene]) -> StyleRecipe:
    """Median position and size of annotated boxes relative to the detector's boxes of the same faces.

    Raises:
        ConfigError: it finds fewer than MIN_FACES of them.
    """
    rows = []
    for scene in with_progress(scenes, total=len(scenes), what=f"fitting the box style of {candidate.name}"):
        confident = [face for face in candidate.detect(read_picture(scene.path)) if face.score >= MIN_SCORE]
        large = [box for box in scene.faces if min(box[2:] - box[:2]) >= MIN_FACE_PX]
        if confident and large:
            rows += _differences(as_array(face.box for face in confident), np.array(large, np.float32))
    if len(rows) < MIN_FACES:
        raise ConfigError(
            f"{candidate.name}: finds {len(rows)} annotated faces, too few to fit its box style "
            f"({MIN_FACES} needed); leave --moved out"
        )
    down, width, height = (round(float(value), 3) for value in np.median(np.array(rows), axis=0))
    return StyleRecipe(down_fraction=down, width_factor=width, height_factor=height)


def _differences(detections: NDArray[np.float32], faces: NDArray[np.float32]) -> list[tuple[float, float, float]]:
    """Offset down and sides of the annotated box of each detected face, in sides of the detection."""
    iou = pairwise_iou(detections, faces)
    rows = []
    for detection, shares in zip(detections, iou, strict=True):
        if shares.max() < MATCHING_IOU:
            continue
        face = faces[int(shares.argmax())]
        width, height = detection[2] - detection[0], detection[3] - detection[1]
        down = (face[1] + face[3] - detection[1] - detection[3]) / 2 / height
        rows.append((float(down), float((face[2] - face[0]) / width), float((face[3] - face[1]) / height)))
    return rows
