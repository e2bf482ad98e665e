"""`edge-convert calibrate`: fits temperature, thresholds or minimum score of a model's card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.commands.faces.calibrate import add_detector_options, calibrate_detector
from converter.commands.masks.calibrate import calibrate_classifier
from converter.commands.options import add_face_options, share_above_zero
from converter.model_kind import is_detector
from edge_agent.command_line import add_command
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    import argparse


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "calibrate",
        calibrate,
        summary="calibrate the scores in a model's card on validation faces: temperature and thresholds of a mask "
        "classifier, minimum score of a face detector",
        example="edge-convert calibrate models/masks.tflite --folders validation/ --false-alarms 0.01",
    )
    parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="a .tflite file with its card, or the card (.json) of a face detector; the card is rewritten",
    )
    add_face_options(parser)
    parser.add_argument(
        "--false-alarms",
        type=share_above_zero,
        metavar="FRACTION",
        help="also choose thresholds so that at most this share of properly masked faces gets each other label "
        "(default: no thresholds; the most probable label wins)",
    )
    add_detector_options(parser)


def calibrate(options: argparse.Namespace) -> int:
    """Fit the card of a detector or classifier."""
    if options.split == "test":
        raise ConfigError("--split test: test data must not determine parameters; give a validation split")
    return calibrate_detector(options) if is_detector(options.model) else calibrate_classifier(options)
