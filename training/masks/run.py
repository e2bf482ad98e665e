"""Run: trains a mask classifier by a recipe and writes the run's folder.

The folder contains model.keras, last.keras and architecture.json, run.json (needed for conversion), recipe.yaml,
faces.json (training and validation faces, as COCO), history.csv, curves.png, confusion.png, reliability.png,
mistakes.png, report.txt and report.json.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from edge_agent.errors import ConfigError
from edge_agent.foreign_text import safe
from training.masks.batches import plain_pixels
from training.masks.dataset import DataSet, open_data_set
from training.masks.fitting import fit, judge, read_state, trained_network
from training.masks.listing import write_listing
from training.masks.reports import draw_confusion, draw_mistakes, draw_reliability, write_history, write_reports
from training.masks.teacher import open_teacher

if TYPE_CHECKING:
    import keras

    from training.masks.recipe import MaskRecipe

RECIPE = "recipe.yaml"
SUMMARY = "run.json"
# The weights after the last epoch, best or not: another recipe can continue from them.
LAST = "last.keras"
UNREADABLE_SHOWN = 20

log = logging.getLogger(__name__)


def run(recipe: MaskRecipe, *, folder: Path, packs_folder: Path) -> None:
    """Train by a recipe into a folder; resumes a run that is already there.

    Raises:
        ConfigError: the data are insufficient, or the folder belongs to another recipe.
        ModelError: weights, detector or teacher are missing or do not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, recipe)
    data_set = open_data_set(recipe, packs_folder=packs_folder)
    _tell(data_set)
    # Imported late, as TensorFlow loads slowly: data errors are reported at once.
    import keras

    keras.utils.set_random_seed(recipe.seed)
    history = fit(recipe, data_set, folder=folder, teacher=open_teacher(recipe))
    _save(keras.models.load_model(folder / read_state(folder).model), folder / LAST, include_optimizer=False)
    network = trained_network(recipe, folder)
    _save(network, folder / "model.keras", include_optimizer=True)
    (folder / "architecture.json").write_text(network.to_json(indent=1), encoding="utf-8")
    pixels = plain_pixels(data_set.judging, recipe)
    verdicts = judge(network, pixels, data_set.judging, recipe)
    sources = data_set.judging.sources()
    write_listing(data_set, recipe, folder / "faces.json")
    write_history(history, folder)
    reports = write_reports(verdicts, sources, folder)
    draw_confusion(verdicts, folder / "confusion.png")
    draw_reliability(verdicts, folder / "reliability.png")
    draw_mistakes(verdicts, pixels, sources, folder / "mistakes.png")
    (folder / SUMMARY).write_text(json.dumps(_summary(recipe, reports), indent=2) + "\n", encoding="utf-8")
    log.info("%s", (folder / "report.txt").read_text(encoding="utf-8"))


def _save(network: keras.Model, path: Path, *, include_optimizer: bool) -> None:
    """Write a model completely or, on a full disk, not at all."""
    part = path.with_name(f"part-{path.name}")
    try:
        network.save(part, include_optimizer=include_optimizer)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _claim(folder: Path, recipe: MaskRecipe) -> None:
    """Refuse a folder of another recipe, whose weights would be resumed."""
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
    path = folder / RECIPE
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise ConfigError(
            f"{folder}: holds a run of another recipe ({RECIPE} differs); give another --output or remove it"
        )
    path.write_text(text, encoding="utf-8")


def _tell(data_set: DataSet) -> None:
    log.info("%s", data_set.table())
    if data_set.unreadable:
        shown = "\n  ".join(map(safe, data_set.unreadable[:UNREADABLE_SHOWN]))
        log.warning("%d pictures cannot be read and are left out:\n  %s", len(data_set.unreadable), shown)


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
        "versions": {name: importlib.metadata.version(name) for name in ("keras", "numpy")},
    }


def _own_data(recipe: MaskRecipe) -> set[str]:
    return {_data_name(one) for data in recipe.data for one in (data.sources or (data.path,))}


def _inherited_data(recipe: MaskRecipe) -> set[str]:
    """The training data of the run that this one's weights come from."""
    before = Path(recipe.model.weights).parent / SUMMARY
    return set(json.loads(before.read_text(encoding="utf-8"))["training_data"]) if before.is_file() else set()


def _data_name(source: str | Path) -> str:
    """The name of a source without local paths."""
    return source if isinstance(source, str) else "/".join(source.parts[-2:])
