"""Reports: writes curves, metrics and example pictures of a classifier's run.

Curves, confusion, reliability and the worst errors as pictures; precision, recall and F1 as text and JSON.
"""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.foreign_text import safe
from training.masks.metrics import Predictions, calibration_error, report_text
from training.masks.training_loop import Epoch
from training.plotting import new_figure, save_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MAX_ERRORS_SHOWN = 40
COLUMNS = 8
DARK_SHADE = 0.5


def write_history(history: Sequence[Epoch], folder: Path) -> None:
    """Write `history.csv`, a line per epoch, and `curves.png`."""
    with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Epoch)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in history)
    figure = new_figure(10, 4)
    epochs = [row.epoch for row in history]
    losses, accuracies = figure.subplots(1, 2)
    losses.plot(epochs, [row.loss for row in history], label="training")
    losses.plot(epochs, [row.validation_loss for row in history], label="validation (rare labels weigh more)")
    losses.set(title="loss", xlabel="epoch")
    accuracies.plot(epochs, [row.accuracy for row in history], label="training, augmented")
    accuracies.plot(epochs, [row.validation_accuracy for row in history], label="validation")
    accuracies.set(title="accuracy", xlabel="epoch")
    for axes in (losses, accuracies):
        axes.legend()
        axes.grid(alpha=0.3)
    save_figure(figure, folder / "curves.png")


def write_reports(predictions: Predictions, sources: Sequence[str], folder: Path) -> dict[str, Any]:
    """Write `report.txt` and `report.json`: all validation faces together, and by source."""
    names = np.array(sources)
    reports = {"all": predictions.report()}
    for source in sorted(set(sources)):
        reports[source] = predictions.part(names == source).report()
    text = "\n\n".join(report_text(safe(name), report) for name, report in reports.items())
    (folder / "report.txt").write_text(text + "\n", encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(reports, indent=2) + "\n", encoding="utf-8")
    return reports


def draw_confusion(predictions: Predictions, path: Path) -> None:
    """Draw the confusion matrix with counts; shades are shares of each true label."""
    table = predictions.confusion()
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure = new_figure(5.5, 4.5)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(predictions.labels))
    axes.set_xticks(ticks, predictions.labels, rotation=20, ha="right")
    axes.set_yticks(ticks, predictions.labels)
    axes.set(xlabel="predicted", ylabel="true")
    for row in ticks:
        for column in ticks:
            axes.text(
                column, row, str(table[row, column]), ha="center", va="center",
                color="white" if shares[row, column] > DARK_SHADE else "black",
            )  # fmt: skip
    save_figure(figure, path)


def draw_reliability(predictions: Predictions, path: Path) -> None:
    """Draw accuracy against score; on the diagonal, scores are calibrated."""
    rows = predictions.reliability()
    figure = new_figure(5, 4.5)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.plot([score for score, _, _ in rows], [right for _, right, _ in rows], marker="o")
    for score, right, count in rows:
        axes.annotate(str(count), (score, right), textcoords="offset points", xytext=(4, -10), fontsize=7)
    axes.set(
        xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02),
        title=f"expected calibration error {calibration_error(rows):.3f}",
    )  # fmt: skip
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def draw_mistakes(predictions: Predictions, pixels: NDArray[np.uint8], sources: Sequence[str], path: Path) -> None:
    """Draw the misclassified faces, highest score first: pixels (n, side, side, 3), uint8, RGB."""
    misclassified = np.flatnonzero(predictions.predicted != predictions.targets)
    worst = misclassified[np.argsort(-predictions.scores[misclassified].max(axis=1))][:MAX_ERRORS_SHOWN]
    lines = max(1, -(-len(worst) // COLUMNS))
    figure = new_figure(COLUMNS * 1.5, lines * 1.9)
    grid = figure.subplots(lines, COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, index in zip(grid.flat, worst, strict=False):
        axes.imshow(pixels[index])
        predicted = predictions.labels[predictions.predicted[index]]
        true = predictions.labels[predictions.targets[index]]
        title = f"{predicted} {predictions.scores[index].max():.2f}\ntrue: {true}\n{sources[index]}"
        axes.set_title(title.replace("mask_worn_incorrectly", "incorrectly"), fontsize=6)
    figure.suptitle(
        f"{len(misclassified)} of {len(predictions.targets)} misclassified, the most confident first", fontsize=9
    )
    save_figure(figure, path)
