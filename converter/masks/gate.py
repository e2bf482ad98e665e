"""Gate: compares a model with the one it replaces before a release."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from converter.masks.metrics import better_order
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from converter.masks.evaluation import Evaluation, Judged
    from edge_agent.domain import Label

GUARDED: Label = "without_mask"
LARGEST_LOSS = 0.01
"""Recall of `without_mask` may drop by one point; quantization costs a healthy model far less."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The objections to the models; empty if all pass."""

    against: str
    objections: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The form used in `--json`."""
        return {"against": self.against, "passed": not self.objections, "objections": list(self.objections)}


def hold_against(evaluation: Evaluation) -> Verdict:
    """Compare every model with the last one, the float model that they were made from.

    Raises:
        ConfigError: the faces or a model lack `without_mask`.
    """
    *challengers, reference = evaluation.judged
    objections = []
    for judged in evaluation.judged:
        order = better_order(judged.metrics)
        if order:
            objections.append(_swapped(judged, order))
    floor = _recall(reference)
    for judged in challengers:
        recall = _recall(judged)
        if recall < floor - LARGEST_LOSS - 1e-9:
            objections.append(
                f"{judged.candidate.path}: recall of {GUARDED} is {recall:.1%} against {floor:.1%} of "
                f"{reference.candidate.path.name}, more than {LARGEST_LOSS:.0%} lower; calibrate with more and more "
                "varied faces, or keep the float model"
            )
    return Verdict(str(reference.candidate.path), tuple(objections))


def _swapped(judged: Judged, order: tuple[Label, ...]) -> str:
    really = dict(zip(judged.metrics.labels, order, strict=True))
    labels = [really.get(label, label) for label in judged.candidate.labels]
    return (
        f"{judged.candidate.path}: accuracy {judged.metrics.accuracy.value or 0:.0%}: its labels are in the wrong "
        f"order; convert it again with --labels {','.join(labels)}"
    )


def _recall(judged: Judged) -> float:
    value = judged.metrics.recall(GUARDED).value if GUARDED in judged.metrics.labels else None
    if value is None:
        raise ConfigError(
            f"{judged.candidate.path}: no face of {GUARDED} was classified, which the gate requires; add some"
        )
    return value
