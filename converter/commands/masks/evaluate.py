"""`edge-convert evaluate` of mask classifiers: metrics on labelled faces, and the accuracy check."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from converter.commands.options import faces_of, overrides_of
from converter.errors import check_passed
from converter.masks.accuracy_check import check_accuracy
from converter.masks.candidates import open_candidates
from converter.masks.evaluation import Evaluation, ModelResult, evaluate
from converter.masks.metrics import Metrics, find_swapped_order
from converter.masks.model_settings import describe_settings
from converter.progress import print_message
from edge_agent.foreign_text import safe

if TYPE_CHECKING:
    import argparse


def evaluate_classifiers(options: argparse.Namespace) -> int:
    """Evaluate and print; returns 3 if the accuracy check fails."""
    faces = faces_of(options)
    against = [options.against] if options.against else []
    candidates = open_candidates(
        [*options.models, *against], overrides_of(options), faces=faces, runtime=options.runtime
    )
    evaluation = evaluate(candidates, faces, only=options.only, with_bands=options.scenes is not None)
    for error in evaluation.unreadable:
        print_message(f"skipped: {error}")
    objections = check_accuracy(evaluation) if against else []
    reference = str(evaluation.results[-1].candidate.path)
    if options.json:
        gate = {"gate": {"against": reference, "passed": not objections, "objections": objections}}
        print(json.dumps(evaluation.as_json() | (gate if against else {})))
    else:
        _print_evaluation(evaluation)
        if against and not objections:
            print(safe(f"accuracy check passed against {reference}"))
    check_passed(objections)
    return 0


def _print_evaluation(evaluation: Evaluation) -> None:
    for result in evaluation.results:
        print(safe(f"{result.candidate.path} ({result.candidate.runtime})"))
        for line in describe_settings(result.candidate.settings) if result.candidate.settings else ():
            print(safe(f"  {line}"))
        _print_metrics(result.metrics)
        _print_other_labels(result)
        _print_bands(result)
        if find_swapped_order(result.metrics):
            print("  the labels seem to be in the wrong order")
        print()
    for agreement in evaluation.agreements:
        share = agreement.same / max(1, agreement.faces)
        print(
            f"{safe(str(agreement.first))} and {safe(str(agreement.second))} agree on {agreement.same} of "
            f"{agreement.faces} faces ({share:.2%}); largest difference of a score "
            f"{agreement.largest_score_difference:.3f}"
        )


def _print_metrics(metrics: Metrics) -> None:
    error = "-" if metrics.calibration_error is None else f"{metrics.calibration_error:.3f}"
    print(f"  {metrics.faces} faces, accuracy {metrics.accuracy}, calibration error {error}")
    width = max(len(label) for label in metrics.labels)
    print(f"  {'':{width}}  {'recall':22} {'precision':22} classified as {', '.join(metrics.labels)}")
    for label in metrics.labels:
        counts = ", ".join(str(metrics.confusion[label][read]) for read in metrics.labels)
        recall, precision = metrics.recall(label), metrics.precision(label)
        print(f"  {label:{width}}  {recall!s:22} {precision!s:22} {counts}")


def _print_other_labels(result: ModelResult) -> None:
    """The faces of labels that the model lacks, and the accuracy that people will see if it knows more labels."""
    for label, count in result.left_out.items():
        print(f"  {count} faces of {label} left out: the model lacks this label")
    others = [label for label in result.candidate.labels if label not in result.metrics.labels]
    if others and result.accuracy_with_all_labels != result.metrics.accuracy:
        print(
            f"  with all labels, as on the device: accuracy {result.accuracy_with_all_labels}; the figures above leave "
            f"out {', '.join(others)}, which no face here is"
        )


def _print_bands(result: ModelResult) -> None:
    for sort, bands in result.bands.items():
        width = max(map(len, bands))
        for name, metrics in bands.items():
            known = [label for label in metrics.labels if metrics.recall(label).of]
            recalls = ", ".join(f"{label} {metrics.recall(label)}" for label in known)
            figures = f"{metrics.faces} faces, accuracy {metrics.accuracy}; recall {recalls}"
            print(f"  {safe(sort)} {safe(name):>{width}}: {figures}")
