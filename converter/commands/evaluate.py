"""`edge-convert evaluate`: evaluates mask classifiers or face detectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from converter.commands.faces.evaluate import add_detector_options, evaluate_detectors_of
from converter.commands.masks.evaluate import evaluate_classifiers
from converter.commands.options import add_face_options, add_source_options, labels_of
from converter.model_kind import CASCADE, is_detector
from edge_agent.command_line import add_command
from edge_agent.errors import ConfigError
from edge_agent.vision.tflite import RuntimeChoice

if TYPE_CHECKING:
    import argparse


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "evaluate",
        evaluate,
        summary="evaluate mask classifiers on labelled faces, or face detectors on scenes, with the device's own code",
        example="edge-convert evaluate models/masks.tflite --against runs/masks --scenes annotations.json "
        "--split test --source street",
    )
    parser.add_argument(
        "models",
        type=Path,
        nargs="+",
        metavar="MODEL",
        help="mask classifiers: .tflite files with their cards, or float models; or face detectors: cards (.json), "
        "runs of 'edge-train faces', YuNet files (.onnx), the res10 network (.pb), or 'haar'",
    )
    add_face_options(parser)
    parser.add_argument(
        "--only",
        type=labels_of,
        default=(),
        metavar="A,B",
        help="evaluate only these labels; scores are renormalised (default: all labels of model and faces)",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="FLOAT",
        help="the original float model: exit with 3 if recall of without_mask falls by more "
        "than 1 point or the labels are in the wrong order",
    )
    add_source_options(parser)
    parser.add_argument("--runtime", choices=get_args(RuntimeChoice), default="auto", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")
    add_detector_options(parser)


def evaluate(options: argparse.Namespace) -> int:
    """Evaluate detectors or classifiers."""
    if missing := [str(model) for model in options.models if str(model) != CASCADE and not model.exists()]:
        raise ConfigError(f"{', '.join(missing)}: no such model")
    detectors = [model for model in options.models if is_detector(model)]
    if not detectors:
        return evaluate_classifiers(options)
    if others := [str(model) for model in options.models if model not in detectors]:
        raise ConfigError(
            f"{', '.join(others)}: not a face detector, but {detectors[0]} is one; evaluate the two kinds separately"
        )
    return evaluate_detectors_of(options)
