"""`edge-convert convert`: how does a Keras model become one that a device loads?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.calibration import MOST_PICTURES, choose_calibration_faces, read_calibration_set
from converter.card_fitting import fitted_aloud
from converter.commands.convert_finder import add_finder_options, convert_finder
from converter.commands.options import add_command, add_keras_options, share_above_zero, told_of
from converter.comparison import compare
from converter.conversion import FORMATS, Format, to_tflite
from converter.faces import validation_faces
from converter.finders import is_finder_run
from converter.float_models import open_float_model
from converter.plausibility import check_order_of_labels, settled_pixels
from converter.progress import say
from converter.proof import make_card, prove
from converter.writing import write_together
from edge_agent.errors import ConfigError
from edge_agent.vision.card import card_path

if TYPE_CHECKING:
    from converter.calibration import CalibrationSet
    from converter.float_models import FloatModel
    from edge_agent.vision.card import MaskCard


RUN_FACES = "faces.json"
"""Beside the model of a training run: what it learnt from and what judged it, as COCO."""


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
        help="HDF5 of Keras 2 or 3 (any suffix), .keras, SavedModel, Teachable Machine export, or a training run",
    )
    add_keras_options(parser)
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="PLACE",
        help="pictures that int8 learns its ranges from: of faces, best in folders named after the labels, or COCO "
        "annotations (their train split); never those that the model is judged by (default: what a training run says)",
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
        "--formats",
        type=formats_of,
        default=("int8",),
        metavar="FORMAT[,FORMAT]",
        help=f"{', '.join(FORMATS)} (default: int8, which takes and gives uint8)",
    )
    parser.add_argument(
        "--pictures", type=int, default=MOST_PICTURES, metavar="N", help="use at most N of them (default: %(default)s)"
    )
    add_finder_options(parser)


def convert(options: argparse.Namespace) -> int:
    """Convert, prove in every runtime, and only then write."""
    if is_finder_run(options.model):
        return convert_finder(options)
    of_run = options.model / RUN_FACES
    given = of_run if of_run.is_file() else None
    calibration_place, validation_place = options.calibration or given, options.validation or given
    if calibration_place is None:
        raise ConfigError("--calibration: needed, a folder of faces that int8 learns its ranges from")
    if options.false_alarms is not None and validation_place is None:
        raise ConfigError("--false-alarms: needs --validation, faces to count false alarms on")
    validation = validation_faces(validation_place) if validation_place else []
    # Before the model, which takes a while to load: a mistyped folder shall not be told after that.
    chosen = choose_calibration_faces(calibration_place, most=options.pictures, apart_from=validation)
    say(f"loading {options.model}")
    model = open_float_model(options.model, told_of(options))
    calibration = read_calibration_set(calibration_place, chosen, model)
    for sentence in calibration.unreadable:
        say(f"left out: {sentence}")
    model = settled_pixels(model, calibration)
    check_order_of_labels(model, calibration)
    _describe(model)
    name = options.name or model.name
    files: dict[Path, bytes] = {}
    for form in options.formats:
        say(f"converting to {form}")
        content = to_tflite(model, form, pixels=calibration.pixels)
        card = make_card(content, model, name=name, metrics={"format": form, "calibration_pictures": len(calibration)})
        if validation:
            card = fitted_aloud(card, content, validation, false_alarm_fraction=options.false_alarms)
        _prove_aloud(content, card, model, calibration)
        target = options.output / (f"{name}.tflite" if form == "int8" else f"{name}.{form}.tflite")
        files |= {target: content, card_path(target): card.to_json().encode()}
    write_together(files)
    for target in files:
        print(target)
    return 0


def _prove_aloud(content: bytes, card: MaskCard, model: FloatModel, calibration: CalibrationSet) -> None:
    proof = prove(content, card)
    say(f"{len(content)} bytes, runs in {' and '.join(proof.proven)}")
    for runtime in proof.missing:
        say(f"not tried in {runtime}, which is not installed here")
    found = compare(content, card, model, calibration)
    say(
        f"reads {found.same} of {found.pictures} calibration pictures as the float model does; "
        f"largest difference of a score {found.largest_score_difference:.3f}"
    )


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
