"""Run: trains a face detector by a recipe and writes the run's folder.

The folder contains model.keras, run.json and scenes.json (needed for conversion), recipe.yaml, history.csv, curves.png,
misses.png, false_detections.png, report.txt and report.json.
"""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from training.faces.keras_detector import KerasDetector
from training.faces.network import STRIDES, open_network
from training.faces.reports import draw_false_detections, draw_misses, write_history, write_reports
from training.faces.scenes import SceneSet, manifest_of, open_scenes
from training.faces.teacher import Teacher
from training.faces.training_loop import BEST, STATE, detect_all, fit
from training.run_folder import SCENES, data_name, keep_manifest, log_data, prepare_run_folder, save_model, versions

if TYPE_CHECKING:
    from pathlib import Path

    from training.faces.recipe import DataRecipe, FaceRecipe

TEACHER_DETECTIONS = "teacher_detections.json"

log = logging.getLogger(__name__)


def run(recipe: FaceRecipe, *, folder: Path) -> None:
    """Train by a recipe into a folder; resumes a run that is already there.

    Raises:
        ConfigError: the data are insufficient, or the folder belongs to another recipe or to other data.
        ModelError: weights or teacher are missing or do not fit.
    """
    import keras

    prepare_run_folder(folder, recipe)
    keras.utils.set_random_seed(recipe.seed)
    scenes = _open(recipe, folder)
    keep_manifest(manifest_of(scenes, folder / SCENES), has_begun=(folder / STATE).is_file())
    history = fit(recipe, scenes, folder=folder)
    network = open_network(folder / BEST)
    detect = KerasDetector(network, longer_px=recipe.validation.width, shorter_px=recipe.validation.height)
    all_detections = detect_all(detect, scenes.validation)
    write_history(history, folder)
    reports = write_reports(all_detections, folder)
    draw_misses(all_detections, folder / "misses.png")
    draw_false_detections(all_detections, folder / "false_detections.png")
    summary = json.dumps(_summary(recipe, reports), indent=2)
    (folder / "run.json").write_text(summary + "\n", encoding="utf-8")
    # Written last, so that a folder with a model is a finished run.
    save_model(network, folder / "model.keras")
    log.info("%s", (folder / "report.txt").read_text(encoding="utf-8"))


def _open(recipe: FaceRecipe, folder: Path) -> SceneSet:
    with ExitStack() as opened:
        teacher = None
        if recipe.teacher is not None:
            teacher = opened.enter_context(Teacher(recipe.teacher, cache_path=folder / TEACHER_DETECTIONS))
        scenes = open_scenes(recipe, folder=folder, teacher=teacher)
    log_data(scenes.table(), scenes.unreadable)
    return scenes


def _summary(recipe: FaceRecipe, reports: dict[str, Any]) -> dict[str, Any]:
    """The metadata needed to convert the detector."""
    return {
        "name": recipe.name,
        "kind": "face_detector",
        "strides": list(STRIDES),
        "pixels": "0..255",
        "colour_order": "bgr",
        "training_data": sorted({data_name(source) for data in recipe.data for source in _origins(data)}),
        "validation": reports,
        "versions": versions(),
    }


def _origins(data: DataRecipe) -> list[str | Path]:
    return [*data.sources] or [path for path in (data.scenes, data.pictures, data.empty) if path is not None]
