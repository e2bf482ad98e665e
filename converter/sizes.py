"""Sizes: compares the accuracy of mask classifiers with their size and latency.

For training runs of several networks and input sizes, the int8 model of each, as installed on devices, is evaluated on
the validation faces of its run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from converter.labelled_faces import faces_of_scenes
from converter.masks.accuracy_check import GUARDED_LABEL
from converter.masks.candidates import open_candidates
from converter.masks.evaluation import evaluate
from converter.measurement import measure_in_subprocess
from converter.model_kind import RUN_FILE
from edge_agent.errors import ConfigError
from edge_agent.foreign_text import safe
from edge_agent.vision.card import read_classifier_card
from training.plotting import new_figure, save_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from converter.masks.metrics import Share
    from edge_agent.domain import Label
    from edge_agent.vision.tflite import RuntimeName

RUNTIME: RuntimeName = "litert"
PERCENT = 100


@dataclass(frozen=True, slots=True)
class RunSize:
    """One run: recipe, network and input size, single-threaded latency, and accuracy."""

    recipe: str
    network: str
    input_px: int
    size_bytes: int
    p50_ms: float
    accuracy: Share
    recall: Share

    def as_json(self) -> dict[str, Any]:
        """Shares as numbers of 0..1."""
        return {
            "recipe": self.recipe,
            "network": self.network,
            "input_px": self.input_px,
            "bytes": self.size_bytes,
            "p50_ms": self.p50_ms,
            "faces": self.accuracy.of,
            "accuracy": self.accuracy.value,
            f"recall_{GUARDED_LABEL}": self.recall.value,
        }


def evaluate_run(run: Path, model: Path, *, only: Sequence[Label], min_side_px: float, seconds: float) -> RunSize:
    """Evaluate and measure the converted model of a run; `only` restricts the labels, empty means all.

    Raises:
        ConfigError: the run does not state its recipe and network, or lists no validation faces.
        ModelError: the model cannot be opened or measured.
    """
    recipe, network = _origin(run)
    (candidate,) = open_candidates([model], runtime=RUNTIME)
    faces = faces_of_scenes(run / "faces.json", split="validation", source=None, min_side_px=min_side_px)
    (result,) = evaluate([candidate], faces, only=only).results
    cost = measure_in_subprocess(model, runtime=RUNTIME, threads=1, seconds=seconds)
    card, _ = read_classifier_card(model)
    recall = result.metrics.recall(GUARDED_LABEL)
    return RunSize(recipe, network, card.input.width, card.size_bytes, cost.p50_ms, result.metrics.accuracy, recall)


def as_table(sizes: Sequence[RunSize]) -> str:
    """A Markdown table."""
    lines = [
        f"| network | input | int8 | one face, one thread | accuracy | recall of {GUARDED_LABEL} |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {safe(title)} | {size.input_px} | {size.size_bytes / 1e6:.2f} MB | {size.p50_ms:.2f} ms | "
        f"{_percent(size.accuracy):.1f} % | {_percent(size.recall):.0f} % |"
        for title, size in _titled(sizes)
    ]
    return "\n".join(lines)


def plot_sizes(sizes: Sequence[RunSize], path: Path) -> None:
    """Plot accuracy against latency and size, with a line for each network of each recipe.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    figure = new_figure(10, 4.5)
    against_time, against_bytes = figure.subplots(1, 2, sharey=True)
    lines: dict[str, list[RunSize]] = {}
    for title, size in _titled(sizes):
        lines.setdefault(title, []).append(size)
    for number, (title, sizes_of_network) in enumerate(lines.items()):
        accuracies = [_percent(size.accuracy) for size in sizes_of_network]
        against_time.plot([size.p50_ms for size in sizes_of_network], accuracies, marker="o", label=title)
        for size, accuracy in zip(sizes_of_network, accuracies, strict=True):
            against_time.annotate(
                str(size.input_px), (size.p50_ms, accuracy), textcoords="offset points", xytext=(4, 5), fontsize=8
            )
        # Input sizes of one network have nearly the same size in bytes, and are above each other.
        megabytes = [size.size_bytes / 1e6 for size in sizes_of_network]
        against_bytes.plot(megabytes, accuracies, marker="o", linestyle=":", color=f"C{number}")
    against_time.set(xlabel="int8, one face, one thread, LiteRT: ms (the numbers are sizes of input)")
    against_time.set(ylabel="accuracy on held-out faces, %")
    against_bytes.set(xlabel="int8: MB (for each network, its sizes of input above each other)")
    against_bytes.set_xlim(left=0)
    against_time.legend(loc="lower right")
    for axes in (against_time, against_bytes):
        axes.grid(alpha=0.3)
    save_figure(figure, path)


def _titled(sizes: Sequence[RunSize]) -> list[tuple[str, RunSize]]:
    """Runs with titles, grouped by title, smaller inputs first.

    The title is the network, with its recipe if there are several: a network may have been trained in two ways.
    """
    one_recipe = len({size.recipe for size in sizes}) == 1
    titled = [(size.network if one_recipe else f"{size.network}, {size.recipe}", size) for size in sizes]
    return sorted(titled, key=lambda pair: (pair[0], pair[1].input_px))


def _origin(run: Path) -> tuple[str, str]:
    try:
        run_info = json.loads((run / RUN_FILE).read_text(encoding="utf-8"))
        return str(run_info["name"]), str(run_info["network"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{run / RUN_FILE}: does not state its recipe and network; finish the run with 'edge-train masks'"
        ) from error


def _percent(share: Share) -> float:
    return PERCENT * (share.value or 0.0)
