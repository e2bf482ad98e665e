"""`edge-convert card`: writes the card of an existing TFLite file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.commands.options import add_command, add_source_options, stated_by
from converter.errors import GateError
from converter.labelled_faces import faces_in, faces_of_scenes
from converter.masks.calibration import MOST_PICTURES, read_pixels, spread
from converter.masks.choices import choose, described
from converter.masks.comparison import Answers, Comparison, answers_of_converted
from converter.masks.proof import make_card, prove
from converter.masks.tflite_editing import edited
from converter.masks.tflite_networks import open_tflite_network
from converter.masks.trials import as_labels
from converter.model_kind import TFLITE_SUFFIX
from converter.progress import print_message, with_progress, working
from converter.silence import quiet_tensorflow
from converter.writing import refuse_to_overwrite, write_together
from edge_agent.foreign_text import safe
from edge_agent.vision.card import card_path
from edge_agent.vision.classifier import open_classifier

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from converter.masks.choices import Choices
    from converter.masks.networks import Network
    from converter.masks.proof import Proof
    from edge_agent.vision.card import Resampling

EDITED = "-for-device"
"""Suffix of the file name if the model had to be edited."""


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "card",
        make,
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
        "--pictures", type=int, default=MOST_PICTURES, metavar="N", help="use at most N of them (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="output folder (default: that of the model)")
    parser.add_argument("--name", help="name of the files (default: that of the model)")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument("--force", action="store_true", help="write the card even if other settings are more accurate")


def make(options: argparse.Namespace) -> int:
    """Determine the choices, prove them in every runtime, then write."""
    stated = stated_by(options)
    with working("loading"):
        network, content = open_tflite_network(options.model, stated)
    pictures, labels = _pictures(options, network)
    choices = choose(network, stated, pictures, labels, force=options.force)
    _describe(network, choices)
    made = edited(content, choices.way, choices.outputs, network.outputs)
    name = options.name or (network.name if made == content else f"{network.name}{EDITED}")
    target = (options.output or options.model.parent) / f"{name}{TFLITE_SUFFIX}"
    metrics = {"format": "as given" if made == content else "edited"}
    with working("verifying"):
        card = make_card(made, network, choices, name=name, metrics=metrics)
        proof = prove(made, card, in_every_runtime=False)
    _describe_proof(proof)
    if made != content:
        print_message(f"{target.name} includes what a card cannot express; the device only resizes")
    if labels:
        pixels = pictures[choices.resampling]
        by_device = answers_of_converted(made, card, pixels)
        _compare(Comparison(_own_answers(network, choices, pixels), by_device, labels), options)
    files = {card_path(target): card.to_json().encode()}
    if not (target.exists() and target.read_bytes() == made):
        files = {target: made} | files
    if not options.overwrite:
        refuse_to_overwrite(files)
    write_together(files, prove=lambda: _open(target))
    for path in files:
        print(safe(str(path)))
    return 0


def _describe(network: Network, choices: Choices) -> None:
    print_message(f"{network.kind}, {network.width_px}x{network.height_px}, margin {network.margin_fraction:g}")
    for line in described(choices):
        print_message(line)
    if choices.right is None:
        print_message("nothing could be verified: give --calibration, faces in folders named after the labels")


def _describe_proof(proof: Proof) -> None:
    print_message(f"runs in {' and '.join(proof.proven)}")
    for runtime, failure in proof.failures.items():
        other = " or ".join(proof.proven)
        print_message(f"does not run in {runtime}: {failure.rstrip('.')}; only devices with {other} can load it")


def _pictures(
    options: argparse.Namespace, network: Network
) -> tuple[Mapping[Resampling, NDArray[np.uint8]], tuple[Any, ...]]:
    place = options.calibration
    if place is None:
        return {}, ()
    faces = faces_of_scenes(place, split="train") if place.is_file() else faces_in(place)
    unreadable: list[str] = []
    found = read_pixels(spread(faces, most=options.pictures), network, unreadable=unreadable)
    for sentence in unreadable:
        print_message(f"skipped: {sentence}")
    return found


def _own_answers(network: Network, choices: Choices, pixels: NDArray[np.uint8]) -> Answers:
    """The output of the file itself for each picture."""
    rows = with_progress(pixels, total=len(pixels), what="reading with the file")
    given = np.array([network.probabilities(choices.way.values(one)) for one in rows])
    return Answers(choices.labels, as_labels(given, choices.outputs))


def _compare(found: Comparison, options: argparse.Namespace) -> None:
    """Report the accuracy with the card compared with that of the file itself.

    Raises:
        GateError: the card makes it far worse; not with `--force`.
    """
    itself, by_device = found.source.right(found.truths), found.converted.right(found.truths)
    if itself.of:
        print_message(f"accuracy on labelled pictures: {by_device.hits} of {by_device.of} (file itself: {itself.hits})")
    print_message(f"agrees with the file itself on {found.same} of {found.pictures} pictures")
    if found.ruin and not options.force:
        raise GateError(
            f"{options.model}: with its card it reads {found.ruin} it does by itself; convert the model that it was "
            "made from, or --force"
        )


def _open(model: Path) -> None:
    """Load the written model as a device does."""
    with quiet_tensorflow():
        open_classifier(model)
