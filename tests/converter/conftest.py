"""Fixtures of the converter tests: pictures in two colours, and models that distinguish them (colour_classifier.py)."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from converter.cli import main
from tests.converter.colour_classifier import BLUE, RED, colour_classifier, write_pictures
from tests.converter.red_detector import a_run, write_noise
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 60 blue pictures `with_mask` and 60 red ones `without_mask`."""
    folder = tmp_path_factory.mktemp("faces")
    write_pictures(folder / "with_mask", BLUE, count=60)
    write_pictures(folder / "without_mask", RED, count=60)
    return folder


@pytest.fixture(scope="session")
def keras_3() -> Any:
    """Keras 3."""
    with quiet_tensorflow():
        import keras
    return keras


@pytest.fixture(scope="session")
def keras_2() -> Any:
    """Keras 2, as tf_keras."""
    with quiet_tensorflow():
        import tf_keras
    return tf_keras


@pytest.fixture(scope="session")
def colour_model(keras_3: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The colour classifier as a `.keras` file."""
    path = tmp_path_factory.mktemp("colour_model") / "colours.keras"
    with quiet_tensorflow():
        colour_classifier(keras_3).save(path)
    return path


@pytest.fixture(scope="session")
def converted(colour_model: Path, faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The colour classifier as int8, with its card; read only."""
    output = tmp_path_factory.mktemp("converted")
    labels = ("--labels", "with_mask,without_mask")
    status = main(["convert", str(colour_model), *labels, "--calibration", str(faces), "--output", str(output)])
    assert status == 0
    return output / "colours.tflite"


@pytest.fixture
def convert(faces: Path, tmp_path: Path) -> Callable[..., int]:
    """Run `edge-convert convert MODEL ...` with two labels into `tmp_path/out`; returns the exit status."""

    def run(model: Path, *arguments: str, labels: str = "with_mask,without_mask", calibration: Path = faces) -> int:
        told = ("--labels", labels) if labels else ()
        places = ("--calibration", str(calibration), "--output", str(tmp_path / "out"), "--overwrite")
        return main(["convert", str(model), *told, *places, *arguments])

    return run


@pytest.fixture
def some_crops(shared: Path, tmp_path: Path) -> Path:
    """A folder with every sixth face of the reference data's test split."""
    folder = tmp_path / "some_crops"
    for label in ("with_mask", "without_mask"):
        (folder / label).mkdir(parents=True)
        for face in sorted((shared / "data/faces/crops/test" / label).iterdir())[::6]:
            (folder / label / face.name).symlink_to(face)
    return folder


@pytest.fixture(scope="session")
def converted_detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face detector's run with its card, faces.json, and two networks; read only."""
    run = a_run(tmp_path_factory.mktemp("detector") / "run")
    noise = write_noise(tmp_path_factory.mktemp("noise") / "pictures")
    places = ("--calibration", str(noise), "--output", str(run))
    assert main(["convert", str(run), *places, "--sizes", "128x96,96x128"]) == 0
    return run


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB, where the machine lets us mount one; elsewhere a limit of the file size stands in for it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("mounting a tiny disk needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)
