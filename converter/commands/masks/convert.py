"""`edge-convert convert` of a mask classifier: a TFLite model with its card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from converter.commands.options import stated_by
from converter.labelled_faces import validation_faces
from converter.masks.calibration import CalibrationSet, check_number, choose_calibration_faces, read_pixels
from converter.masks.card_fitting import fitted_aloud
from converter.masks.choices import choose, described
from converter.masks.comparison import answers_of
from converter.masks.float_models import settled
from converter.masks.making import Made, best_of, make, make_others, make_smallest, refuse_ruined, side_by_side
from converter.masks.networks import open_network
from converter.masks.report import write_report
from converter.model_kind import TFLITE_SUFFIX
from converter.progress import print_message, working
from converter.silence import quiet_tensorflow
from converter.writing import refuse_to_overwrite, write_together
from edge_agent.errors import ConfigError
from edge_agent.foreign_text import safe
from edge_agent.vision.card import card_path
from edge_agent.vision.classifier import open_classifier

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from converter.labelled_faces import LabelledFace
    from converter.masks.choices import Choices
    from converter.masks.float_models import FloatModel
    from converter.masks.networks import Network
    from converter.tflite_conversion import Format


RUN_FACES = "faces.json"
"""Beside a run's model: its faces for training and validation, as COCO annotations."""
BEST: Literal["best"] = "best"
MORE_PICTURES = 2
"""Factor by which to increase the number of calibration pictures if int8 loses too much."""


def convert_classifier(options: argparse.Namespace) -> int:
    """Convert, prove in every runtime, then write."""
    place, validation = _places(options)
    # Before the slow loading of the model, so that a mistyped folder is reported at once.
    with working("choosing pictures"):
        chosen = choose_calibration_faces(place, most=options.pictures, apart_from=validation)
    print_message(f"loading {options.model}")
    with working("loading"):
        network = open_network(options.model, stated_by(options))
    name = options.name or network.name
    if not options.overwrite:
        refuse_to_overwrite(_targets(options, name))
    choices, calibration = _choose(options, network, place, chosen)
    _describe(network, choices)
    with working("preparing"):
        model = settled(network, choices)

    def more() -> CalibrationSet:
        faces = choose_calibration_faces(place, most=options.pictures * MORE_PICTURES, apart_from=validation)
        if len(faces) <= len(chosen):
            return calibration
        pixels, their_labels = read_pixels(faces, network, resamplings=(choices.resampling,))
        return CalibrationSet(pixels[choices.resampling], their_labels)

    made = _make_all(options, model, name, calibration, more)
    files = _files(made, options, name, validation)
    models = [path for path in files if path.suffix == TFLITE_SUFFIX]
    if options.report:
        files |= write_report(options.report, made[0], calibration, choices, model)
    write_together(files, prove=lambda: _open_all(models))
    for target in files:
        print(safe(str(target)))
    return 0


def _choose(
    options: argparse.Namespace, network: Network, place: Path, chosen: Sequence[LabelledFace]
) -> tuple[Choices, CalibrationSet]:
    """Determine the choices; returns the faces with the chosen resampling, so that the others can be freed."""
    unreadable: list[str] = []
    pictures, labels = read_pixels(chosen, network, unreadable=unreadable)
    check_number(len(labels), place)
    for sentence in unreadable:
        print_message(f"skipped: {sentence}")
    choices = choose(network, stated_by(options), pictures, labels, force=options.force)
    return choices, CalibrationSet(pictures[choices.resampling], labels)


def _make_all(
    options: argparse.Namespace,
    model: FloatModel,
    name: str,
    calibration: CalibrationSet,
    more: Callable[[], CalibrationSet],
) -> list[Made]:
    """Convert to every requested format, or the best; one that loses too much is compared with the alternatives."""
    source = answers_of(model.scores, calibration.pixels, model.choices.labels, what="reading with the float model")
    wants_best = BEST in options.formats

    def make_one(form: Format, pictures: CalibrationSet = calibration) -> Made:
        print_message(f"converting to {form}")
        made = make(model, form, name=name, calibration=pictures, shown=calibration, source=source)
        _describe_made(made)
        return made

    made = make_smallest(make_one, calibration) if wants_best else [make_one(form) for form in options.formats]
    others = []
    if any(one.form == "int8" and (one.loss_is_worth_naming or (wants_best and not one.is_good)) for one in made):
        others = make_others(make_one, calibration, more())
        print_message(
            f"{made[0].title} loses accuracy against its source; '--format best' takes the smallest accurate one:"
        )
        for line in side_by_side([*made, *others]):
            print_message(f"  {line}")
    if wants_best:
        made = [best_of([*made, *others])]
        print_message(f"best: {made[0].title}")
    if not options.force:
        for one in made:
            refuse_ruined(one, others)
    return made


def _places(options: argparse.Namespace) -> tuple[Path, Sequence[LabelledFace]]:
    """The place of the calibration pictures, and the faces for validation."""
    of_run = options.model / RUN_FACES
    given = of_run if of_run.is_file() else None
    calibration_place, validation_place = options.calibration or given, options.validation or given
    if calibration_place is None:
        raise ConfigError("--calibration: required; a folder of faces to calibrate the int8 ranges")
    if options.false_alarms is not None and validation_place is None:
        raise ConfigError("--false-alarms: needs --validation, faces to count false alarms on")
    return calibration_place, validation_faces(validation_place) if validation_place else []


def _targets(options: argparse.Namespace, name: str) -> list[Path]:
    models = [_target(options, name, form) for form in options.formats]
    return [path for model in models for path in (model, card_path(model))]


def _target(options: argparse.Namespace, name: str, form: str) -> Path:
    """The path of a format: int8 or the best is the agent's default; others include the format in the name."""
    plain = form == "int8" or BEST in options.formats
    folder: Path = options.output
    return folder / (f"{name}.tflite" if plain else f"{name}.{form}.tflite")


def _files(
    made: Sequence[Made], options: argparse.Namespace, name: str, validation: Sequence[LabelledFace]
) -> dict[Path, bytes]:
    files: dict[Path, bytes] = {}
    for one in made:
        card = one.card
        if validation:
            card = fitted_aloud(card, one.content, validation, false_alarm_fraction=options.false_alarms)
        target = _target(options, name, one.form)
        files |= {target: one.content, card_path(target): card.to_json().encode()}
    return files


def _open_all(models: Sequence[Path]) -> None:
    """Load the written models as a device does."""
    with quiet_tensorflow():
        for path in models:
            open_classifier(path)


def _describe(network: Network, choices: Choices) -> None:
    print_message(f"{network.kind}, {network.width_px}x{network.height_px}, margin {network.margin_fraction:g}")
    for line in described(choices):
        print_message(line)
    if choices.right is None:
        print_message(
            "nothing could be verified: the calibration pictures have no labels; put them into folders named after the "
            "labels, with_mask/ and without_mask/, to measure the accuracy"
        )


def _describe_made(made: Made) -> None:
    print_message(f"{len(made.content)} bytes, runs in {' and '.join(made.proof.proven)}")
    for runtime in made.proof.missing:
        print_message(f"not tested in {runtime}, which is not installed")
    found = made.comparison
    before, after = found.source.right(found.truths), found.converted.right(found.truths)
    if before.of:
        print_message(f"accuracy on labelled pictures: {after.hits} of {after.of} (source model: {before.hits})")
    print_message(
        f"agrees with the source model on {found.same} of {found.pictures} calibration pictures; "
        f"largest score difference {found.largest_score_difference:.3f}"
    )
