"""`edge-train mine`: labels the detections in annotated pictures, as training data for a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.foreign_text import safe
from training.commands.options import add_command

if TYPE_CHECKING:
    import argparse


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "mine",
        mine_detections,
        summary="label what a detector finds in annotated pictures",
        about="Runs a face detector over the train split of annotated pictures, writes its detections as a COCO file: "
        "faces with the detector's own boxes and the annotated label, and what is none as 'no_face' (hard negatives).",
        example="edge-train mine runs/mined --scenes scenes/annotations.json --empty runs/empty/learning "
        "--detector models/faces.json --teacher yunet_n_320_320.onnx",
    )
    parser.add_argument("output", type=Path, metavar="DIR", help="gets annotations.json")
    parser.add_argument("--scenes", type=Path, required=True, metavar="ANNOTATIONS", help="COCO annotations of faces")
    parser.add_argument("--corrections", type=Path, metavar="YAML", help="other labels for some annotations, by id")
    parser.add_argument(
        "--empty", type=Path, action="append", default=[], metavar="DIR", help="pictures without people; repeatable"
    )
    parser.add_argument(
        "--detector", type=Path, required=True, metavar="MODEL", help="a card, .tflite, .keras or YuNet file (.onnx)"
    )
    parser.add_argument(
        "--teacher", type=Path, required=True, metavar="MODEL", help="finds faces without an annotation"
    )


def mine_detections(options: argparse.Namespace) -> int:
    """Write the detections, and print their number by label."""
    from training.faces.mine import mine

    counts = mine(
        options.output,
        scenes=options.scenes,
        corrections=options.corrections,
        empty=options.empty,
        detector=options.detector,
        teacher=options.teacher,
    )
    print(
        safe(f"{options.output / 'annotations.json'}: {', '.join(f'{count} {name}' for name, count in counts.items())}")
    )
    return 0
