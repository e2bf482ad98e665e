"""Accuracy check: compares converted classifiers with their float model before a release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from converter.masks.metrics import find_swapped_order
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from converter.masks.evaluation import Evaluation, ModelResult
    from edge_agent.domain import Label

GUARDED_LABEL: Label = "without_mask"
MAX_RECALL_LOSS = 0.01
"""Recall of `without_mask` may drop by one point; quantization costs a healthy model far less."""


def check_accuracy(evaluation: Evaluation) -> list[str]:
    """The reasons against the models, compared with the last one, the float model that they were made from.

    Empty if they pass.

    Raises:
        ConfigError: the faces or a model lack `without_mask`.
    """
    *converted, reference = evaluation.results
    objections = []
    for result in evaluation.results:
        order = find_swapped_order(result.metrics)
        if order:
            objections.append(_swapped(result, order))
    float_recall = _recall(reference)
    for result in converted:
        recall = _recall(result)
        if recall < float_recall - MAX_RECALL_LOSS - 1e-9:
            objections.append(
                f"{result.candidate.path}: recall of {GUARDED_LABEL} is {recall:.1%} against {float_recall:.1%} of "
                f"{reference.candidate.path.name}, more than {MAX_RECALL_LOSS:.0%} lower; calibrate with more and more "
                "varied faces, or keep the float model"
            )
    return objections


def _swapped(result: ModelResult, order: tuple[Label, ...]) -> str:
    really = dict(zip(result.metrics.labels, order, strict=True))
    labels = [really.get(label, label) for label in result.candidate.labels]
    return (
        f"{result.candidate.path}: accuracy {result.metrics.accuracy.value or 0:.0%}: its labels are in the wrong "
        f"order; convert it again with --labels {','.join(labels)}"
    )


def _recall(result: ModelResult) -> float:
    value = result.metrics.recall(GUARDED_LABEL).value if GUARDED_LABEL in result.metrics.labels else None
    if value is None:
        raise ConfigError(
            f"{result.candidate.path}: no face of {GUARDED_LABEL} was classified, which the accuracy check requires; "
            "add some"
        )
    return value
