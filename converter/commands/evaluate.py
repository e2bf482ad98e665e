"""`edge-convert evaluate`: how right are these mask readers, or face finders, on these faces?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from converter.candidates import open_candidates
from converter.commands.evaluate_finder import add_finder_options, evaluate_finders_of
from converter.commands.options import add_command, add_face_options, add_keras_options, faces_of, labels_of, told_of
from converter.evaluation import Evaluation, Judged, evaluate
from converter.gate import GateError, Verdict, hold_against
from converter.metrics import Metrics, better_order
from converter.progress import say
from edge_agent.vision.tflite import RuntimeChoice

if TYPE_CHECKING:
    import argparse


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "evaluate",
        evaluate_models,
        summary="judge mask readers on labelled faces, or face finders on scenes, through the device's own code",
        example="edge-convert evaluate models/masks.tflite --against runs/masks --scenes annotations.json "
        "--split test --source street",
    )
    parser.add_argument(
        "models",
        type=Path,
        nargs="+",
        metavar="MODEL",
        help=".tflite files with their cards, or Keras models; with --finder see below",
    )
    add_face_options(parser)
    parser.add_argument(
        "--only",
        type=labels_of,
        default=(),
        metavar="A,B",
        help="judge on these labels alone; scores are shared out among them (default: all that model and faces have)",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="FLOAT",
        help="the float model that the others were made from: exit with 3 when recall of without_mask falls by more "
        "than 1 point, or labels stand in the wrong order",
    )
    add_keras_options(parser)
    parser.add_argument("--runtime", choices=get_args(RuntimeChoice), default="auto", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")
    add_finder_options(parser)


def evaluate_models(options: argparse.Namespace) -> int:
    """Judge, print, and end with 3 where the gate stays closed."""
    if options.finder:
        return evaluate_finders_of(options)
    faces = faces_of(options)
    against = [options.against] if options.against else []
    candidates = open_candidates([*options.models, *against], told_of(options), runtime=options.runtime)
    evaluation = evaluate(candidates, faces, only=options.only, with_bands=options.scenes is not None)
    for sentence in evaluation.unreadable:
        say(f"left out: {sentence}")
    verdict = hold_against(evaluation) if against else None
    if options.json:
        print(json.dumps(evaluation.as_json() | ({"gate": verdict.as_json()} if verdict else {})))
    else:
        _print_evaluation(evaluation, verdict)
    if verdict and verdict.objections:
        raise GateError("\n  ".join(("the gate stays closed", *verdict.objections)))
    return 0


def _print_evaluation(evaluation: Evaluation, verdict: Verdict | None) -> None:
    for judged in evaluation.judged:
        print(f"{judged.candidate.path} ({judged.candidate.runtime})")
        _print_metrics(judged.metrics)
        _print_bands(judged)
        if better_order(judged.metrics):
            print("  the labels seem to stand in the wrong order")
        print()
    for one in evaluation.agreements:
        print(
            f"{one.first} and {one.second} agree on {one.same} of {one.faces} faces "
            f"({one.same / max(1, one.faces):.2%}); largest difference of a score {one.largest_score_difference:.3f}"
        )
    if verdict and not verdict.objections:
        print(f"the gate is open: recall holds against {verdict.against}")


def _print_metrics(metrics: Metrics) -> None:
    error = "-" if metrics.calibration_error is None else f"{metrics.calibration_error:.3f}"
    print(f"  {metrics.faces} faces, read right {metrics.accuracy}, calibration error {error}")
    width = max(len(label) for label in metrics.labels)
    print(f"  {'':{width}}  {'recall':22} {'precision':22} read as {', '.join(metrics.labels)}")
    for label in metrics.labels:
        counts = ", ".join(str(metrics.confusion[label][read]) for read in metrics.labels)
        recall, precision = metrics.recall(label), metrics.precision(label)
        print(f"  {label:{width}}  {recall!s:22} {precision!s:22} {counts}")


def _print_bands(judged: Judged) -> None:
    for name, metrics in judged.bands.items():
        recalls = ", ".join(f"{label} {metrics.recall(label)}" for label in metrics.labels if metrics.recall(label).of)
        print(f"  {name:>6} px: {metrics.faces} faces, read right {metrics.accuracy}; recall {recalls}")
