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
from training.masks.fitting import Epoch
from training.masks.judge import Verdicts, report_text
from training.plotting import new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MISTAKES_SHOWN = 40
COLUMNS = 8
DARK_SHADE = 0.5
DPI = 110


def write_history(history: Sequence[Epoch], folder: Path) -> None:
    """Write `history.csv`, a line per epoch, and `curves.png`."""
    with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Epoch)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in history)
    figure = new_figure(10, 4)
    epochs = [row.epoch for row in history]
    losses, rights = figure.subplots(1, 2)
    losses.plot(epochs, [row.loss for row in history], label="learnt")
    losses.plot(epochs, [row.judged_loss for row in history], label="judging (rare labels weigh more)")
    losses.set(title="loss", xlabel="epoch")
    rights.plot(epochs, [row.accuracy for row in history], label="learnt, jittered")
    rights.plot(epochs, [row.judged_accuracy for row in history], label="judging")
    rights.set(title="share read right", xlabel="epoch")
    for axes in (losses, rights):
        axes.legend()
        axes.grid(alpha=0.3)
    figure.savefig(folder / "curves.png", dpi=DPI)


def write_reports(verdicts: Verdicts, sources: Sequence[str], folder: Path) -> dict[str, Any]:
    """Write `report.txt` and `report.json`: all validation faces together, and by source."""
    names = np.array(sources)
    reports = {"all": verdicts.report()}
    for source in sorted(set(sources)):
        reports[source] = verdicts.part(names == source).report()
    text = "\n\n".join(report_text(safe(name), report) for name, report in reports.items())
    (folder / "report.txt").write_text(text + "\n", encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(reports, indent=2) + "\n", encoding="utf-8")
    return reports


def draw_confusion(verdicts: Verdicts, path: Path) -> None:
    """Draw the confusion matrix with counts; shades are shares of each true label."""
    table = verdicts.confusion()
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure = new_figure(5.5, 4.5)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(verdicts.labels))
    axes.set_xticks(places, verdicts.labels, rotation=20, ha="right")
    axes.set_yticks(places, verdicts.labels)
    axes.set(xlabel="read as", ylabel="is")
    for row in places:
        for column in places:
            axes.text(
                column, row, str(table[row, column]), ha="center", va="center",
                color="white" if shares[row, column] > DARK_SHADE else "black",
            )  # fmt: skip
    figure.savefig(path, dpi=DPI)


def draw_reliability(verdicts: Verdicts, path: Path) -> None:
    """Draw accuracy against score; on the diagonal, scores are calibrated."""
    rows = verdicts.reliability()
    figure = new_figure(5, 4.5)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.plot([score for score, _, _ in rows], [right for _, right, _ in rows], marker="o")
    for score, right, count in rows:
        axes.annotate(str(count), (score, right), textcoords="offset points", xytext=(4, -10), fontsize=7)
    axes.set(
        xlabel="score of the label read", ylabel="share read right", xlim=(0, 1.02), ylim=(0, 1.02),
        title=f"expected calibration error {verdicts.calibration_error():.3f}",
    )  # fmt: skip
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=DPI)


def draw_mistakes(verdicts: Verdicts, pixels: NDArray[np.uint8], sources: Sequence[str], path: Path) -> None:
    """Draw the misclassified faces, highest score first: pixels (n, side, side, 3), uint8, RGB."""
    wrong = np.flatnonzero(verdicts.readings != verdicts.answers)
    worst = wrong[np.argsort(-verdicts.scores[wrong].max(axis=1))][:MISTAKES_SHOWN]
    lines = max(1, -(-len(worst) // COLUMNS))
    figure = new_figure(COLUMNS * 1.5, lines * 1.9)
    grid = figure.subplots(lines, COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, index in zip(grid.flat, worst, strict=False):
        axes.imshow(pixels[index])
        read, true = verdicts.labels[verdicts.readings[index]], verdicts.labels[verdicts.answers[index]]
        title = f"{read} {verdicts.scores[index].max():.2f}\nis {true}\n{sources[index]}"
        axes.set_title(title.replace("mask_worn_incorrectly", "incorrectly"), fontsize=6)
    figure.suptitle(f"{len(wrong)} of {len(verdicts.answers)} read wrongly; the surest first", fontsize=9)
    figure.savefig(path, dpi=DPI)
