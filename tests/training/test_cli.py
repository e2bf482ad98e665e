"""Command line of edge-train."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

from tests.file_sizes import limited_file_size
from tests.training.conftest import TINY
from training.cli import main

PROGRAM = [sys.executable, "-c", "import sys; from training.cli import main; sys.exit(main())"]


def a_recipe(folder, faces, **changed):
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**TINY, "data": [{"folders": str(faces)}], **changed}))
    return path


@pytest.mark.parametrize("command", [[], ["masks"], ["faces"], ["synthesise"], ["empty"], ["explore"]])
def test_the_help_of_each_command_ends_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])

    assert ended.value.code == 0
    assert f"example: edge-train {command[0] if command else 'masks'}" in capsys.readouterr().out


def test_help_does_not_load_tensorflow():
    loaded = "import sys; from training.cli import main; sys.argv = ['x']; import training.cli"
    done = subprocess.run(
        [sys.executable, "-c", f"{loaded}; print('tensorflow' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    "arguments",
    [
        ["empty", "out", "--scenes", "a.json", "--detector", "a.onnx", "--seed", "-1"],
        ["synthesise", "faces", "--output", "out", "--detector", "a.onnx", "--seed", "-1"],
        ["synthesise", "faces", "--output", "out", "--detector", "a.onnx", "--wrong-share", "2"],
        ["merge", "one", "two", "--output", "both", "--share", "2"],
        ["explore", "faces", "--duplicate-bits", "65"],
    ],
)
def test_a_number_out_of_range_is_an_error_of_the_command_line(arguments, capfd):
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "is not a" in capfd.readouterr().err


def test_an_invalid_recipe_gives_one_message_and_status_78(tmp_path, class_folders, capfd):
    assert main(["masks", str(a_recipe(tmp_path, class_folders, epohcs=3))]) == 78

    assert "epohcs: unknown key" in capfd.readouterr().err


def test_an_empty_class_folder_gives_one_message_and_status_78(tmp_path, class_folders, capfd):
    for path in (class_folders / "with_mask").iterdir():
        path.unlink()
    recipe = a_recipe(tmp_path, class_folders)

    assert main(["masks", str(recipe), "--output", str(tmp_path / "run")]) == 78

    assert "with_mask: no pictures" in capfd.readouterr().err
    assert not (tmp_path / "run" / "model.keras").exists()


def test_an_empty_class_folder_is_reported_before_tensorflow_is_loaded(tmp_path, class_folders):
    for path in (class_folders / "with_mask").iterdir():
        path.unlink()
    command = ["masks", str(a_recipe(tmp_path, class_folders)), "--output", str(tmp_path / "run")]

    done = subprocess.run(
        [sys.executable, "-c", f"import sys, training.cli; training.cli.main({command}); print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "with_mask: no pictures" in done.stderr
    assert "tensorflow" not in done.stdout.split()


def test_explore_prints_a_summary_and_exits_with_status_0(class_folders, capsys):
    assert main(["explore", str(class_folders)]) == 0

    assert "near-duplicates" in capsys.readouterr().out


@pytest.mark.reference_data
def test_synthesise_prints_the_number_of_pictures(tmp_path, shared, capsys):
    import cv2
    from skimage import data

    (tmp_path / "bare").mkdir()
    cv2.imwrite(str(tmp_path / "bare" / "one.png"), cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR))
    detector = shared / "weights" / "face_detection_yunet_2023mar.onnx"

    status = main(
        ["synthesise", str(tmp_path / "bare"), "--output", str(tmp_path / "drawn"), "--detector", str(detector)]
    )

    assert status == 0
    assert "1\n" in capsys.readouterr().out


@pytest.mark.tensorflow
def test_a_run_writes_its_whole_folder_and_refuses_another_recipe_in_it(tmp_path, class_folders, capfd):
    (class_folders / "with_mask" / "broken.jpg").write_bytes(b"no picture")
    run = tmp_path / "run"

    assert main(["masks", str(a_recipe(tmp_path, class_folders)), "--output", str(run)]) == 0

    assert capfd.readouterr().out.strip() == str(run / "model.keras")
    written = {path.name for path in run.iterdir()}
    assert written >= {
        "model.keras", "last.keras", "architecture.json", "run.json", "recipe.yaml", "faces.json", "history.csv",
        "curves.png", "confusion.png", "reliability.png", "mistakes.png", "report.txt", "report.json",
    }  # fmt: skip
    said = json.loads((run / "run.json").read_text())
    assert said["labels"] == ["with_mask", "without_mask"]
    assert (said["network"], said["input_size"]) == ("plain CNN", 32)
    report = json.loads((run / "report.json").read_text())["all"]
    assert set(report["labels"]["with_mask"]) == {"precision", "recall", "f1", "faces"}
    assert len((run / "history.csv").read_text().splitlines()) == 3

    assert main(["masks", str(a_recipe(tmp_path, class_folders, seed=9)), "--output", str(run)]) == 78
    assert "another recipe" in capfd.readouterr().err


@pytest.mark.tensorflow
def test_a_run_is_not_resumed_on_other_data(tmp_path, class_folders, capfd):
    run = tmp_path / "run"
    recipe = str(a_recipe(tmp_path, class_folders, schedule={"epochs": 1, "faces_per_epoch": 8, "batch_size": 8}))
    assert main(["masks", recipe, "--output", str(run)]) == 0
    assert main(["masks", recipe, "--output", str(run)]) == 0
    before = {name: (run / name).read_bytes() for name in ("faces.json", "report.json", "model.keras")}
    shutil.copy(class_folders / "with_mask" / "000.png", class_folders / "without_mask" / "more.png")

    assert main(["masks", recipe, "--output", str(run)]) == 78

    assert "faces.json differs" in capfd.readouterr().err
    assert {name: (run / name).read_bytes() for name in before} == before


@pytest.mark.tensorflow
def test_a_run_that_starts_from_another_records_the_data_of_both(tmp_path, class_folders):
    first, more = tmp_path / "first", tmp_path / "more"
    shutil.copytree(class_folders, more)
    recipe = a_recipe(tmp_path, class_folders)
    assert main(["masks", str(recipe), "--output", str(first)]) == 0
    model = {"architecture": "cnn", "input_size": 32, "weights": str(first / "last.keras")}
    recipe = a_recipe(tmp_path, more, model=model)

    assert main(["masks", str(recipe), "--output", str(tmp_path / "second")]) == 0

    said = json.loads((tmp_path / "second" / "run.json").read_text())["training_data"]
    assert [name.rpartition("/")[2] for name in said] == ["faces", "more"]


@pytest.mark.tensorflow
def test_a_run_that_validates_on_faces_its_weights_were_trained_on_says_so(tmp_path, class_folders, caplog):
    schedule = {"epochs": 1, "faces_per_epoch": 8, "batch_size": 8}
    model = {"architecture": "cnn", "input_size": 32, "weights": str(tmp_path / "first" / "last.keras")}

    for output, changed in (("first", {}), ("same", {"model": model}), ("other", {"model": model, "seed": 9})):
        caplog.clear()
        recipe = a_recipe(tmp_path, class_folders, schedule=schedule, **changed)
        assert main(["masks", str(recipe), "--output", str(tmp_path / output)]) == 0
        assert ("use the seed" in caplog.text) == (output == "other")


@pytest.mark.tensorflow
@pytest.mark.timeout(900)
def test_a_killed_run_resumes_in_its_last_epoch(tmp_path, class_folders):
    run = tmp_path / "run"
    schedule = {"epochs": 400, "faces_per_epoch": 64, "batch_size": 8, "patience": 400}
    command = [*PROGRAM, "masks", str(a_recipe(tmp_path, class_folders, schedule=schedule)), "--output", str(run)]
    with (tmp_path / "stderr").open("wb") as stderr:
        killed = subprocess.Popen(command, stderr=stderr)
    _wait_for(lambda: _epochs(run) >= 2, process=killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not re.search("cuda|absl|tensorflow", (tmp_path / "stderr").read_text(), re.IGNORECASE)
    done = _epochs(run)

    resumed = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _wait_for(lambda: _epochs(run) >= done + 2, process=resumed)
    resumed.kill()
    resumed.wait()

    history = json.loads((run / "state.json").read_text())["history"]
    assert [row["epoch"] for row in history] == list(range(len(history)))
    assert (run / json.loads((run / "state.json").read_text())["model"]).is_file()


def _epochs(run) -> int:
    state = run / "state.json"
    return len(json.loads(state.read_text())["history"]) if state.is_file() else 0


def _wait_for(happened, *, process) -> None:
    end = time.monotonic() + 400.0
    while not happened():
        assert process.poll() is None, "the run ended by itself"
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.05)


@pytest.mark.tensorflow
def test_a_run_that_ends_before_its_reports_are_written_has_no_model(tmp_path, class_folders):
    schedule = {"epochs": 1, "faces_per_epoch": 8, "batch_size": 8}
    run = tmp_path / "run"
    (run / "confusion.png").mkdir(parents=True)

    assert main(["masks", str(a_recipe(tmp_path, class_folders, schedule=schedule)), "--output", str(run)]) == 78

    assert not (run / "model.keras").exists()


@pytest.mark.tensorflow
def test_a_full_disk_gives_one_message_and_leaves_no_partial_model(tmp_path, class_folders, capfd):
    run = tmp_path / "run"
    schedule = {"epochs": 1, "faces_per_epoch": 8, "batch_size": 8}
    recipe = str(a_recipe(tmp_path, class_folders, schedule=schedule))
    # Room for the packs and not for a model.
    with limited_file_size(400_000):
        status = main(["masks", recipe, "--output", str(run)])

    assert status == 78
    assert "make room, or choose another folder" in capfd.readouterr().err
    assert not [path for path in run.glob("*.keras") if not path.name.startswith("epoch-")]
    assert main(["masks", recipe, "--output", str(run)]) == 0
