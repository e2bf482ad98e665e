"""`edge-train synthesise`: draws masks or beards on bare faces."""

from __future__ import annotations

import sys
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
        "synthesise",
        draw_on_faces,
        summary="draw masks or beards on bare faces",
        about="Draw masks on bare faces, worn properly or incorrectly, or beards, and write a labelled data set.",
        example="edge-train synthesise bare_faces --output drawn --detector face_detection_yunet_2023mar.onnx",
    )
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="pictures of bare faces, or a COCO file with without_mask"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="new folder")
    parser.add_argument(
        "--detector", type=Path, required=True, metavar="YUNET.onnx", help="detector of faces and landmarks"
    )
    parser.add_argument(
        "--draw",
        choices=("masks", "beards"),
        default="masks",
        help="masks, or beards, with which faces stay without_mask (default: masks)",
    )
    parser.add_argument(
        "--min-score",
        type=number(least=0, most=1),
        default=0.6,
        metavar="SCORE",
        help="minimum score of a face, 0..1 (default: 0.6)",
    )
    parser.add_argument(
        "--wrong-share",
        type=number(least=0, most=1),
        default=0.6,
        metavar="FRACTION",
        help="share of masks worn incorrectly, 0..1 (default: 0.6)",
    )
    parser.add_argument(
        "--max-pictures",
        type=number(least=1, kind=int),
        default=5000,
        metavar="N",
        help="maximum number of pictures (default: 5000)",
    )
    parser.add_argument(
        "--seed", type=number(least=0, kind=int), default=1, metavar="N", help="random seed (default: 1)"
    )


def draw_on_faces(options: argparse.Namespace) -> int:
    """Draw, and print the number of faces by label."""
    from training.masks.landmarks import LandmarkDetector
    from training.masks.synthesise import synthesise, with_beard, with_mask

    detector = LandmarkDetector(options.detector, min_score=options.min_score)
    done = synthesise(
        options.folder,
        output=options.output,
        detector=detector,
        draw=with_beard if options.draw == "beards" else with_mask(options.wrong_share),
        max_pictures=options.max_pictures,
        seed=options.seed,
    )
    for line in done.unreadable:
        print(safe(line), file=sys.stderr)
    if done.without_face:
        print(f"{done.without_face} pictures without a face were left out", file=sys.stderr)
    for label, count in done.written.items():
        print(f"{safe(label):<24}{count:>7}")
    print(safe(str(options.output)))
    return 0
