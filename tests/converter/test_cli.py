"""The command line as a whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from converter.cli import build_parser, main
from tests.converter.colour_classifier import colour_classifier
from training.tensorflow_logs import quiet_tensorflow

COMMANDS = ("convert", "evaluate", "calibrate", "inspect", "bench", "sizes", "release")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])

    assert ended.value.code == 0
    assert f"example: edge-convert {command}" in " ".join(capsys.readouterr().out.split())


def test_the_help_lists_every_command():
    text = build_parser().format_help()

    assert all(f"\n    {command}" in text for command in COMMANDS)


def test_help_does_not_load_tensorflow():
    program = "import sys, converter.cli; converter.cli.build_parser(); print('tensorflow' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_a_path_that_the_disk_refuses_is_one_sentence_and_status_78(capsys):
    assert main(["evaluate", "a" * 300, "--folders", "faces"]) == 78

    assert "File name too long; correct the path" in capsys.readouterr().err


def test_a_detector_gets_no_name_that_its_card_does_not_allow(tmp_path, capsys):
    (tmp_path / "run.json").write_text('{"kind": "face_detector"}')

    assert main(["release", str(tmp_path), "--scenes", "annotations.json", "--name", "my faces"]) == 78

    assert "--name 'my faces': use letters" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert", "a.h5", "--output", "file"],
        ["convert", "a.h5", "--output", "file/models"],
        ["convert", "a.h5", "--output", "models", "--report", "file"],
        ["card", "a.tflite", "--output", "file"],
        ["release", "runs/masks", "--folders", "faces", "--models", "file"],
    ],
)
def test_a_folder_that_is_a_file_is_reported_before_anything_is_loaded(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")

    assert main(arguments) == 78

    assert "file is not a folder; " in capsys.readouterr().err


@pytest.mark.tensorflow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_command_ended_by_a_signal_leaves_no_temporary_files(keras_3, faces, tmp_path, number):
    with quiet_tensorflow():
        colour_classifier(keras_3).save(tmp_path / "keras_model.h5")
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        archive.write(tmp_path / "keras_model.h5", "keras_model.h5")
        archive.writestr("labels.txt", "0 with_mask\n1 without_mask\n")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    # The tests may have been started in the background, where the shell ignores signals.
    usual = "import signal; signal.signal(1, signal.SIG_DFL); signal.signal(2, signal.default_int_handler)"
    program = f"{usual}; import sys; from converter.cli import main; sys.exit(main())"
    places = ("--calibration", str(faces), "--output", str(tmp_path / "out"))
    with subprocess.Popen(
        [sys.executable, "-c", program, "convert", str(tmp_path / "masks.zip"), *places],
        env=os.environ | {"TMPDIR": str(temporary)},
        stderr=subprocess.DEVNULL,
    ) as process:
        # The archive is unpacked before TensorFlow is loaded. A folder that is still empty may be just being made.
        while not any(temporary.glob("*/*")) and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(number)

    assert process.returncode == 128 + number
    assert not any(temporary.iterdir())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf"])
def test_a_measurement_of_endless_or_no_duration_is_wrong_usage(seconds):
    with pytest.raises(SystemExit) as ended:
        main(["bench", "a.tflite", f"--seconds={seconds}"])

    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("option", "value"),
    [("--name", name) for name in ("", "../masks", "/masks", "masks/", "a\nb")]
    + [(option, f"0,{number},0") for option in ("--means", "--std") for number in ("nan", "inf", "x")],
)
def test_a_name_outside_the_folder_and_numbers_that_are_none_are_wrong_usage(option, value, tmp_path):
    with pytest.raises(SystemExit) as ended:
        main(["convert", "a.h5", "--output", str(tmp_path), f"{option}={value}"])

    assert ended.value.code == 2
