"""`edge-convert inspect`: reports a model and its card."""

from __future__ import annotations

import json
import shutil

import pytest

from converter.cli import main
from tests.converter.colour_classifier import colour_classifier
from training.tensorflow_logs import quiet_tensorflow

pytestmark = pytest.mark.tensorflow


def test_a_good_model_is_described(converted, capsys):
    assert main(["inspect", str(converted), "--operators"]) == 0

    said = capsys.readouterr().out
    assert "uint8, value = (number - 127) * 0.007843138" in said
    assert "million multiply-adds" in said
    assert "Edge TPU (estimated): takes 6 of 6 operators" in said
    assert "card: fits" in said


def test_json_holds_the_numbers(converted, capsys):
    assert main(["inspect", str(converted), "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert told["card"] == "fits"
    assert told["size_bytes"] == converted.stat().st_size
    assert told["operators_on_edge_tpu"] == len(told["operators"])
    assert told["inputs"][0]["dtype"] == "UINT8"


def test_a_card_that_does_not_fit_is_reported_and_sets_the_exit_status(converted, tmp_path, capsys):
    shutil.copy(converted, tmp_path / "a.tflite")
    card = json.loads(converted.with_suffix(".json").read_text())
    (tmp_path / "a.json").write_text(json.dumps(card | {"sha256": "0" * 64}))

    assert main(["inspect", str(tmp_path / "a.tflite")]) == 78
    assert "card: " in capsys.readouterr().out
    (tmp_path / "a.json").unlink()
    assert main(["inspect", str(tmp_path / "a.tflite")]) == 78
    assert "its card a.json is missing" in capsys.readouterr().out


def test_a_float_model_is_described_before_it_is_converted(colour_model, capsys):
    assert main(["inspect", str(colour_model), "--json"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert said["kind"].startswith(".keras of Keras 3")
    assert (said["input"], said["output_count"], said["pixels"]) == ([32, 32, 3], 2, None)
    assert said["multiply_adds"] == 32 * 32 * 2 * 27 + 2 * 2


def test_the_cost_of_a_model_with_undefined_batch_is_that_of_one_picture(keras_3, tmp_path, capsys):
    with quiet_tensorflow():
        import tensorflow as tf

        content = tf.lite.TFLiteConverter.from_keras_model(colour_classifier(keras_3)).convert()
    (tmp_path / "a.tflite").write_bytes(content)
    capsys.readouterr()

    main(["inspect", str(tmp_path / "a.tflite"), "--json"])

    said = json.loads(capsys.readouterr().out)
    assert said["inputs"][0]["shape"][0] == -1
    assert said["multiply_adds"] == 32 * 32 * 2 * 27 + 2 * 2
