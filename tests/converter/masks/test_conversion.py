"""Conversion: the settings of TensorFlow's converter, and the errors if it fails."""

from __future__ import annotations

import numpy as np
import pytest

from converter.masks.conversion import to_tflite
from converter.masks.outputs import LabelMapping
from converter.masks.overrides import ModelOverrides
from converter.tensorflow_logs import quiet_tensorflow
from converter.tflite_conversion import FORMATS
from edge_agent.errors import ModelError
from edge_agent.vision.tflite import Interpreter
from tests.converter.colour_classifier import BLUE, RED, SIDE_PX, colour_classifier, coloured, open_float_model

pytestmark = pytest.mark.tensorflow

TWO = ModelOverrides(labels=LabelMapping(("with_mask", "without_mask")))


@pytest.mark.parametrize("output_format", FORMATS)
def test_the_batch_is_one_and_only_int8_models_take_bytes(colour_model, output_format):
    model = open_float_model(colour_model, TWO)
    # Pictures without a black or a white pixel: the range of the input must not shrink to what they show.
    pixels = np.stack([np.clip(coloured(c, seed=1, side_px=SIDE_PX), 50, 190) for c in (BLUE, RED)])

    interpreter = Interpreter(to_tflite(model, output_format, pixels=pixels), runtime="litert", threads=1)

    (given,), (taken,) = interpreter.outputs, interpreter.inputs
    assert taken.shape == (1, SIDE_PX, SIDE_PX, 3)
    assert given.shape == (1, 2)
    assert (taken.dtype.name, given.dtype.name) == (
        ("uint8", "uint8") if output_format == "int8" else ("float32", "float32")
    )
    if output_format == "int8":
        assert taken.scale == pytest.approx(1 / 127.5)
        assert taken.zero_point == 127


def test_an_operation_that_tflite_lacks_is_named(keras_3, tmp_path):
    class Erf(keras_3.layers.Layer):  # type: ignore[misc, name-defined]  # TensorFlow has no types
        def call(self, pixels):
            return keras_3.ops.erf(pixels)

    with quiet_tensorflow():
        colour_classifier(keras_3, scaling=Erf()).export(tmp_path / "exported", verbose=False)
    model = open_float_model(tmp_path / "exported", TWO)

    with pytest.raises(ModelError, match="to float32: TFLite has no operation Erf; put another layer"):
        to_tflite(model, "float32", pixels=np.zeros((0, SIDE_PX, SIDE_PX, 3), np.uint8))


@pytest.mark.parametrize("layer", ["LSTM", "GRU"])
def test_a_recurrent_layer_is_converted_to_floats_only(keras_3, tmp_path, layer):
    layers = keras_3.layers
    parts = (layers.Rescaling(1 / 127.5, -1), layers.Reshape((SIDE_PX, SIDE_PX * 3)), getattr(layers, layer)(4))
    with quiet_tensorflow():
        keras_3.Sequential([keras_3.Input((SIDE_PX, SIDE_PX, 3)), *parts, layers.Dense(2, activation="softmax")]).save(
            tmp_path / "rows.keras"
        )
    model = open_float_model(tmp_path / "rows.keras", TWO)
    pixels = np.random.default_rng(1).integers(0, 256, (20, SIDE_PX, SIDE_PX, 3), np.uint8)

    assert model.network.pixels == "0..255"
    for output_format in ("int8", "int16"):
        with pytest.raises(ModelError, match=r"a loop.*--format best"):
            to_tflite(model, output_format, pixels=pixels)
    interpreter = Interpreter(to_tflite(model, "float16", pixels=pixels), runtime="litert", threads=1)
    assert interpreter.run(model.values(pixels[0]))[0].reshape(-1) == pytest.approx(model.outputs(pixels[0]), abs=0.01)
