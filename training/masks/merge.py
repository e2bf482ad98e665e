"""Merging: writes a run with the average weights of two runs, one of which continued from the other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edge_agent.domain import CLASSES
from edge_agent.errors import ConfigError
from training.annotations import read_annotations
from training.coco import CocoFile
from training.masks.run import LAST, MANIFEST, SUMMARY
from training.run_folder import check_new_folder, save_model
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
    output.mkdir(parents=True, exist_ok=True)
    training_data = sorted({name for summary in summaries for name in summary["training_data"]})
    summary = {**summaries[1], "name": output.name, "training_data": training_data, "validation": {}}
    (output / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    count = _write_manifest(run, other, output)
    network.save(output / LAST)
    # Written last, as in a run.
    save_model(network, output / "model.keras")
    return count


def _write_manifest(run: Path, other: Path, output: Path) -> int:
    """Write the faces of the other run, with only the pictures that both held out for validation.

    Returns the number of faces in these.
    """
    # Absolute, as the runs may be in different folders.
    faces, other_faces = (read_annotations(folder.resolve() / MANIFEST) for folder in (run, other))
    trained_on = {face.path for face in faces + other_faces if face.split != "validation"}
    held_out = {face.path for face in faces} - trained_on
    manifest = CocoFile(output.resolve() / MANIFEST, CLASSES)
    for face in other_faces:
        split = "validation" if face.path in held_out else "train"
        manifest.add_picture(face.path, source=face.source, split=split)
        box = face.box
        manifest.add_face(face.path, (box.x1, box.y1, box.x2, box.y2), category=str(face.name), ignore=face.ignore)
    manifest.write()
    return sum(face.path in held_out for face in other_faces)
