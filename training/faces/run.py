"""Run: trains a face detector by a recipe and writes the run's folder.

The folder contains model.keras, run.json and scenes.json (needed for conversion), recipe.yaml, history.csv, curves.png,
misses.png, false_finds.png, report.txt and report.json.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
from typing import TYPE_CHECKING, Any

import yaml

from edge_agent.errors import ConfigError
from edge_agent.foreign_text import safe
from training.faces.fitting import BEST, detect_all, fit
from training.faces.keras_detector import KerasDetector
from training.faces.listing import write_listing
from training.faces.network import STRIDES, open_network
from training.faces.reports import draw_false_detections, draw_misses, write_history, write_reports
from training.faces.scenes import SceneSet, open_scenes
from training.faces.teacher import Teacher

if TYPE_CHECKING:
    from pathlib import Path

    from training.faces.recipe import DataRecipe, FaceRecipe

RECIPE = "recipe.yaml"
TAUGHT = "taught.json"
UNREADABLE_SHOWN = 20

log = logging.getLogger(__name__)


def run(recipe: FaceRecipe, *, folder: Path) -> None:
    """Train by a recipe into a folder; resumes a run that is already there.

    Raises:
        ConfigError: the data are insufficient, or the folder belongs to another recipe.
        ModelError: weights or teacher are missing or do not fit.
    """
    import keras

    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, recipe)
    keras.utils.set_random_seed(recipe.seed)
    scenes = _open(recipe, folder)
    history = fit(recipe, scenes, folder=folder)
    network = open_network(folder / BEST)
    detect = KerasDetector(network, longer_px=recipe.validation.width, shorter_px=recipe.validation.height)
    all_detections = detect_all(detect, scenes.judging)
    write_listing(scenes, folder / "scenes.json")
    write_history(history, folder)
    reports = write_reports(all_detections, folder)
    draw_misses(all_detections, folder / "misses.png")
    draw_false_detections(all_detections, folder / "false_finds.png")
    summary = json.dumps(_summary(recipe, reports), indent=2)
    (folder / "run.json").write_text(summary + "\n", encoding="utf-8")
    # Written last, so that a folder with a model is a finished run.
    part = folder / "part-model.keras"
    network.save(part)
    part.replace(folder / "model.keras")
    log.info("%s", (folder / "report.txt").read_text(encoding="utf-8"))


def _open(recipe: FaceRecipe, folder: Path) -> SceneSet:
    teacher = Teacher(recipe.teacher, memory=folder / TAUGHT) if recipe.teacher else None
    scenes = open_scenes(recipe, folder=folder, teacher=teacher)
    if teacher is not None:
        teacher.remember()
    log.info("%s", scenes.table())
    if scenes.unreadable:
        shown = "\n  ".join(map(safe, scenes.unreadable[:UNREADABLE_SHOWN]))
        log.warning("%d pictures cannot be read and are left out:\n  %s", len(scenes.unreadable), shown)
    return scenes


def _claim(folder: Path, recipe: FaceRecipe) -> None:
    """Refuse a folder of another recipe, whose weights would be resumed."""
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
    path = folder / RECIPE
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise ConfigError(
            f"{folder}: holds a run of another recipe ({RECIPE} differs); give another --output or remove it"
        )
    path.write_text(text, encoding="utf-8")


def _summary(recipe: FaceRecipe, reports: dict[str, Any]) -> dict[str, Any]:
    """The metadata needed to convert the detector."""
    return {
        "name": recipe.name,
        "kind": "face_detector",
        "strides": list(STRIDES),
        "pixels": "0..255",
        "colour_order": "bgr",
        "training_data": sorted({_data_name(one) for data in recipe.data for one in _origins(data)}),
        "validation": reports,
        "versions": {name: importlib.metadata.version(name) for name in ("keras", "numpy")},
    }


def _origins(data: DataRecipe) -> list[str | Path]:
    return [*data.sources] or [path for path in (data.scenes, data.pictures, data.empty) if path is not None]


def _data_name(source: str | Path) -> str:
    """The name of a source without local paths."""
    return source if isinstance(source, str) else "/".join(source.parts[-2:])
