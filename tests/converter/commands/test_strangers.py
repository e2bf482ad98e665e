"""Third-party models classify as well as with their authors' own preprocessing, or are refused with a way out.

`make test-strangers` calibrates on 300 faces of the training part of `crops` and judges on its whole test part, which
takes minutes; `make test` uses few faces, and leaves a huge model out. The authors' preprocessing is written here,
apart from the converter's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from converter.cli import main
from converter.labelled_faces import labelled_faces_in
from edge_agent.vision.classifier import open_classifier
from edge_agent.vision.images import read_picture
from tests.converter.colour_classifier import scores_of_whole
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.tensorflow, pytest.mark.reference_data, pytest.mark.timeout(900)]

IS_WHOLE = os.environ.get("STRANGERS") == "whole"
CALIBRATION_PICTURES, FACES, MAX_DIFFERENCE = (300, 781, 0.01) if IS_WHOLE else (60, 130, 0.03)
LARGE_CALIBRATION_PICTURES, LARGE_FACES, LARGE_DIFFERENCE = (300, 781, 0.01) if IS_WHOLE else (100, 60, 0.05)
"""For large models: pictures for calibration, faces for evaluation, and accepted difference."""
WITH, WITHOUT, WRONG = "with_mask", "without_mask", "mask_worn_incorrectly"


def sized(image, side_px):
    """As nearly every author writes it."""
    return cv2.resize(image, (side_px, side_px)).astype(np.float32)


def rgb(image, side_px):
    return sized(image, side_px)[..., ::-1]


def grey(image, side_px):
    return cv2.cvtColor(sized(image, side_px), cv2.COLOR_BGR2GRAY)[..., np.newaxis]


@dataclass(frozen=True)
class Stranger:
    """A file, how its author prepares a BGR picture, what its outputs mean, and how its model and card are made.

    A `large` one takes a minute of processor time and more with all faces, a `huge` one with few.
    """

    file: str
    prepare: Callable[[Any], Any]
    outputs: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    command: str = "convert"
    large: bool = False
    huge: bool = False


STRANGERS = [
    Stranger(
        "01_bgr_27px_sigmoid.h5",
        lambda image: sized(image, 27) / 255,
        (WITHOUT, WITH),
        ("--labels", f"{WITHOUT},{WITH}"),
    ),
    Stranger(
        "03_three_labels_raw255_64px.h5",
        lambda image: rgb(image, 64),
        (WRONG, WITH, WITHOUT),
        ("--labels", f"{WRONG},{WITH},{WITHOUT}", "--format", "best"),
        large=True,
    ),
    Stranger(
        "04_savedmodel_rank3_input",
        lambda image: rgb(image, 64).reshape(-1, 3),
        (WRONG, WITH, WITHOUT),
        ("--labels", f"{WRONG},{WITH},{WITHOUT}", "--format", "best"),
        large=True,
    ),
    Stranger("05_range_0..1_rgb_27px.h5", lambda image: rgb(image, 27) / 255, (WITHOUT, WITH)),
    Stranger("06_evaluate_assumes_-1..1.keras", lambda image: rgb(image, 100) / 255, (WITH, WITHOUT), large=True),
    Stranger("07_range_tie_28px.h5", lambda image: rgb(image, 28) / 255, (WITHOUT, WITH)),
    Stranger("09_grey_150px_sigmoid.h5", lambda image: grey(image, 150) / 255, (WITH, WITHOUT), large=True),
    Stranger("11_savedmodel_batch32", lambda image: rgb(image, 50) / 255, (WITH, WITHOUT)),
    Stranger(
        "14_vgg_preprocess_outside_50px.h5",
        lambda image: sized(image, 50) - np.array([103.939, 116.779, 123.68]),
        (WITH, WITHOUT),
    ),
    Stranger(
        "16_edge_impulse.tflite",
        lambda image: rgb(image, 96) / 255,
        (WITHOUT, WITH),
        ("--labels", f"face={WITHOUT},mask={WITH}"),
        command="card",
    ),
    Stranger("18_model_json_and_weights", lambda image: rgb(image, 50) / 255, (WITH, WITHOUT)),
    Stranger(
        "20_teachable_machine_int8_loss.zip",
        lambda image: rgb(image, 224) / 127.5 - 1,
        (WITH, WITHOUT),
        ("--format", "best"),
        large=True,
        huge=True,
    ),
]


@pytest.fixture(scope="module")
def strangers(shared_for_module):
    return shared_for_module / "keras_models" / "strangers"


@pytest.fixture(scope="module")
def crops(shared_for_module):
    return shared_for_module / "data" / "faces" / "crops"


def judging(crops, count):
    """So many of the kept-apart faces, or a few more: label and BGR picture."""
    faces = labelled_faces_in(crops / "test")
    return [(face.label, read_picture(face.path)) for face in faces[:: len(faces) // count]]


@pytest.fixture(scope="module")
def shared_for_module(request):
    from tests.conftest import SHARED

    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent")
    return SHARED


def as_its_author_reads(path: Path) -> Callable[[Any], Any]:
    """The model of a file as a function of prepared pictures, (pictures, ...), loaded without the converter's help."""
    import zipfile

    with quiet_tensorflow():
        import keras
        import tensorflow as tf
        import tf_keras

        if path.suffix == ".tflite":
            return of_tflite(tf.lite.Interpreter(str(path)))
        if path.suffix == ".keras":
            return keras.models.load_model(path, compile=False).predict_on_batch  # type: ignore[no-any-return]
        if (path / "model.json").is_file():
            model = tf_keras.models.model_from_json((path / "model.json").read_text())
            model.load_weights(path / "model.h5")
            return model.predict_on_batch  # type: ignore[no-any-return]
        if path.name.startswith("11"):
            signature = tf.saved_model.load(str(path)).signatures["serving_default"]

            def in_batches(pictures):
                padded = np.concatenate([pictures, np.zeros((-len(pictures) % 32, *pictures.shape[1:]), np.float32)])
                parts = [signature(x=tf.constant(padded[at : at + 32]))["out"] for at in range(0, len(padded), 32)]
                return np.concatenate(parts)[: len(pictures)]

            return in_batches
        if path.suffix == ".zip":
            import tempfile

            with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
                archive.extract("keras_model.h5", folder)
                return tf_keras.models.load_model(f"{folder}/keras_model.h5", compile=False).predict_on_batch  # type: ignore[no-any-return]
        import h5py

        version = "2"
        if path.is_file():
            with h5py.File(path) as file:
                version = str(file.attrs["keras_version"])
        loader = tf_keras if version.startswith("2") else keras
        return loader.models.load_model(path, compile=False).predict_on_batch  # type: ignore[no-any-return]


def of_tflite(interpreter: Any) -> Callable[[Any], Any]:
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = taken["quantization"]

    def one_by_one(pictures):
        rows = []
        for picture in pictures:
            steps = np.clip(np.round(picture / scale + zero_point), -128, 127).astype(np.int8)
            interpreter.set_tensor(taken["index"], steps[np.newaxis])
            interpreter.invoke()
            rows.append(interpreter.get_tensor(given["index"])[0].astype(np.float32))
        return rows

    return one_by_one


def right_by_author(stranger, path, faces):
    predict = as_its_author_reads(path)
    with quiet_tensorflow():
        parts = [
            np.asarray(predict(np.array([stranger.prepare(image) for _, image in faces[at : at + 64]], np.float32)))
            for at in range(0, len(faces), 64)
        ]
    shares = np.concatenate(parts)
    if shares.shape[1] == 1:
        shares = np.hstack([1 - shares, shares])
    read = [stranger.outputs[index] for index in shares.argmax(axis=1)]
    return sum(one == label for one, (label, _) in zip(read, faces, strict=True)) / len(faces)


@pytest.mark.parametrize(
    "stranger", [one for one in STRANGERS if IS_WHOLE or not one.huge], ids=lambda stranger: stranger.file
)
def test_a_foreign_model_is_read_as_with_its_authors_preprocessing(stranger, strangers, crops, tmp_path):
    path = strangers / stranger.file
    pictures, count, difference = CALIBRATION_PICTURES, FACES, MAX_DIFFERENCE
    if stranger.large:
        pictures, count, difference = LARGE_CALIBRATION_PICTURES, LARGE_FACES, LARGE_DIFFERENCE
    places = (
        "--calibration",
        str(crops / "train"),
        "--pictures",
        str(pictures),
        "--output",
        str(tmp_path),
        "--name",
        "m",
    )

    assert main([stranger.command, str(path), *stranger.arguments, *places]) == 0

    with quiet_tensorflow():
        classifier = open_classifier(tmp_path / "m.tflite")
    faces = judging(crops, count)
    right = [classifier.card.decide(scores_of_whole(classifier, image)) == label for label, image in faces]
    author = right_by_author(stranger, path, faces)
    print(f"{stranger.file}: author {author:.1%}, converted {np.mean(right):.1%}")  # noqa: T201
    assert np.mean(right) > author - difference


@pytest.mark.parametrize(
    ("file", "said"),
    [("13_custom_layer.keras", "a custom layer, 'Attention'"), ("22_git_lfs_pointer.h5", "a pointer of Git LFS")],
)
def test_a_model_that_cannot_be_converted_is_refused_with_a_remedy(strangers, crops, capsys, file, said):
    places = ("--calibration", str(crops / "train"), "--output", "nowhere")

    assert main(["convert", str(strangers / file), *places]) == 78
    assert said in capsys.readouterr().err


def test_the_gate_stays_closed_if_the_original_is_read_with_the_wrong_preprocessing(
    strangers, crops, some_crops, tmp_path, capsys
):
    path = strangers / "06_evaluate_assumes_-1..1.keras"
    places = ("--calibration", str(crops / "train"), "--pictures", "24", "--output", str(tmp_path), "--name", "m")
    assert main(["convert", str(path), "--pixels=-1..1", "--labels", "with_mask,without_mask", *places]) == 3
    assert main(["convert", str(path), "--pixels=-1..1", "--labels", "with_mask,without_mask", "--force", *places]) == 0
    capsys.readouterr()

    result = ("--against", str(path), "--folders", str(some_crops))
    assert main(["evaluate", str(tmp_path / "m.tflite"), *result]) == 3
    assert "--pixels=0..1" in capsys.readouterr().err
