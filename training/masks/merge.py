"""Merging: writes a run with the average weights of two runs, one of which continued from the other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edge_agent.domain import CLASSES, NO_FACE
from edge_agent.errors import ConfigError, ModelError
from training.annotations import read_annotations
from training.coco import CocoFile
from training.masks.run import LAST, SUMMARY, description_of, training_data_of
from training.run_folder import FACES, WEIGHTS_SUFFIX, check_new_folder, save_model
from training.weight_averaging import average_weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def merge(run: Path, other: Path, output: Path, *, share: float) -> int:
    """Write a run with the average of the last weights of two runs; `share` of the other, 0..1.

    The other may also be the `.keras` file of a released model. The validation faces are those held out by both runs;
    returns their number.

    Raises:
        ConfigError: a run is incomplete, or the output is not empty.
        ModelError: a file is missing or damaged, or the two differ in labels, margin or shape of weights.
    """
    check_new_folder(output)
    runs = [run] if other.suffix == WEIGHTS_SUFFIX else [run, other]
    for folder in runs:
        if missing := [name for name in (LAST, SUMMARY, FACES) if not (folder / name).is_file()]:
            raise ConfigError(f"{folder}: no complete run: {', '.join(missing)} is missing")
    files = [run / LAST, other / LAST if other in runs else other]
    _check_alike(*files)
    import keras

    try:
        network, other_network = (keras.models.load_model(file, compile=False) for file in files)
    except (ValueError, OSError) as error:
        raise ModelError(f"cannot load {' and '.join(map(str, files))}: {error}") from error
    average_weights(network, other_network, share=share, name=str(other))
    summary = json.loads((runs[-1] / SUMMARY).read_text(encoding="utf-8"))
    output.mkdir(parents=True, exist_ok=True)
    training_data = sorted({name for file in files for name in training_data_of(file)})
    summary |= {"name": output.name, "training_data": training_data, "validation": {}}
    (output / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    count = _write_manifest(runs, output)
    network.save(output / LAST)
    # Written last, as in a run.
    save_model(network, output / "model.keras")
    return count


def _check_alike(weights: Path, other: Path) -> None:
    """Check that the outputs and the margin of two models are the same, as far as run.json or a card states them.

    Raises:
        ModelError: they are not, so that the mean of their weights would be of no use.
    """
    one, two = _labels_and_margin(weights), _labels_and_margin(other)
    for key in one.keys() & two.keys():
        if one[key] != two[key]:
            raise ModelError(f"{other}: its {key} {two[key]} differ from {one[key]} of {weights}; merge two like runs")


def _labels_and_margin(weights: Path) -> dict[str, Any]:
    described = description_of(weights)
    found: dict[str, Any] = {key: described[key] for key in ("labels", "margin_fraction") if key in described}
    if described.get("no_face_threshold") is not None:
        # A card lists it separately.
        found["labels"] = [*found["labels"], NO_FACE]
    return found


def _write_manifest(runs: Sequence[Path], output: Path) -> int:
    """Write the faces of the last run, with only the pictures that all held out for validation.

    Returns the number of faces in these.
    """
    # Absolute, as the runs may be in different folders.
    faces_of_runs = [read_annotations(folder.resolve() / FACES) for folder in runs]
    trained_on = {face.path for faces in faces_of_runs for face in faces if face.split != "validation"}
    held_out = {face.path for face in faces_of_runs[0]} - trained_on
    manifest = CocoFile(output.resolve() / FACES, CLASSES)
    for face in faces_of_runs[-1]:
        split = "validation" if face.path in held_out else "train"
        manifest.add_picture(face.path, source=face.source, split=split)
        box = face.box
        manifest.add_face(face.path, (box.x1, box.y1, box.x2, box.y2), category=str(face.name), ignore=face.ignore)
    manifest.write()
    return sum(face.path in held_out for face in faces_of_runs[-1])
