"""`edge-convert card`: writes the card of an existing TFLite file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.atomic_files import check_no_overwrite, check_writable, write_atomically
from converter.commands.options import add_source_options, file_name, overrides_of
from converter.errors import AccuracyError
from converter.labelled_faces import faces_in, faces_of_scenes
from converter.masks.calibration import MAX_PICTURES, read_pixels, select_evenly
from converter.masks.comparison import Comparison, Predictions, predict_converted
from converter.masks.model_settings import describe_network, determine_settings
from converter.masks.tflite_editing import adapted_for_device
from converter.masks.tflite_networks import open_tflite_network
from converter.masks.trials import to_label_probabilities
from converter.masks.verification import check_loadable, make_card, verify
from converter.model_kind import TFLITE_SUFFIX
from converter.progress import print_message, progress_step, with_progress
from edge_agent.command_line import add_command, number
from edge_agent.foreign_text import safe
from edge_agent.vision.card import card_path

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from converter.masks.model_settings import ModelSettings
    from converter.masks.networks import Network
    from converter.masks.verification import Verification
    from edge_agent.vision.card import Resampling

EDITED = "-for-device"
"""Suffix of the file name if the model had to be edited."""


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "card",
        write_card,
        summary="write the card of an existing .tflite mask classifier, from Edge Impulse, Teachable Machine or "
        "TFLite Model Maker",
        example="edge-convert card model.tflite --labels mask=with_mask,face=without_mask --calibration faces/",
    )
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="a .tflite file, or the zip of Teachable Machine with one in it"
    )
    add_source_options(parser)
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="PLACE",
        help="faces in folders named after the labels, or COCO annotations (their train split), to determine "
        "preprocessing and labels",
    )
    parser.add_argument(
        "--pictures",
        type=number(least=1, kind=int),
        default=MAX_PICTURES,
        metavar="N",
        help="use at most N calibration pictures (default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="output folder (default: that of the model)")
    parser.add_argument("--name", type=file_name, help="name of the files (default: that of the model)")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument("--force", action="store_true", help="write the card even if other settings are more accurate")


def write_card(options: argparse.Namespace) -> int:
    """Determine the settings, verify them in every runtime, then write."""
    overrides = overrides_of(options)
    folder = options.output or options.model.parent
    check_writable(folder)
    with progress_step("loading"):
        network, content = open_tflite_network(options.model, overrides)
    pictures, labels = _pictures(options, network)
    settings = determine_settings(network, overrides, pictures, labels, force=options.force)
    advice = "give --calibration, faces in folders named after the labels"
    for line in describe_network(network, settings, labels, if_unverified=advice):
        print_message(line)
    adapted = adapted_for_device(
        content,
        settings.preprocessing,
        settings.outputs,
        network.outputs,
        scores=network.scores,
        single_output=settings.single_output,
    )
    name = options.name or (network.name if adapted == content else f"{network.name}{EDITED}")
    target = folder / f"{name}{TFLITE_SUFFIX}"
    metrics = {"format": "as given" if adapted == content else "edited"}
    with progress_step("verifying"):
        card = make_card(adapted, network, settings, name=name, metrics=metrics)
        verification = verify(adapted, card, in_every_runtime=False)
    _describe_verification(verification)
    if adapted != content:
        print_message(f"{target.name} includes what a card cannot express; the device only resizes")
    if labels:
        pixels = pictures[settings.resampling]
        by_device = predict_converted(adapted, card, pixels)
        _compare(Comparison(_predict_file(network, settings, pixels), by_device, labels), options)
    files = {card_path(target): card.to_json().encode()}
    if not (target.exists() and target.read_bytes() == adapted):
        files = {target: adapted} | files
    if not options.overwrite:
        check_no_overwrite(files)
    write_atomically(files, verify=lambda: check_loadable([target]))
    for path in files:
        print(safe(str(path)))
    return 0


def _describe_verification(verification: Verification) -> None:
    print_message(f"runs in {' and '.join(verification.passed)}")
    for runtime, failure in verification.failures.items():
        other = " or ".join(verification.passed)
        print_message(f"does not run in {runtime}: {failure.rstrip('.')}; only devices with {other} can load it")


def _pictures(
    options: argparse.Namespace, network: Network
) -> tuple[Mapping[Resampling, NDArray[np.uint8]], tuple[Any, ...]]:
    place = options.calibration
    if place is None:
        return {}, ()
    faces = faces_of_scenes(place, split="train") if place.is_file() else faces_in(place)
    return read_pixels(select_evenly(faces, max_count=options.pictures), network, reports_skipped=True)


def _predict_file(network: Network, settings: ModelSettings, pixels: NDArray[np.uint8]) -> Predictions:
    """The output of the file itself for each picture."""
    rows = with_progress(pixels, total=len(pixels), what="classifying with the file")
    outputs = np.array([network.probabilities(settings.preprocessing.values(picture)) for picture in rows])
    return Predictions(settings.labels, to_label_probabilities(outputs, settings.outputs, settings.single_output))


def _compare(found: Comparison, options: argparse.Namespace) -> None:
    """Report the accuracy with the card compared with that of the file itself.

    Raises:
        AccuracyError: the card makes it far worse; not with `--force`.
    """
    itself, by_device = found.source.accuracy(found.truths), found.converted.accuracy(found.truths)
    if itself.of:
        print_message(f"accuracy on labelled pictures: {by_device.hits} of {by_device.of} (file itself: {itself.hits})")
    print_message(f"agrees with the file itself on {found.same} of {found.pictures} pictures")
    if found.unacceptable_loss and not options.force:
        raise AccuracyError(
            f"{options.model}: with its card, {found.unacceptable_loss} compared with the file itself; convert the "
            "model that it was made from, or use --force"
        )
