"""`edge-convert convert`: how does a model become one that a device loads?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Literal

from converter.commands.faces.convert import add_detector_options, convert_detector
from converter.commands.masks.convert import BEST, convert_classifier
from converter.commands.options import add_command, add_source_options, share_above_zero
from converter.masks.calibration import MOST_PICTURES
from converter.model_kind import is_detector_run
from converter.tflite_conversion import FORMATS, Format


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "convert",
        convert,
        summary="convert a Keras mask classifier, or a run of 'edge-train', to TFLite, with its card",
        example="edge-convert convert mask_detector.model --labels with_mask,without_mask --calibration faces/ "
        "--output models/",
    )
    parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="HDF5 of Keras 2 or 3 (any suffix), .keras, model.json with its weights (Keras, TensorFlow.js), "
        "SavedModel, ONNX, Teachable Machine export, or a training run",
    )
    add_source_options(parser)
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="PLACE",
        help="pictures that int8 learns its ranges from: of faces, best in folders named after the labels, or COCO "
        "annotations (their train split); never those that judge the model (default: faces.json of a training run)",
    )
    parser.add_argument(
        "--validation",
        type=Path,
        metavar="PLACE",
        help="labelled faces, as folders or COCO annotations (their validation split), that the card's temperature is "
        "fitted to; never pictures that also serve for calibration (default: faces.json of a training run)",
    )
    parser.add_argument(
        "--false-alarms",
        type=share_above_zero,
        metavar="FRACTION",
        help="with --validation, also choose thresholds: at most this share of properly masked faces is read as each "
        "other label",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where model and card go")
    parser.add_argument("--name", help="name of the files (default: that of the model)")
    parser.add_argument(
        "--format",
        "--formats",
        dest="formats",
        type=formats_of,
        default=("int8",),
        metavar="FORMAT[,FORMAT]",
        help=f"{', '.join(FORMATS)}, or best: the smallest that reads as the source does, but for half a point "
        "(default: int8, which takes and gives uint8)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="put the new files in the place of those of the same name"
    )
    parser.add_argument(
        "--force", action="store_true", help="write a model that reads worse than it could, or than its source"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FOLDER",
        help="also write one page with pictures, read by the source and by the converted model",
    )
    parser.add_argument(
        "--pictures", type=int, default=MOST_PICTURES, metavar="N", help="use at most N of them (default: %(default)s)"
    )
    add_detector_options(parser)


def convert(options: argparse.Namespace) -> int:
    """Convert whichever of the two it is."""
    return convert_detector(options) if is_detector_run(options.model) else convert_classifier(options)


def formats_of(text: str) -> tuple[Format | Literal["best"], ...]:
    """Parse `int8,float32` or `best`."""
    if text == BEST:
        return (BEST,)
    wanted = text.split(",")
    known = tuple(form for form in FORMATS if form in wanted)
    if len(known) != len(wanted):
        raise argparse.ArgumentTypeError(
            f"'{text}': give formats of {', '.join(FORMATS)}, separated by commas, or {BEST}"
        )
    return known
