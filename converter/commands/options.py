"""Options: what do several commands have in common?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from converter.labelled_faces import faces_of_scenes, labelled_faces_in
from converter.masks.float_models import PIXEL_RANGES, PixelRange, Told
from edge_agent.domain import LABELS, Label

if TYPE_CHECKING:
    from collections.abc import Callable

    from converter.labelled_faces import LabelledFace

MIN_SIDE_PX = 16.0
"""Smaller faces tell nobody whether there is a mask."""


def add_command(
    commands: Any, name: str, action: Callable[[argparse.Namespace], int], *, summary: str, example: str
) -> argparse.ArgumentParser:
    """Add a command; `--help` ends with the example."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".", epilog=f"example: {example}"
    )
    parser.set_defaults(action=action)
    return parser


def add_keras_options(parser: argparse.ArgumentParser) -> None:
    """Add what a Keras file itself does not always say."""
    parser.add_argument(
        "--labels",
        type=labels_of,
        default=(),
        metavar="A,B[,C]",
        help=f"what the Keras model's outputs mean, in their order: {', '.join(LABELS)}",
    )
    parser.add_argument(
        "--pixels",
        choices=("detect", *PIXEL_RANGES),
        default="detect",
        help="range of the pixels that the Keras model was trained on, before any scaling layer of its own "
        "(default: detect, by such a layer; -1..1 where there is none)",
    )
    parser.add_argument(
        "--margin",
        type=fraction,
        metavar="FRACTION",
        help="margin around the face that the Keras model was trained with, as a fraction of the face "
        "(default: what run.json beside the model says, or 0)",
    )
    parser.add_argument(
        "--size", type=int, metavar="PX", help="side of the input, where the Keras model leaves it open"
    )


def told_of(options: argparse.Namespace) -> Told:
    """What the options of `add_keras_options` say."""
    return Told(
        labels=options.labels,
        pixels=None if options.pixels == "detect" else cast("PixelRange", options.pixels),
        margin_fraction=options.margin,
        size_px=options.size,
    )


def add_face_options(parser: argparse.ArgumentParser) -> None:
    """Add where labelled faces come from."""
    places = parser.add_mutually_exclusive_group(required=True)
    places.add_argument(
        "--folders", type=Path, metavar="DIR", help="one folder of pictures per label; each whole picture is a face"
    )
    places.add_argument("--scenes", type=Path, metavar="ANNOTATIONS", help="COCO annotations; each box is a face")
    parser.add_argument("--split", help="of --scenes: only pictures of this split")
    parser.add_argument("--source", help="of --scenes: only pictures of this source")
    parser.add_argument(
        "--min-side",
        type=float,
        default=MIN_SIDE_PX,
        metavar="PX",
        help="of --scenes: only faces whose shorter side has at least so many pixels (default: %(default)g)",
    )


def faces_of(options: argparse.Namespace) -> list[LabelledFace]:
    """The faces that the options of `add_face_options` choose.

    Raises:
        ConfigError: there are none, or they say nothing.
    """
    if options.folders:
        return labelled_faces_in(options.folders)
    return faces_of_scenes(options.scenes, split=options.split, source=options.source, min_side_px=options.min_side)


def labels_of(text: str) -> tuple[Label, ...]:
    """Parse `with_mask,without_mask`."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in LABELS]
    if unknown or len(set(names)) != len(names) or not names:
        raise argparse.ArgumentTypeError(f"'{text}': give different labels of {', '.join(LABELS)}, separated by commas")
    return tuple(cast("Label", name) for name in names)


def share_above_zero(text: str) -> float:
    """Parse a number of 0..1 that is not 0: no finite number of faces shows that something never happens."""
    value = fraction(text)
    if value == 0:
        raise argparse.ArgumentTypeError("0 cannot be measured; give a small share, such as 0.01")
    return value


def fraction(text: str) -> float:
    """Parse a number of 0..1."""
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from error
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not within 0..1")
    return value
