"""`edge-convert convert`: converts a model to TFLite and writes its card."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Literal

from converter.atomic_files import check_writable
from converter.commands.faces.convert import add_detector_options, convert_detector
from converter.commands.masks.convert import BEST, convert_classifier
from converter.commands.options import add_source_options, file_name, share_above_zero
from converter.masks.calibration import MAX_PICTURES
from converter.model_kind import is_detector_run
from converter.tflite_conversion import FORMATS, Format
from edge_agent.command_line import add_command, number


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "convert",
        convert,
        summary="convert a mask classifier of Keras, TensorFlow or PyTorch (ONNX), or a run of 'edge-train', to TFLite "
        "with a card",
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
        help="face pictures for int8 calibration, preferably in folders named after the labels, or COCO "
        "annotations (their train split); never test pictures (default: faces.json of a training run)",
    )
    parser.add_argument(
        "--validation",
        type=Path,
        metavar="PLACE",
        help="labelled faces, as folders or COCO annotations (their validation split), to fit the card's temperature; "
        "never the calibration pictures (default: faces.json of a training run)",
    )
    parser.add_argument(
        "--false-alarms",
        type=share_above_zero,
        metavar="FRACTION",
        help="with --validation, also choose thresholds so that at most this share of properly masked faces gets each "
        "other label",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="output folder for model and card")
    parser.add_argument("--name", type=file_name, help="name of the files (default: that of the model)")
    parser.add_argument(
        "--format",
        "--formats",
        dest="formats",
        type=formats_of,
        default=("int8",),
        metavar="FORMAT[,FORMAT]",
        help=f"{', '.join(FORMATS)}, or best: the smallest within half a point of the source's accuracy "
        "(default: int8, with uint8 input and output)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument(
        "--force",
        action="store_true",
        help="write the model even if it is less accurate than its source or than other settings",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FOLDER",
        help="also write a page of pictures with the results of source and converted model",
    )
    parser.add_argument(
        "--pictures",
        type=number(least=1, kind=int),
        default=MAX_PICTURES,
        metavar="N",
        help="use at most N calibration pictures (default: %(default)s)",
    )
    add_detector_options(parser)


def convert(options: argparse.Namespace) -> int:
    """Convert a detector run or a classifier."""
    check_writable(options.output)
    if options.report:
        check_writable(options.report)
    return convert_detector(options) if is_detector_run(options.model) else convert_classifier(options)


def formats_of(text: str) -> tuple[Format | Literal["best"], ...]:
    """Parse `int8,float32` or `best`."""
    if text == BEST:
        return (BEST,)
    wanted = text.split(",")
    known = tuple(output_format for output_format in FORMATS if output_format in wanted)
    if len(known) != len(wanted):
        raise argparse.ArgumentTypeError(
            f"'{text}': give formats of {', '.join(FORMATS)}, separated by commas, or {BEST}"
        )
    return known
