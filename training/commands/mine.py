"""`edge-train mine`: labels the detections in annotated pictures, as training data for a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.command_line import add_command
from edge_agent.foreign_text import safe

if TYPE_CHECKING:
    import argparse


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "mine",
        write_detections,
        summary="write the detections in annotated pictures as training data",
        about="Run a face detector on the train split of annotated pictures and write its detections as a COCO file: "
        "faces with the detector's boxes and the annotated labels, and false detections as 'no_face' (hard negatives).",
        example="edge-train mine runs/mined --scenes scenes/annotations.json --empty runs/empty/train "
        "--detector models/faces.json --teacher yunet_n_320_320.onnx",
    )
    parser.add_argument("output", type=Path, metavar="DIR", help="output folder of annotations.json")
    parser.add_argument("--scenes", type=Path, required=True, metavar="ANNOTATIONS", help="COCO annotations of faces")
    parser.add_argument("--corrections", type=Path, metavar="YAML", help="corrected labels of annotations, by id")
    parser.add_argument(
        "--empty", type=Path, action="append", default=[], metavar="DIR", help="pictures without people; repeatable"
    )
    parser.add_argument(
        "--detector", type=Path, required=True, metavar="MODEL", help="a card, .tflite, .keras or YuNet file (.onnx)"
    )
    parser.add_argument(
        "--teacher", type=Path, required=True, metavar="MODEL", help="detector for faces without annotation"
    )


def write_detections(options: argparse.Namespace) -> int:
    """Write the detections, and print their number by label."""
    from training.faces.mine import mine_detections

    counts = mine_detections(
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
