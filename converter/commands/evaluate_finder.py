"""`edge-convert evaluate-finder`: which faces do converted finders find, and what do they take for one?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.commands.options import add_command, fraction
from converter.faces import faces_in
from converter.finder_evaluation import FinderReport, evaluate_finder, scenes_of
from converter.silence import quiet_tensorflow
from edge_agent.vision.faces.tflite import open_tflite_finder

if TYPE_CHECKING:
    import argparse

LEAST_SCORE = 0.02
"""Average precision ranks finds down to here; what is below says nothing."""
DEFAULT_MIN_SCORE, DEFAULT_SMALLEST_PX = 0.6, 24.0
"""Those of the agent's configuration."""


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "evaluate-finder",
        evaluate,
        summary="judge face finders on annotated scenes: average precision by size and overlap, false finds, time",
        example="edge-convert evaluate-finder models/faces.json --scenes annotations.json --split test --source street",
    )
    parser.add_argument("cards", type=Path, nargs="+", metavar="CARD.json", help="cards of converted finders")
    parser.add_argument("--scenes", type=Path, required=True, metavar="ANNOTATIONS", help="COCO annotations")
    parser.add_argument("--split", help="only pictures of this split")
    parser.add_argument("--source", help="only pictures of this source")
    parser.add_argument("--empty", type=Path, metavar="DIR", help="pictures without people")
    parser.add_argument(
        "--min-score",
        type=fraction,
        default=DEFAULT_MIN_SCORE,
        metavar="SCORE",
        help="faces.min_score at which recall and false finds are counted (default: %(default)g)",
    )
    parser.add_argument(
        "--smallest",
        type=float,
        default=DEFAULT_SMALLEST_PX,
        metavar="PX",
        help="faces.smallest_px, which chooses the size of the input (default: %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a finder on stdout")


def evaluate(options: argparse.Namespace) -> int:
    """Judge each finder on the same pictures."""
    scenes = scenes_of(options.scenes, split=options.split, source=options.source)
    empty = [face.path for face in faces_in(options.empty)] if options.empty else []
    for card in options.cards:
        with quiet_tensorflow():
            finder = open_tflite_finder(card, min_score=LEAST_SCORE, smallest_px=options.smallest)
        judged = evaluate_finder(finder.find, scenes, empty, min_score=options.min_score)
        if options.json:
            print(json.dumps({"card": str(card), **asdict(judged)}))
        else:
            _print(card, judged, min_score=options.min_score)
    return 0


def _print(card: Path, judged: FinderReport, *, min_score: float) -> None:
    print(f"{card}: {judged.pictures} pictures, {judged.faces} faces, {judged.median_ms:.1f} ms a picture")
    for name, value in judged.ap.items():
        _, overlap, smallest = name.split("_")
        print(f"  average precision, {smallest} and more, overlap {overlap} %: {value:.3f}")
    print(f"  at a score of {min_score:g}: {judged.recall:.3f} found, {judged.false_finds:.3f} false finds a picture")
    if judged.empty_pictures:
        what = f"{judged.empty_pictures} pictures without people"
        print(f"  in {what}: {judged.false_finds_in_empty:.3f} false finds a picture")
