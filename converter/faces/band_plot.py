"""Band plot: draws detection rate and correct classification by face size and pose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.plotting import new_figure, save_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from converter.faces.evaluation import DetectorReport

GROUPINGS = {"size_px": "shorter side of the face, px", "pose": "pose of faces of 48 px and more"}
PERCENT = 100


def draw_bands(reports: Sequence[DetectorReport], path: Path) -> None:
    """Plot recall or, with a classifier, the share detected and correctly classified, by size and pose.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    figure = new_figure(11, 4.5)
    groupings = [grouping for grouping in GROUPINGS if grouping in reports[0].bands]
    for axes, grouping in zip(
        figure.subplots(1, len(groupings), sharey=True, squeeze=False)[0], groupings, strict=True
    ):
        for number, report in enumerate(reports):
            names = [f"{name}\n({band.faces})" for name, band in report.bands[grouping].items()]
            recalls = [PERCENT * band.recall for band in report.bands[grouping].values()]
            axes.plot(names, recalls, marker="o", linestyle=":", color=f"C{number}", label=f"{report.name}: detected")
            correct = [
                PERCENT * band.read_right for band in report.bands[grouping].values() if band.read_right is not None
            ]
            if correct:
                axes.plot(
                    names,
                    correct,
                    marker="o",
                    color=f"C{number}",
                    label=f"{report.name}: detected and classified correctly",
                )
        axes.set(xlabel=f"{GROUPINGS[grouping]} (number of faces)")
        axes.grid(alpha=0.3)
    figure.axes[0].set(ylabel="% of the annotated faces")
    figure.axes[0].legend(loc="lower right", fontsize=8)
    save_figure(figure, path)
