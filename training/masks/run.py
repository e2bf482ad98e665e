"""Run: trains a mask classifier by a recipe and writes the run's folder.

The folder contains model.keras, last.keras and architecture.json, run.json (needed for conversion), recipe.yaml,
faces.json (training and validation faces, as COCO), history.csv, curves.png, confusion.png, reliability.png,
mistakes.png, report.txt and report.json.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.foreign_text import safe
from training.masks.batches import plain_pixels
from training.masks.dataset import open_data_set
from training.masks.fitting import fit, judge, read_state, trained_network
from training.masks.listing import write_listing
from training.masks.reports import draw_confusion, draw_mistakes, draw_reliability, write_history, write_reports
from training.masks.teacher import open_teacher
from training.run_folder import claim, data_name, log_data, save_model, versions

if TYPE_CHECKING:
    from training.masks.dataset import DataSet
    from training.masks.recipe import MaskRecipe

SUMMARY = "run.json"
LISTING = "faces.json"
# The weights after the last epoch, best or not: another recipe can continue from them.
LAST = "last.keras"

log = logging.getLogger(__name__)


def run(recipe: MaskRecipe, *, folder: Path, packs_folder: Path) -> None:
    """Train by a recipe into a folder; resumes a run that is already there.

    Raises:
        ConfigError: the data are insufficient, or the folder belongs to another recipe.
        ModelError: weights, detector or teacher are missing or do not fit.
    """
    claim(folder, recipe)
    data_set = open_data_set(recipe, packs_folder=packs_folder)
    log_data(data_set.table(), data_set.unreadable)
    if known := _faces_known_to_the_weights(recipe, data_set):
        log.warning(
            "%d of %d validation faces are training data of the run that %s comes from, so their accuracy is too high: "
            "use the seed and the sources of that run",
            known,
            len(data_set.judging),
            safe(recipe.model.weights),
        )
    # Imported late, as TensorFlow loads slowly: data errors are reported at once.
    import keras

    keras.utils.set_random_seed(recipe.seed)
    history = fit(recipe, data_set, folder=folder, teacher=open_teacher(recipe))
    save_model(keras.models.load_model(folder / read_state(folder).model), folder / LAST, include_optimizer=False)
    network = trained_network(recipe, folder)
    save_model(network, folder / "model.keras")
    (folder / "architecture.json").write_text(network.to_json(indent=1), encoding="utf-8")
    pixels = plain_pixels(data_set.judging, recipe)
    verdicts = judge(network, pixels, data_set.judging, recipe)
    sources = data_set.judging.sources()
    write_listing(data_set, recipe, folder / LISTING)
    write_history(history, folder)
    reports = write_reports(verdicts, sources, folder)
    draw_confusion(verdicts, folder / "confusion.png")
    draw_reliability(verdicts, folder / "reliability.png")
    draw_mistakes(verdicts, pixels, sources, folder / "mistakes.png")
    (folder / SUMMARY).write_text(json.dumps(_summary(recipe, reports), indent=2) + "\n", encoding="utf-8")
    log.info("%s", (folder / "report.txt").read_text(encoding="utf-8"))


def _summary(recipe: MaskRecipe, reports: dict[str, Any]) -> dict[str, Any]:
    """The metadata needed to convert the model."""
    return {
        "name": recipe.name,
        "network": recipe.model.network,
        "labels": list(recipe.labels),
        "margin_fraction": recipe.margin_fraction,
        "input_size": recipe.model.input_size,
        "pixels": "-1..1",
        "colour_order": "rgb",
        "training_data": sorted(_inherited_data(recipe) | _own_data(recipe)),
        "validation": {name: report["accuracy"] for name, report in reports.items()},
        "versions": versions(),
    }


def _faces_known_to_the_weights(recipe: MaskRecipe, data_set: DataSet) -> int:
    """Number of validation faces in pictures that the run of the initial weights was trained on."""
    before = Path(recipe.model.weights).parent / LISTING
    if not before.is_file():
        return 0
    pictures = json.loads(before.read_text(encoding="utf-8"))["images"]
    learnt = {(before.parent / one["file_name"]).resolve() for one in pictures if one["split"] == "train"}
    judging = data_set.judging
    return sum(judging.example(row).path.resolve() in learnt for row in range(len(judging)))


def _own_data(recipe: MaskRecipe) -> set[str]:
    return {data_name(one) for data in recipe.data for one in (data.sources or (data.path,))}


def _inherited_data(recipe: MaskRecipe) -> set[str]:
    """The training data of the run that this one's weights come from."""
    before = Path(recipe.model.weights).parent / SUMMARY
    return set(json.loads(before.read_text(encoding="utf-8"))["training_data"]) if before.is_file() else set()
