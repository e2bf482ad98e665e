"""`edge-convert evaluate` of mask classifiers: metrics on labelled faces, and the gate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from converter.commands.options import faces_of, stated_by
from converter.errors import GateError
from converter.masks.candidates import open_candidates
from converter.masks.choices import described
from converter.masks.evaluation import Evaluation, Judged, evaluate
from converter.masks.gate import Verdict, hold_against
from converter.masks.metrics import Metrics, better_order
from converter.progress import print_message
from edge_agent.foreign_text import safe

if TYPE_CHECKING:
    import argparse


def evaluate_classifiers(options: argparse.Namespace) -> int:
    """Evaluate and print; returns 3 if the gate fails."""
    faces = faces_of(options)
    against = [options.against] if options.against else []
    candidates = open_candidates([*options.models, *against], stated_by(options), faces=faces, runtime=options.runtime)
    evaluation = evaluate(candidates, faces, only=options.only, with_bands=options.scenes is not None)
    for sentence in evaluation.unreadable:
        print_message(f"skipped: {sentence}")
    verdict = hold_against(evaluation) if against else None
    if options.json:
        print(json.dumps(evaluation.as_json() | ({"gate": verdict.as_json()} if verdict else {})))
    else:
        _print_evaluation(evaluation, verdict)
    if verdict and verdict.objections:
        raise GateError("\n  ".join(("gate failed", *verdict.objections)))
    return 0


def _print_evaluation(evaluation: Evaluation, verdict: Verdict | None) -> None:
    for judged in evaluation.judged:
        print(safe(f"{judged.candidate.path} ({judged.candidate.runtime})"))
        for line in described(judged.candidate.choices) if judged.candidate.choices else ():
            print(safe(f"  {line}"))
        _print_metrics(judged.metrics)
        _print_bands(judged)
        if better_order(judged.metrics):
            print("  the labels seem to be in the wrong order")
        print()
    for one in evaluation.agreements:
        print(
            f"{safe(str(one.first))} and {safe(str(one.second))} agree on {one.same} of {one.faces} faces "
            f"({one.same / max(1, one.faces):.2%}); largest difference of a score {one.largest_score_difference:.3f}"
        )
    if verdict and not verdict.objections:
        print(safe(f"gate passed against {verdict.against}"))


def _print_metrics(metrics: Metrics) -> None:
    error = "-" if metrics.calibration_error is None else f"{metrics.calibration_error:.3f}"
    print(f"  {metrics.faces} faces, accuracy {metrics.accuracy}, calibration error {error}")
    width = max(len(label) for label in metrics.labels)
    print(f"  {'':{width}}  {'recall':22} {'precision':22} classified as {', '.join(metrics.labels)}")
    for label in metrics.labels:
        counts = ", ".join(str(metrics.confusion[label][read]) for read in metrics.labels)
        recall, precision = metrics.recall(label), metrics.precision(label)
        print(f"  {label:{width}}  {recall!s:22} {precision!s:22} {counts}")


def _print_bands(judged: Judged) -> None:
    for sort, bands in judged.bands.items():
        width = max(map(len, bands))
        for name, metrics in bands.items():
            known = [label for label in metrics.labels if metrics.recall(label).of]
            recalls = ", ".join(f"{label} {metrics.recall(label)}" for label in known)
            figures = f"{metrics.faces} faces, accuracy {metrics.accuracy}; recall {recalls}"
            print(f"  {safe(sort)} {safe(name):>{width}}: {figures}")
