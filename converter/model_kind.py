"""Model kind: distinguishes face detectors from mask classifiers, and finds the converted one of a run.

Commands detect the kind themselves. Files that cannot be identified count as classifiers, whose loader then reports
what is missing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edge_agent.errors import ConfigError
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


def converted_model_of(run: Path) -> Path:
    """The converted classifier in a run's folder; names with a format, such as `masks.float32.tflite`, are ignored.

    Raises:
        ConfigError: there is no such folder, no model, or more than one.
    """
    return _only_one([path for path in run.glob(f"*{TFLITE_SUFFIX}") if len(path.suffixes) == 1], run)


def converted_card_of(run: Path) -> Path:
    """The card of the converted detector in a run's folder.

    Raises:
        ConfigError: there is no such folder, no card, or more than one.
    """
    return _only_one([path for path in run.glob(f"*{CARD_SUFFIX}") if path.name != RUN_FILE and is_detector(path)], run)


def _only_one(found: list[Path], run: Path) -> Path:
    if not run.is_dir():
        raise ConfigError(f"{run}: no such training run")
    if len(found) != 1:
        raise ConfigError(
            f"{run}: holds {len(found)} converted models instead of one; make it with 'edge-convert convert {run} "
            f"--output {run}' (with --calibration FOLDER, if the run has no pictures of its own), or remove the others"
        )
    return found[0]


def _kind_in(path: Path) -> str:
    """The `kind` in a JSON file; empty if there is none."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["kind"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
