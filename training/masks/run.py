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
from training.masks.batches import unaugmented_pixels
from training.masks.dataset import manifest_of, open_data_set
from training.masks.reports import draw_confusion, draw_mistakes, draw_reliability, write_history, write_reports
from training.masks.teacher import open_teacher
from training.masks.training_loop import fit, predict, read_state, trained_network
from training.run_folder import FACES, data_name, keep_manifest, log_data, prepare_run_folder, save_model, versions

if TYPE_CHECKING:
    from training.masks.dataset import DataSet
    from training.masks.recipe import MaskRecipe

SUMMARY = "run.json"
# The weights after the last epoch, best or not: another recipe can continue from them.
LAST = "last.keras"

log = logging.getLogger(__name__)


def run(recipe: MaskRecipe, *, folder: Path, packs_folder: Path) -> None:
    """Train by a recipe into a folder; resumes a run that is already there.

    Raises:
        ConfigError: the data are insufficient, or the folder belongs to another recipe or to other data.
        ModelError: weights, detector or teacher are missing or do not fit.
    """
    prepare_run_folder(folder, recipe)
    data_set = open_data_set(recipe, packs_folder=packs_folder)
    log_data(data_set.table(), data_set.unreadable)
    keep_manifest(manifest_of(data_set, recipe, folder / FACES), has_begun=bool(read_state(folder).history))
    if leaked := _count_leaked_faces(recipe, data_set):
        log.warning(
            "%d of %d validation faces are training data of the run that %s comes from, so their accuracy is too high: "
            "use the seed and the sources of that run",
            leaked,
            len(data_set.validation),
            safe(recipe.model.weights),
        )
    # Imported late, as TensorFlow loads slowly: data errors are reported at once.
    import keras

    keras.utils.set_random_seed(recipe.seed)
    history = fit(recipe, data_set, folder=folder, teacher=open_teacher(recipe))
    save_model(keras.models.load_model(folder / read_state(folder).model), folder / LAST, include_optimizer=False)
    network = trained_network(recipe, folder)
    (folder / "architecture.json").write_text(network.to_json(indent=1), encoding="utf-8")
    pixels = unaugmented_pixels(data_set.validation, recipe)
    predictions = predict(network, pixels, data_set.validation, recipe)
    sources = data_set.validation.sources()
    write_history(history, folder)
    reports = write_reports(predictions, sources, folder)
    draw_confusion(predictions, folder / "confusion.png")
    draw_reliability(predictions, folder / "reliability.png")
    draw_mistakes(predictions, pixels, sources, folder / "mistakes.png")
    (folder / SUMMARY).write_text(json.dumps(_summary(recipe, reports), indent=2) + "\n", encoding="utf-8")
    # Written last, so that a folder with a model is a finished run: without its run.json it would be converted with
    # other settings.
    save_model(network, folder / "model.keras")
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
        "training_data": sorted(training_data_of(Path(recipe.model.weights)) | _own_data(recipe)),
        "validation": {name: report["accuracy"] for name, report in reports.items()},
        "versions": versions(),
    }


def _count_leaked_faces(recipe: MaskRecipe, data_set: DataSet) -> int:
    """Number of validation faces in pictures that the run of the initial weights was trained on."""
    manifest = Path(recipe.model.weights).parent / FACES
    # Beside a released model, the file of this name is the card of the face detector.
    if not manifest.with_name(SUMMARY).is_file() or not manifest.is_file():
        return 0
    images = json.loads(manifest.read_text(encoding="utf-8"))["images"]
    trained_on = {(manifest.parent / image["file_name"]).resolve() for image in images if image["split"] == "train"}
    validation = data_set.validation
    return sum(validation.example(row).path.resolve() in trained_on for row in range(len(validation)))


def _own_data(recipe: MaskRecipe) -> set[str]:
    return {data_name(source) for data in recipe.data for source in (data.sources or (data.path,))}


def training_data_of(weights: Path) -> set[str]:
    """The training data of weights; empty if unknown."""
    return set(description_of(weights).get("training_data", ()))


def description_of(weights: Path) -> dict[str, Any]:
    """The run.json of the run in whose folder weights are, or the card of a released model; empty if there is none."""
    for described in (weights.parent / SUMMARY, weights.with_suffix(".json")):
        if described.is_file():
            return dict(json.loads(described.read_text(encoding="utf-8")))
    return {}
