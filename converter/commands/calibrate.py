"""`edge-convert calibrate`: from which score on may a device believe its model?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.card_fitting import fitted_aloud
from converter.commands.calibrate_finder import add_finder_options, calibrate_finder
from converter.commands.options import add_command, add_face_options, faces_of, share_above_zero
from converter.finder_candidates import CARD_SUFFIX
from converter.proof import prove
from converter.writing import write_together
from edge_agent.errors import ConfigError
from edge_agent.vision.card import card_path, model_bytes, read_card

if TYPE_CHECKING:
    import argparse


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "calibrate",
        calibrate,
        summary="fit what a model's card says of its scores to validation faces: temperature and thresholds of a mask "
        "reader, least score of a face finder",
        example="edge-convert calibrate models/masks.tflite --folders validation/ --false-alarms 0.01",
    )
    parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="a .tflite file with its card, or the card (.json) of a face finder; the card is rewritten",
    )
    add_face_options(parser)
    parser.add_argument(
        "--false-alarms",
        type=share_above_zero,
        metavar="FRACTION",
        help="also choose thresholds: at most this share of properly masked faces is read as each other label "
        "(default: the likeliest label is read)",
    )
    add_finder_options(parser)


def calibrate(options: argparse.Namespace) -> int:
    """Fit the card, prove it in every runtime, and only then write it."""
    if options.split == "test":
        raise ConfigError("--split test: what a model is judged by must not choose anything; give a validation split")
    if options.model.suffix == CARD_SUFFIX:
        return calibrate_finder(options)
    card, content = read_card(options.model), model_bytes(options.model)
    fitted = fitted_aloud(card, content, faces_of(options), false_alarm_fraction=options.false_alarms)
    prove(content, fitted)
    write_together({card_path(options.model): fitted.to_json().encode()})
    print(card_path(options.model))
    return 0
