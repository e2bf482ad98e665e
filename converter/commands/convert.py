"""`edge-convert convert`: how does a Keras classifier become a model that a device loads?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converter.calibration import MOST_PICTURES, CalibrationSet, read_calibration_set
from converter.commands.options import add_command, add_keras_options, pixels_of
from converter.conversion import FORMATS, Format, to_tflite
from converter.float_models import FloatModel, open_float_model
from converter.progress import say
from converter.proof import Proof, make_card, prove
from converter.writing import write_together
from edge_agent.vision.card import MaskCard, card_path


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "convert",
        convert,
        summary="convert a Keras mask classifier to TFLite, with its card",
        example="edge-convert convert mask_detector.model --labels with_mask,without_mask --calibration faces/ "
        "--output models/",
    )
    parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="HDF5 of Keras 2 or 3 (any suffix), .keras, SavedModel, Teachable Machine export, or a training run",
    )
    add_keras_options(parser)
    parser.add_argument(
        "--calibration",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="pictures of faces that int8 learns its ranges from, best in folders named after the labels, or COCO "
        "annotations (their train split); never those that the model is judged by",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where model and card go")
    parser.add_argument("--name", help="name of the files (default: that of the model)")
    parser.add_argument(
        "--formats",
        type=formats_of,
        default=("int8",),
        metavar="FORMAT[,FORMAT]",
        help=f"{', '.join(FORMATS)} (default: int8, which takes and gives uint8)",
    )
    parser.add_argument(
        "--pictures", type=int, default=MOST_PICTURES, metavar="N", help="use at most N of them (default: %(default)s)"
    )


def convert(options: argparse.Namespace) -> int:
    """Convert, prove in every runtime, and only then write."""
    say(f"loading {options.model}")
    model = open_float_model(
        options.model,
        labels=options.labels,
        pixels=pixels_of(options),
        margin_fraction=options.margin,
        size_px=options.size,
    )
    calibration = read_calibration_set(options.calibration, model, most=options.pictures)
    for sentence in calibration.unreadable:
        say(f"left out: {sentence}")
    _describe(model)
    name = options.name or model.path.stem
    files: dict[Path, bytes] = {}
    for form in options.formats:
        content, card, proof = _converted(model, form, calibration, name=name)
        target = options.output / (f"{name}.tflite" if form == "int8" else f"{name}.{form}.tflite")
        files |= {target: content, card_path(target): card.to_json().encode()}
        say(f"{form}: {len(content)} bytes, runs in {' and '.join(proof.proven)}")
        for runtime in proof.missing:
            say(f"{form}: not tried in {runtime}, which is not installed here")
    write_together(files)
    for target in files:
        print(target)
    return 0


def _converted(
    model: FloatModel, form: Format, calibration: CalibrationSet, *, name: str
) -> tuple[bytes, MaskCard, Proof]:
    say(f"converting to {form}")
    content = to_tflite(model, form, pixels=calibration.pixels)
    metrics = {"format": form, "calibration_pictures": len(calibration.paths)}
    card = make_card(content, model, name=name, metrics=metrics)
    return content, card, prove(content, card)


def _describe(model: FloatModel) -> None:
    assumed = " (assumed: the model has no scaling layer; --pixels says otherwise)" if model.pixels_are_assumed else ""
    say(
        f"{model.kind}, {model.width_px}x{model.height_px}, {', '.join(model.labels)}; "
        f"pixels {model.pixels}{assumed}, margin {model.margin_fraction:g}"
    )


def formats_of(text: str) -> tuple[Format, ...]:
    """Parse `int8,float32`."""
    wanted = text.split(",")
    known = tuple(form for form in FORMATS if form in wanted)
    if len(known) != len(wanted):
        raise argparse.ArgumentTypeError(f"'{text}': give formats of {', '.join(FORMATS)}, separated by commas")
    return known
