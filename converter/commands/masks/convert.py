"""`edge-convert convert` of a mask classifier: a TFLite model with its card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from converter.commands.options import told_of
from converter.labelled_faces import validation_faces
from converter.masks.calibration import choose_calibration_faces, read_calibration_set
from converter.masks.card_fitting import fitted_aloud
from converter.masks.comparison import compare
from converter.masks.conversion import to_tflite
from converter.masks.float_models import open_float_model
from converter.masks.plausibility import check_order_of_labels, settled_pixels
from converter.masks.proof import make_card, prove
from converter.progress import say
from converter.writing import write_together
from edge_agent.errors import ConfigError
from edge_agent.vision.card import card_path

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from converter.masks.calibration import CalibrationSet
    from converter.masks.float_models import FloatModel
    from edge_agent.vision.card import MaskCard


RUN_FACES = "faces.json"
"""Beside the model of a training run: what it learnt from and what judged it, as COCO."""


def convert_classifier(options: argparse.Namespace) -> int:
    """Convert, prove in every runtime, and only then write."""
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
