"""Options shared by several commands."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, cast

from converter.labelled_faces import faces_of_scenes, labelled_faces_in
from converter.masks.outputs import IGNORE, SINGLE_OUTPUTS, LabelMapping, parse_labels
from converter.masks.overrides import ModelOverrides
from converter.masks.preprocessing import COLOURS, PIXEL_RANGES
from edge_agent.command_line import number
from edge_agent.domain import CLASSES, LABELS, Label
from edge_agent.vision.card import RESAMPLINGS

if TYPE_CHECKING:
    from converter.labelled_faces import LabelledFace

fraction = number(least=0, most=1)
"""The type of an option from 0 to 1."""
MIN_SIDE_PX = 16.0
"""On smaller faces a mask is not visible."""


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for properties that a float model does not always state."""
    group = parser.add_argument_group("of the float model (default: what its file states, else found by trials)")
    group.add_argument(
        "--labels",
        type=parse_labels,
        default=LabelMapping(),
        metavar="A,B[,C]",
        help=f"labels of the outputs, in order, or by name, such as 'Com Mascara=with_mask,...': "
        f"{', '.join(CLASSES)}, or {IGNORE}; the same for several outputs that mean the same",
    )
    group.add_argument(
        "--single-output",
        choices=SINGLE_OUTPUTS,
        help="meaning of a single output without limits in the file: probability of the second label, decided at 0.5, "
        "or logit, decided at 0",
    )
    group.add_argument(
        "--pixels",
        choices=PIXEL_RANGES,
        help="pixel range used in training, before any scaling layer of the model (type --pixels=-1..1)",
    )
    group.add_argument("--colours", choices=COLOURS, help="colour order used in training")
    group.add_argument(
        "--means", type=numbers, metavar="A,B,C", help="per-channel means to subtract, in the units of --pixels"
    )
    group.add_argument("--std", type=numbers, metavar="A,B,C", help="per-channel standard deviations to divide by")
    group.add_argument(
        "--resampling",
        choices=RESAMPLINGS,
        help="downscaling used in training: area (mean of pixels) or linear (cv2.resize, tf.image.resize)",
    )
    group.add_argument(
        "--margin",
        type=fraction,
        metavar="FRACTION",
        help="margin around the face used in training, as a fraction of the face (default: the value in "
        "run.json next to the model, or 0)",
    )
    group.add_argument(
        "--size", type=number(least=8, kind=int), metavar="PX", help="input size, if the file does not determine it"
    )


def overrides_of(options: argparse.Namespace) -> ModelOverrides:
    """The values of the options of `add_source_options`."""
    return ModelOverrides(
        labels=options.labels,
        single_output=options.single_output,
        pixels=options.pixels,
        colours=options.colours,
        means=options.means,
        deviations=options.std,
        resampling=options.resampling,
        margin_fraction=options.margin,
        size_px=options.size,
    )


def add_face_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the source of labelled faces."""
    places = parser.add_mutually_exclusive_group(required=True)
    places.add_argument("--folders", type=Path, metavar="DIR", help="one folder per label; each picture is one face")
    places.add_argument("--scenes", type=Path, metavar="ANNOTATIONS", help="COCO annotations; each box is a face")
    parser.add_argument("--split", help="of --scenes: only pictures of this split")
    parser.add_argument("--source", help="of --scenes: only pictures of this source")
    parser.add_argument(
        "--min-side",
        type=number(least=0),
        default=MIN_SIDE_PX,
        metavar="PX",
        help="of --scenes: minimum shorter side of a face in pixels (default: %(default)g)",
    )


def faces_of(options: argparse.Namespace) -> list[LabelledFace]:
    """The faces selected by the options of `add_face_options`.

    Raises:
        ConfigError: there are none, or they have no labels.
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


def numbers(text: str) -> tuple[float, ...]:
    """Parse `103.939,116.779,123.68`."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = (math.nan,)
    if not all(map(math.isfinite, values)):
        raise argparse.ArgumentTypeError(f"'{text}': give numbers, separated by commas")
    return values


def file_name(text: str) -> str:
    """Parse the name of files in a folder, without suffix."""
    if not text or Path(text).name != text or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a file; --output chooses the folder")
    return text


def share_above_zero(text: str) -> float:
    """Parse a number of 0..1 except 0: no finite number of faces shows that something never happens."""
    value = fraction(text)
    if value == 0:
        raise argparse.ArgumentTypeError("0 cannot be measured; give a small share, such as 0.01")
    return value
