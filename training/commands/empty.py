"""`edge-train empty`: collects pictures without people, for training and for counting false detections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.command_line import add_command, number
from edge_agent.foreign_text import safe

if TYPE_CHECKING:
    import argparse


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "empty",
        write_pictures,
        summary="gather pictures without people",
        about="Gather pictures without people: samples of Python packages, synthetic textures, pictures of objects "
        "and animals, and parts of scenes without a face. Write three folders: train and validation (of the scenes' "
        "train split), and test (of their test split).",
        example="edge-train empty runs/empty --scenes scenes/annotations.json --detector yunet_n_320_320.onnx",
    )
    parser.add_argument("output", type=Path, metavar="DIR", help="new folder")
    parser.add_argument("--scenes", type=Path, required=True, metavar="ANNOTATIONS", help="COCO annotations of faces")
    parser.add_argument(
        "--detector",
        type=Path,
        required=True,
        metavar="MODEL",
        help="detector for faces without annotation: .onnx or .keras",
    )
    parser.add_argument(
        "--pictures", type=Path, action="append", default=[], metavar="DIR", help="pictures without people; repeatable"
    )
    parser.add_argument(
        "--uncurated",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="pictures that may show faces, for training only; those with detections are left out; repeatable",
    )
    parser.add_argument(
        "--max-backgrounds",
        type=number(least=0, kind=int),
        default=250,
        metavar="N",
        help="maximum number of parts of scenes in each folder (default: 250)",
    )
    parser.add_argument(
        "--seed", type=number(least=0, kind=int), default=1, metavar="N", help="random seed (default: 1)"
    )


def write_pictures(options: argparse.Namespace) -> int:
    """Write the pictures, and print the number of each kind."""
    from training.faces.empty import write_empty

    counts = write_empty(
        options.output,
        scenes=options.scenes,
        folders=options.pictures,
        uncurated=options.uncurated,
        detector=options.detector,
        max_backgrounds=options.max_backgrounds,
        seed=options.seed,
    )
    for split, kinds in counts.items():
        print(safe(f"{options.output / split}: {', '.join(f'{count} {kind}s' for kind, count in kinds.items())}"))
    return 0
