"""Metrics: computes accuracy, loss and calibration of a classifier's predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_agent.domain import Class

CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predictions for some faces. `scores` has shape (n, labels), `targets` (n,)."""

    labels: tuple[Class, ...]
    scores: NDArray[np.float64]
    targets: NDArray[np.int64]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Index of the predicted label of each face."""
        return np.asarray(self.scores.argmax(axis=1), np.int64)

    def part(self, chosen: NDArray[np.bool_]) -> Predictions:
        """A subset of the faces."""
        return Predictions(self.labels, self.scores[chosen], self.targets[chosen])

    def confusion(self) -> NDArray[np.int64]:
        """Counts, shape (labels, labels): rows are true labels, columns predictions."""
        table = np.zeros((len(self.labels), len(self.labels)), np.int64)
        np.add.at(table, (self.targets, self.predicted), 1)
        return table

    def accuracy(self) -> float:
        """Share of correct predictions."""
        return float((self.predicted == self.targets).mean()) if len(self.targets) else 0.0

    def balanced_loss(self) -> float:
        """Cross entropy, averaged per label, then over labels weighted by the roots of their counts.

        A rare label thus weighs more than its share, but five faces of it do not outweigh a hundred others.
        """
        losses = -np.log(np.clip(self.scores[np.arange(len(self.targets)), self.targets], 1e-7, 1.0))
        labels, counts = np.unique(self.targets, return_counts=True)
        means = [losses[self.targets == index].mean() for index in labels]
        return float(np.average(means, weights=np.sqrt(counts)))

    def reliability(self) -> list[tuple[float, float, int]]:
        """Mean score, accuracy and count of each bin of the highest score."""
        return reliability(self.scores.max(axis=1), self.predicted == self.targets)

    def report(self) -> dict[str, Any]:
        """Precision, recall, F1 and count per label, with accuracy, loss and calibration error."""
        table = self.confusion()
        per_label = {}
        for index, label in enumerate(self.labels):
            hits, predicted, actual = table[index, index], table[:, index].sum(), table[index].sum()
            precision, recall = _share(hits, predicted), _share(hits, actual)
            total = precision + recall
            per_label[label] = {
                "precision": precision,
                "recall": recall,
                "f1": 2 * precision * recall / total if total else 0.0,
                "faces": int(actual),
            }
        return {
            "faces": len(self.targets),
            "accuracy": self.accuracy(),
            "balanced_loss": self.balanced_loss(),
            "calibration_error": calibration_error(self.reliability()),
            "labels": per_label,
            "confusion": table.tolist(),
        }


def reliability(scores: NDArray[np.float64], correct: NDArray[np.bool_]) -> list[tuple[float, float, int]]:
    """Mean score, accuracy and count of each non-empty one of 15 equal bins."""
    bins = np.minimum((scores * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return [
        (float(scores[bins == number].mean()), float(correct[bins == number].mean()), int((bins == number).sum()))
        for number in np.unique(bins)
    ]


def calibration_error(rows: Sequence[tuple[float, float, int]]) -> float:
    """Expected calibration error: mean difference of score and accuracy (Guo et al., 2017)."""
    total = sum(count for _, _, count in rows)
    return sum(abs(accuracy - score) * count for score, accuracy, count in rows) / max(total, 1)


def report_text(title: str, report: dict[str, Any]) -> str:
    """Format a report as a small table."""
    rows = [f"{title}: {report['faces']} faces, accuracy {report['accuracy']:.4f}"]
    rows.append(f"  expected calibration error {report['calibration_error']:.3f}")
    rows.append(f"  {'label':<24}{'precision':>10}{'recall':>10}{'F1':>10}{'faces':>8}")
    for label, row in report["labels"].items():
        rows.append(f"  {label:<24}{row['precision']:>10.4f}{row['recall']:>10.4f}{row['f1']:>10.4f}{row['faces']:>8}")
    return "\n".join(rows)


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else 0.0
