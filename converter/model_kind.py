"""Model kind: distinguishes face detectors from mask classifiers.

Commands detect the kind themselves. Files that cannot be identified count as classifiers, whose loader then reports
what is missing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edge_agent.vision.card import DetectorCard

if TYPE_CHECKING:
    from pathlib import Path

TFLITE_SUFFIX, CARD_SUFFIX, ONNX_SUFFIX = ".tflite", ".json", ".onnx"
RUN_FILE = "run.json"
"""Beside a training run's model: the metadata needed for its conversion."""
DETECTOR_KIND = str(DetectorCard.model_fields["kind"].default)
"""The kind of a face detector in cards and run.json."""
CASCADE = "haar"
"""Used in place of a path; shipped with OpenCV 4."""
_RES10_SUFFIX = ".pb"
_OUTPUT_OF_YUNET = b"cls_8"


def is_detector(model: Path) -> bool:
    """Whether a model is a face detector: a card, a run of `edge-train faces`, YuNet, the res10 network or `haar`."""
    if str(model) == CASCADE or (model.suffix == _RES10_SUFFIX and not model.is_dir()):
        return True
    if model.suffix == CARD_SUFFIX:
        return not model.is_file() or _kind_in(model) == DETECTOR_KIND
    if model.suffix == ONNX_SUFFIX:
        return not model.is_file() or _OUTPUT_OF_YUNET in model.read_bytes()
    return is_detector_run(model)


def is_detector_run(model: Path) -> bool:
    """Whether this is the folder or the model of a run of `edge-train faces`."""
    return _kind_in(run_file_of(model)) == DETECTOR_KIND


def run_file_of(model: Path) -> Path:
    """The metadata of a training run, given its folder or its model."""
    return (model if model.is_dir() else model.parent) / RUN_FILE


def _kind_in(path: Path) -> str:
    """The `kind` in a JSON file; empty if there is none."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["kind"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
