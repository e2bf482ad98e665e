"""Merge: the mean of two runs, validated on faces that neither was trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_agent.domain import Box
from edge_agent.errors import ConfigError, ModelError
from training.cli import main
from training.coco import CocoFile
from training.masks.examples import read_scenes
from training.masks.merge import merge

pytestmark = pytest.mark.tensorflow

PICTURES = Path("/pictures")


LABELS = ["with_mask", "without_mask"]


def a_run(folder, *, weight, split, units=2, **said):
    """A complete run of one layer whose weights are all the same; `split` is that of each picture."""
    import keras

    folder.mkdir(parents=True)
    network = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(units)])
    network.set_weights([np.full_like(one, weight) for one in network.get_weights()])
    network.save(folder / "last.keras")
    summary = {"name": folder.name, "labels": LABELS, "margin_fraction": 0.25, "training_data": [folder.name]}
    (folder / "run.json").write_text(json.dumps(summary | said))
    manifest = CocoFile(folder / "faces.json", ["with_mask", "without_mask"])
    for picture, one in split.items():
        manifest.add_picture(PICTURES / picture, source="street", split=one)
        manifest.add_face(PICTURES / picture, (10, 10, 40, 40), category="without_mask")
    manifest.write()
    return folder


@pytest.fixture
def runs(tmp_path):
    one = a_run(tmp_path / "one", weight=1.0, split={"a": "validation", "b": "validation", "c": "train"})
    two = a_run(tmp_path / "two", weight=3.0, split={"a": "validation", "b": "train", "c": "validation"})
    return one, two


def test_weights_are_the_mean_and_validation_is_what_both_kept_apart(runs, tmp_path, capsys):
    import keras

    output = tmp_path / "both"
    assert main(["merge", *map(str, runs), "--share", "0.25", "--output", str(output)]) == 0

    assert capsys.readouterr().out == f"{output / 'model.keras'}: 1 validation faces held out by both runs\n"
    weights = keras.models.load_model(output / "model.keras", compile=False).get_weights()
    assert all(np.allclose(one, 1.5) for one in weights)
    summary = json.loads((output / "run.json").read_text())
    assert (summary["name"], summary["training_data"]) == ("both", ["one", "two"])
    (face,) = read_scenes(output / "faces.json", splits=("validation",), labels=("without_mask",))
    assert (face.path, face.box) == (PICTURES / "a", Box(10, 10, 40, 40))


def test_runs_in_different_folders_hold_out_the_same_pictures(runs, tmp_path, monkeypatch):
    elsewhere = a_run(tmp_path / "other" / "folder" / "two", weight=3.0, split={"a": "validation", "b": "train"})
    monkeypatch.chdir(tmp_path)

    assert merge(runs[0].relative_to(tmp_path), elsewhere, Path("deep") / "er" / "both", share=0.5) == 1

    (face,) = read_scenes(Path("deep/er/both/faces.json").resolve(), splits=("validation",))
    assert face.path == PICTURES / "a"


def test_runs_of_other_networks_are_refused(runs, tmp_path):
    other = a_run(tmp_path / "other", weight=0.0, split={"a": "validation"}, units=3)

    with pytest.raises(ModelError, match="another network"):
        merge(runs[0], other, tmp_path / "both", share=0.5)


def test_runs_with_other_outputs_or_inputs_are_refused(runs, tmp_path):
    kept = {"a": "validation"}
    swapped = a_run(tmp_path / "swapped", weight=0.0, split=kept, labels=LABELS[::-1])
    wider = a_run(tmp_path / "wider", weight=0.0, split=kept, margin_fraction=0.5)
    (tmp_path / "models").mkdir()
    released = shutil.copy(runs[1] / "last.keras", tmp_path / "models" / "masks.keras")
    card = {"labels": LABELS, "no_face_threshold": 0.5, "training_data": []}
    (tmp_path / "models" / "masks.json").write_text(json.dumps(card))

    for other, key in ((swapped, "labels"), (wider, "margin_fraction"), (released, "labels")):
        with pytest.raises(ModelError, match=key):
            merge(runs[0], other, tmp_path / "both", share=0.5)
    assert not (tmp_path / "both").exists()


def test_incomplete_runs_and_full_folders_are_refused(runs, tmp_path):
    with pytest.raises(ConfigError, match="is not empty"):
        merge(runs[0], runs[1], runs[0], share=0.5)
    (runs[1] / "last.keras").unlink()
    with pytest.raises(ConfigError, match=r"no complete run: last\.keras"):
        merge(runs[0], runs[1], tmp_path / "both", share=0.5)


def test_a_run_is_averaged_with_a_released_model(runs, tmp_path):
    import keras

    (tmp_path / "models").mkdir()
    released = shutil.copy(runs[1] / "last.keras", tmp_path / "models" / "masks.keras")
    (tmp_path / "models" / "masks.json").write_text(json.dumps({"training_data": ["released"]}))

    assert merge(runs[0], released, tmp_path / "both", share=0.5) == 2

    weights = keras.models.load_model(tmp_path / "both" / "model.keras", compile=False).get_weights()
    assert all(np.allclose(one, 2.0) for one in weights)
    assert json.loads((tmp_path / "both" / "run.json").read_text())["training_data"] == ["one", "released"]
    with pytest.raises(ModelError, match=r"none\.keras"):
        merge(runs[0], tmp_path / "none.keras", tmp_path / "none", share=0.5)
