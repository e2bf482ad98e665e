"""Merging: averages the weights of two runs, one of which continued from the other.

The result is often better than either (M. Wortsman et al., "Model soups", 2022).
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from edge_agent.errors import ConfigError, ModelError
from training.masks.run import LAST, LISTING, SUMMARY

if TYPE_CHECKING:
    from pathlib import Path


def merge(run: Path, other: Path, output: Path, *, share: float) -> int:
    """Write a run with the average of the last weights of two runs; `share` of the other, 0..1.

    Its validation faces are those held out by both; returns their number.

    Raises:
        ConfigError: a run is incomplete, or the output is not empty.
        ModelError: their weights differ in shape.
    """
    if output.exists() and any(output.iterdir()):
        raise ConfigError(f"{output}: is not empty; give a new folder")
    for folder in (run, other):
        if missing := [name for name in (LAST, SUMMARY, LISTING) if not (folder / name).is_file()]:
            raise ConfigError(f"{folder}: no complete run: {', '.join(missing)} is missing")
    import keras

    network = keras.models.load_model(other / LAST, compile=False)
    mine = keras.models.load_model(run / LAST, compile=False).get_weights()
    theirs = network.get_weights()
    if [one.shape for one in mine] != [one.shape for one in theirs]:
        raise ModelError(f"{other}: another network than {run}; merge two runs of the same one")
    network.set_weights([(1 - share) * one + share * two for one, two in zip(mine, theirs, strict=True)])
    summaries = [json.loads((folder / SUMMARY).read_text(encoding="utf-8")) for folder in (run, other)]
    listing, count = _kept_apart_by_both(*(json.loads((folder / LISTING).read_text()) for folder in (run, other)))
    output.mkdir(parents=True, exist_ok=True)
    network.save(output / "model.keras")
    shutil.copy(output / "model.keras", output / LAST)
    learnt = sorted({name for summary in summaries for name in summary["training_data"]})
    summary = {**summaries[1], "name": output.name, "training_data": learnt, "validation": {}}
    (output / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    (output / LISTING).write_text(json.dumps(listing), encoding="utf-8")
    return count


def _kept_apart_by_both(one: dict[str, Any], two: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The second listing, whose validation split keeps only pictures that neither run learnt from."""
    apart = {image["file_name"] for image in one["images"] if image["split"] == "validation"}
    learnt = {image["file_name"] for image in one["images"] + two["images"] if image["split"] != "validation"}
    for image in two["images"]:
        if image["split"] == "validation" and (image["file_name"] not in apart or image["file_name"] in learnt):
            image["split"] = "train"
    ids = {image["id"] for image in two["images"] if image["split"] == "validation"}
    return two, sum(face["image_id"] in ids for face in two["annotations"])
