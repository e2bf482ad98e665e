"""Merging: writes a run with the average weights of two runs, one of which continued from the other."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from edge_agent.errors import ConfigError
from training.masks.run import LAST, MANIFEST, SUMMARY
from training.run_folder import check_new_folder
from training.weight_averaging import average_weights

if TYPE_CHECKING:
    from pathlib import Path


def merge(run: Path, other: Path, output: Path, *, share: float) -> int:
    """Write a run with the average of the last weights of two runs; `share` of the other, 0..1.

    Its validation faces are those held out by both; returns their number.

    Raises:
        ConfigError: a run is incomplete, or the output is not empty.
        ModelError: their weights differ in shape.
    """
    check_new_folder(output)
    for folder in (run, other):
        if missing := [name for name in (LAST, SUMMARY, MANIFEST) if not (folder / name).is_file()]:
            raise ConfigError(f"{folder}: no complete run: {', '.join(missing)} is missing")
    import keras

    network, other_network = (keras.models.load_model(folder / LAST, compile=False) for folder in (run, other))
    average_weights(network, other_network, share=share, name=str(other))
    summaries = [json.loads((folder / SUMMARY).read_text(encoding="utf-8")) for folder in (run, other)]
    manifest, count = _common_validation(*(json.loads((folder / MANIFEST).read_text()) for folder in (run, other)))
    output.mkdir(parents=True, exist_ok=True)
    network.save(output / "model.keras")
    shutil.copy(output / "model.keras", output / LAST)
    training_data = sorted({name for summary in summaries for name in summary["training_data"]})
    summary = {**summaries[1], "name": output.name, "training_data": training_data, "validation": {}}
    (output / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    (output / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return count


def _common_validation(run: dict[str, Any], other: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The other manifest, with only the validation pictures that both runs held out, and their number of faces."""
    held_out = {image["file_name"] for image in run["images"] if image["split"] == "validation"}
    trained_on = {image["file_name"] for image in run["images"] + other["images"] if image["split"] != "validation"}
    for image in other["images"]:
        if image["split"] == "validation" and image["file_name"] not in held_out - trained_on:
            image["split"] = "train"
    ids = {image["id"] for image in other["images"] if image["split"] == "validation"}
    return other, sum(face["image_id"] in ids for face in other["annotations"])
