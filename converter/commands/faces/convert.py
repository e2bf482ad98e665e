"""`edge-convert convert` of a detector's run: int8 networks, one per input size, and their card."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from converter.atomic_files import check_no_overwrite, write_atomically
from converter.faces.conversion import InputSize, calibration_pictures, open_trained_detector, to_detector_tflite
from converter.faces.verification import check_name, detector_files, make_detector_card, network_file
from converter.model_kind import CARD_SUFFIX
from converter.progress import print_message
from edge_agent.command_line import number
from edge_agent.errors import ConfigError
from edge_agent.foreign_text import safe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SIDES, MAX_STRIDE, MAX_PX = 2, 32, 2048
DEFAULT_SIZES = "448x256,256x448,448x352,352x448,640x384,384x640"
"""For cameras of 640x360, 640x480 and 1280x720, landscape and portrait: the agent takes the smallest that is enough."""
DEFAULT_SMALLEST_PX = 16.0
"""All detectors tried find faces of this size reliably, whatever the input size."""
RUN_SCENES = "scenes.json"
"""Beside a run's model: its pictures for training and validation, as COCO annotations."""


def add_detector_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for detectors."""
    group = parser.add_argument_group("of a run of 'edge-train faces'")
    group.add_argument(
        "--sizes",
        type=sizes_of,
        default=sizes_of(DEFAULT_SIZES),
        metavar="WxH,...",
        help=f"input sizes, multiples of 32; one network per size (default: {DEFAULT_SIZES})",
    )
    group.add_argument(
        "--smallest",
        type=number(least=1),
        default=DEFAULT_SMALLEST_PX,
        metavar="PX",
        help="shorter side, in input pixels, from which faces are detected reliably; the agent chooses the size of "
        "the input by it (default: %(default)g)",
    )


def convert_detector(options: argparse.Namespace) -> int:
    """Convert every size, verify them in every runtime, then write them together."""
    detector = open_trained_detector(options.model)
    of_run = detector.folder / RUN_SCENES
    place: Path | None = options.calibration or (of_run if of_run.is_file() else None)
    if place is None:
        raise ConfigError("--calibration: required; pictures of scenes to calibrate the int8 ranges")
    name = options.name or detector.name
    check_name(name)
    if not options.overwrite:
        networks = [network_file(name, size) for size in options.sizes]
        check_no_overwrite(options.output / file for file in (f"{name}{CARD_SUFFIX}", *networks))
    pictures = calibration_pictures(place)
    contents = {}
    for size in options.sizes:
        print_message(f"converting {size.width}x{size.height}")
        contents[size] = to_detector_tflite(detector, size, pictures)
    card = make_detector_card(detector, contents, name=name, smallest_px=options.smallest)
    files = detector_files(card, list(contents.values()), folder=options.output)
    write_atomically(files)
    for path in files:
        print(safe(str(path)))
    return 0


def sizes_of(text: str) -> Sequence[InputSize]:
    """Parse `512x384,384x512`."""
    sizes = []
    for part in text.split(","):
        numbers = [int(side) for side in part.strip().split("x") if side.isdecimal()]
        fits = all(0 < side <= MAX_PX and side % MAX_STRIDE == 0 for side in numbers)
        if len(numbers) != SIDES or not fits:
            raise argparse.ArgumentTypeError(
                f"'{part}': write a size as 512x384, width and height in pixels, both multiples of {MAX_STRIDE}"
            )
        sizes.append(InputSize(*numbers))
    return sizes
