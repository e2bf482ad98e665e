"""`edge-convert finder`: a trained face finder becomes int8 networks for the device, with their card."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.commands.options import add_command
from converter.finders import (
    InputSize,
    calibration_pictures,
    finder_files,
    make_finder_card,
    open_trained_finder,
    to_finder_tflite,
)
from converter.progress import say
from converter.writing import write_together

if TYPE_CHECKING:
    from collections.abc import Sequence

SIDES, LARGEST_STRIDE, LARGEST_PX = 2, 32, 2048
DEFAULT_SIZES = "512x384,384x512"
DEFAULT_SMALLEST_PX = 16.0
"""Faces of this size were found reliably by the finders tried, whatever the size of the input."""


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "finder",
        convert_finder,
        summary="convert a face finder of 'edge-train faces' to int8, a network for each size of input",
        example="edge-convert finder runs/faces/model.keras --calibration scenes/annotations.json "
        "--output models/faces.json",
    )
    parser.add_argument("model", type=Path, metavar="MODEL.keras", help="of a run, with its run.json beside it")
    parser.add_argument(
        "--calibration",
        type=Path,
        required=True,
        metavar="PLACE",
        help="pictures that tell int8 its ranges: a folder, or COCO annotations, of which the train split counts",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="CARD.json", help="networks go beside it")
    parser.add_argument(
        "--sizes",
        type=sizes_of,
        default=sizes_of(DEFAULT_SIZES),
        metavar="WxH,...",
        help=f"sizes of the input, multiples of 32 (default: {DEFAULT_SIZES})",
    )
    parser.add_argument(
        "--smallest",
        type=float,
        default=DEFAULT_SMALLEST_PX,
        metavar="PX",
        help="shorter side of a face in the input from which it is found reliably; the agent chooses the size of "
        "input by it (default: %(default)g)",
    )


def convert_finder(options: argparse.Namespace) -> int:
    """Convert every size, prove them in every runtime, and only then write them together."""
    finder = open_trained_finder(options.model)
    pictures = calibration_pictures(options.calibration)
    contents = {}
    for size in options.sizes:
        say(f"converting {size.width}x{size.height} ...")
        contents[size] = to_finder_tflite(finder, size, pictures)
    card = make_finder_card(finder, contents, name=options.output.stem, smallest_px=options.smallest)
    write_together(finder_files(card, contents, card_file=options.output))
    print(options.output)
    return 0


def sizes_of(text: str) -> Sequence[InputSize]:
    """Parse `512x384,384x512`."""
    sizes = []
    for part in text.split(","):
        numbers = [int(side) for side in part.strip().split("x") if side.isdecimal()]
        fits = all(0 < side <= LARGEST_PX and side % LARGEST_STRIDE == 0 for side in numbers)
        if len(numbers) != SIDES or not fits:
            raise argparse.ArgumentTypeError(
                f"'{part}': write a size as 512x384, width and height in pixels, both multiples of {LARGEST_STRIDE}"
            )
        sizes.append(InputSize(*numbers))
    return sizes
