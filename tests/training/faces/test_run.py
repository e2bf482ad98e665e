"""Whole training runs on drawn scenes: learning, resuming after a kill, and the files of a finished run."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml

from edge_agent.errors import ConfigError
from tests.training.faces.conftest import RELEASED, a_tiny_recipe, write_scenes
from training.faces.batches import draw_batch
from training.faces.network import open_network
from training.faces.run import run
from training.faces.scenes import open_scenes
from training.faces.training_loop import learning_rate

if TYPE_CHECKING:
    from pathlib import Path

# Minutes on a machine that is busy with other tests.
pytestmark = [pytest.mark.tensorflow, pytest.mark.timeout(900)]

CHANNELS = 56
PROGRAM = [sys.executable, "-c", "import sys; from training.cli import main; sys.exit(main())"]
WRITTEN = {
    "model.keras",
    "run.json",
    "scenes.json",
    "recipe.yaml",
    "history.csv",
    "curves.png",
    "misses.png",
    "false_detections.png",
    "report.txt",
    "report.json",
}


def history(folder):
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Path]:
    """The file of a recipe and the folder of its uninterrupted run."""
    folder = tmp_path_factory.mktemp("finished")
    scenes = write_scenes(folder / "scenes", count=20)
    recipe = a_tiny_recipe(
        scenes,
        model={"weights": str(RELEASED), "stride_4_channels": CHANNELS},
        schedule={"batch_size": 2, "steps_per_epoch": 6, "epochs": 3, "warmup_steps": 2},
    )
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    # In a process of its own, as what is compared with it: what TensorFlow did before in this one shows in the last
    # digits, and which cell answers for a face can hang on those.
    subprocess.run([*PROGRAM, "faces", str(file), "--output", str(folder / "run")], check=True)
    return file, folder / "run"


def test_a_run_leaves_model_history_and_reports(finished):
    _, folder = finished

    assert {path.name for path in folder.iterdir()} >= WRITTEN
    assert len(history(folder)) == 3
    said = json.loads((folder / "run.json").read_text())
    assert said["kind"] == "face_detector"
    assert said["training_data"] == ["scenes/annotations.json"]
    filters = [getattr(layer, "filters", None) for layer in open_network(folder / "model.keras").layers]
    assert filters.count(CHANNELS) == 3


def test_a_killed_run_resumes_with_the_same_result(finished, tmp_path):
    file, undisturbed = finished
    folder = tmp_path / "killed"
    command = [*PROGRAM, "faces", str(file), "--output", str(folder)]

    with subprocess.Popen(command) as process:
        deadline = time.monotonic() + 600
        while not (folder / "state.npz").is_file() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
    subprocess.run(command, check=True)

    whole, killed = history(undisturbed), history(folder)
    assert [float(row["loss"]) for row in killed] == pytest.approx([float(row["loss"]) for row in whole], rel=1e-3)


def test_another_recipe_in_the_same_folder_is_refused(tiny_recipe, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("name: other\n")
    (tmp_path / "run" / "state.json").write_text("{}")

    with pytest.raises(ConfigError, match="holds a run of another recipe"):
        run(tiny_recipe(), folder=tmp_path / "run")


def test_a_run_that_diverges_ends_with_advice(tiny_recipe, tmp_path):
    schedule = {"batch_size": 2, "steps_per_epoch": 3, "epochs": 2, "warmup_steps": 1, "learning_rate": 1e30}

    with pytest.raises(ConfigError, match="learning_rate"):
        run(tiny_recipe(schedule=schedule), folder=tmp_path / "run")

    assert not (tmp_path / "run" / "model.keras").exists()


def test_a_run_is_not_resumed_on_other_data(tiny_recipe, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "scenes.json").write_text("{}")
    recipe = tiny_recipe()
    (tmp_path / "run" / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
    (tmp_path / "run" / "state.npz").write_bytes(b"")

    with pytest.raises(ConfigError, match=r"scenes\.json differs"):
        run(recipe, folder=tmp_path / "run")


def test_a_batch_is_the_same_for_the_same_step(tiny_recipe, tmp_path):
    recipe = tiny_recipe()
    scenes = open_scenes(recipe, folder=tmp_path).train

    one, same, other = (draw_batch(scenes, recipe, 3, number) for number in (7, 7, 8))

    np.testing.assert_array_equal(one.pixels, same.pixels)
    np.testing.assert_array_equal(one.faces, same.faces)
    assert (one.pixels != other.pixels).any()


def test_the_learning_rate_rises_and_falls_to_zero(tiny_recipe):
    recipe = tiny_recipe(schedule={"steps_per_epoch": 100, "epochs": 10, "warmup_steps": 10, "learning_rate": 1e-3})

    rates = [learning_rate(recipe, step=step) for step in range(1000)]

    assert rates[0] == pytest.approx(1e-4, rel=0.01)
    assert max(rates) == pytest.approx(1e-3, rel=0.01)
    assert rates[-1] < 1e-7


def test_a_run_learns_from_a_teacher_and_from_its_predictions(tiny_recipe, tmp_path):
    write_scenes(tmp_path / "photos", count=4)
    recipe = tiny_recipe(
        data=[*tiny_recipe().model_dump(mode="json")["data"], {"pictures": str(tmp_path / "photos")}],
        teacher={"detector": str(RELEASED), "longer_side_px": 160, "ignore_score": 0.0, "pseudo_label_score": 0.01},
        distillation={"model": str(RELEASED)},
    )

    run(recipe, folder=tmp_path / "second")

    assert json.loads((tmp_path / "second" / "teacher_detections.json").read_text())
    assert all(np.isfinite(float(row["loss"])) for row in history(tmp_path / "second"))
