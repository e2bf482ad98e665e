"""`edge-convert bench`: costs side by side, each measured in its own process."""

from __future__ import annotations

import json

import pytest

from converter.cli import main
from tests.converter.colour_classifier import HAS_TFLITE_RUNTIME

pytestmark = pytest.mark.tensorflow


def test_models_are_measured_in_each_runtime_beside_keras_predict(converted, colour_model, capsys):
    models = (str(converted), str(colour_model))

    assert main(["bench", *models, "--threads", "1", "--seconds", "0.05", "--json"]) == 0

    measured = json.loads(capsys.readouterr().out)["measured"]
    assert [(one["runtime"], one["threads"]) for one in measured] == [
        ("litert", 1),
        ("tflite-runtime", 1),
        ("keras", 0),
    ]
    if not HAS_TFLITE_RUNTIME:
        assert "tflite_runtime" in measured.pop(1)["failure"]
    for one in measured:
        cost = one["cost"]
        assert 0 < cost["p50_ms"] <= cost["p95_ms"]
        assert cost["readings"] >= 20
        assert cost["load_ms"] > 0
    tflite, keras = measured[0], measured[-1]
    assert keras["cost"]["p50_ms"] > 20 * tflite["cost"]["p50_ms"]
    assert keras["cost"]["memory_mib"] > 2 * tflite["cost"]["memory_mib"]


def test_a_model_that_cannot_be_measured_is_still_listed(converted, tmp_path, capsys):
    (tmp_path / "bad.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(100))

    assert main(["bench", str(tmp_path / "bad.tflite"), str(converted), "--threads", "1", "--seconds", "0.05"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 2 * 2
    assert "bad.tflite" in lines[1]


def test_a_missing_model_is_named(tmp_path, capsys):
    assert main(["bench", str(tmp_path / "nowhere.tflite")]) == 78
    assert "nowhere.tflite: no such model" in capsys.readouterr().err
