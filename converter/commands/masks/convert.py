"""`edge-convert convert` of a mask classifier: a TFLite model with its card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from converter.atomic_files import check_no_overwrite, write_atomically
from converter.commands.options import overrides_of
from converter.labelled_faces import validation_faces
from converter.masks.calibration import CalibrationSet, check_count, choose_calibration_faces, read_pixels
from converter.masks.card_fitting import fit_card
from converter.masks.comparison import predict
from converter.masks.float_models import apply_settings
from converter.masks.format_selection import (
    ConvertedModel,
    check_loss,
    convert_alternatives,
    convert_model,
    convert_smallest,
    format_table,
    select_best,
)
from converter.masks.model_settings import check_numbers, describe_network, determine_settings
from converter.masks.networks import open_network
from converter.masks.report import write_report
from converter.masks.verification import check_loadable
from converter.model_kind import TFLITE_SUFFIX
from converter.progress import print_message, progress_step
from edge_agent.errors import ConfigError
from edge_agent.foreign_text import safe
from edge_agent.host.allocator import release_free_memory
from edge_agent.vision.card import card_path

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from converter.labelled_faces import LabelledFace
    from converter.masks.float_models import FloatModel
    from converter.masks.model_settings import ModelSettings
    from converter.masks.networks import Network
    from converter.tflite_conversion import Format


RUN_FACES = "faces.json"
"""Beside a run's model: its faces for training and validation, as COCO annotations."""
BEST: Literal["best"] = "best"
MORE_PICTURES = 2
"""Factor by which to increase the number of calibration pictures if int8 loses too much."""


def convert_classifier(options: argparse.Namespace) -> int:
    """Convert, verify in every runtime, then write."""
    place, validation = _places(options)
    # Before the slow loading of the model, so that a mistyped folder is reported at once.
    with progress_step("choosing pictures"):
        chosen = choose_calibration_faces(place, max_count=options.pictures, excluded=validation)
    print_message(f"loading {options.model}")
    with progress_step("loading"):
        network = open_network(options.model, overrides_of(options))
        # Of the model that the network was made from.
        release_free_memory()
    name = options.name or network.name
    if not options.overwrite:
        check_no_overwrite(_targets(options, name))
    settings, calibration = _choose(options, network, place, chosen)
    advice = (
        "too few calibration pictures have labels; put them into folders named after the labels, with_mask/ and "
        "without_mask/, to measure the accuracy"
    )
    for line in describe_network(network, settings, calibration.labels, if_unverified=advice):
        print_message(line)
    with progress_step("preparing"):
        model = apply_settings(network, settings)

    def more() -> CalibrationSet:
        faces = choose_calibration_faces(place, max_count=options.pictures * MORE_PICTURES, excluded=validation)
        if len(faces) <= len(chosen):
            return calibration
        pixels, their_labels = read_pixels(faces, network, resamplings=(settings.resampling,))
        return CalibrationSet(pixels[settings.resampling], their_labels)

    converted = _make_all(options, model, name, calibration, more)
    files = _files(converted, options, name, validation)
    models = [path for path in files if path.suffix == TFLITE_SUFFIX]
    if options.report:
        files |= write_report(options.report, converted[0], calibration, settings, model)
    write_atomically(files, verify=lambda: check_loadable(models))
    for target in files:
        print(safe(str(target)))
    return 0


def _choose(
    options: argparse.Namespace, network: Network, place: Path, chosen: Sequence[LabelledFace]
) -> tuple[ModelSettings, CalibrationSet]:
    """Determine the settings; returns the faces with the chosen resampling, so that the others can be freed."""
    pictures, labels = read_pixels(chosen, network, reports_skipped=True)
    check_count(len(labels), place)
    settings = determine_settings(network, overrides_of(options), pictures, labels, force=options.force)
    return settings, CalibrationSet(pictures[settings.resampling], labels)


def _make_all(
    options: argparse.Namespace,
    model: FloatModel,
    name: str,
    calibration: CalibrationSet,
    more: Callable[[], CalibrationSet],
) -> list[ConvertedModel]:
    """Convert to every requested format, or the best; one that loses too much is compared with the alternatives."""
    source = predict(model.scores, calibration.pixels, model.settings.labels, what="classifying with the float model")
    check_numbers(options.model, source.scores)
    wants_best = BEST in options.formats

    def convert_to(output_format: Format, pictures: CalibrationSet = calibration) -> ConvertedModel:
        print_message(f"converting to {output_format}")
        result = convert_model(model, output_format, name=name, calibration=pictures, shown=calibration, source=source)
        _describe_result(result)
        return result

    if wants_best:
        converted = convert_smallest(convert_to, calibration)
    else:
        converted = [convert_to(output_format) for output_format in options.formats]
    alternatives = []
    if any(
        candidate.output_format == "int8" and (candidate.has_notable_loss or (wants_best and not candidate.is_accurate))
        for candidate in converted
    ):
        alternatives = convert_alternatives(convert_to, calibration, more())
        print_message(
            f"{converted[0].title} loses accuracy against its source; '--format best' takes the smallest accurate one:"
        )
        for line in format_table([*converted, *alternatives]):
            print_message(f"  {line}")
    if wants_best:
        converted = [select_best([*converted, *alternatives])]
        print_message(f"best: {converted[0].title}")
    if not options.force:
        for candidate in converted:
            check_loss(candidate, alternatives)
    return converted


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
    models = [_target(options, name, output_format) for output_format in options.formats]
    return [path for model in models for path in (model, card_path(model))]


def _target(options: argparse.Namespace, name: str, output_format: str) -> Path:
    """The path of a format: int8 or the best is the agent's default; others include the format in the name."""
    plain = output_format == "int8" or BEST in options.formats
    folder: Path = options.output
    return folder / (f"{name}.tflite" if plain else f"{name}.{output_format}.tflite")


def _files(
    converted: Sequence[ConvertedModel], options: argparse.Namespace, name: str, validation: Sequence[LabelledFace]
) -> dict[Path, bytes]:
    files: dict[Path, bytes] = {}
    for model in converted:
        card = model.card
        if validation:
            card = fit_card(card, model.content, validation, false_alarm_fraction=options.false_alarms)
        target = _target(options, name, model.output_format)
        files |= {target: model.content, card_path(target): card.to_json().encode()}
    return files


def _describe_result(converted: ConvertedModel) -> None:
    print_message(f"{len(converted.content)} bytes, runs in {' and '.join(converted.verification.passed)}")
    for runtime in converted.verification.missing:
        print_message(f"not tested in {runtime}, which is not installed")
    found = converted.comparison
    before, after = found.source.accuracy(found.truths), found.converted.accuracy(found.truths)
    if before.of:
        print_message(f"accuracy on labelled pictures: {after.hits} of {after.of} (source model: {before.hits})")
    print_message(
        f"agrees with the source model on {found.same} of {found.pictures} calibration pictures; "
        f"largest score difference {found.largest_score_difference:.3f}"
    )
