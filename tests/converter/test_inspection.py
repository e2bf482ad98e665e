"""Inspection: properties of a .tflite file without running it."""

from __future__ import annotations

import numpy as np
import pytest

from converter.inspection import inspect_model
from converter.masks.float_models import to_tflite
from converter.masks.outputs import LabelMapping
from converter.masks.overrides import ModelOverrides
from edge_agent.errors import ModelError
from tests.converter.colour_classifier import open_float_model
from training.tensorflow_logs import quiet_tensorflow

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def inspected(keras_3, tmp_path_factory):
    """Converts layers, between 16x20 pixels and two labels, and inspects what came out."""

    def inspect(*layers, output_format):
        path = tmp_path_factory.mktemp("inspected") / "a.keras"
        with quiet_tensorflow():
            ends = (keras_3.layers.GlobalAveragePooling2D(), keras_3.layers.Dense(2, activation="softmax"))
            keras_3.Sequential([keras_3.Input((16, 20, 3)), *layers, *ends]).save(path)
        model = open_float_model(path, ModelOverrides(labels=LabelMapping(("with_mask", "without_mask"))))
        pixels = np.random.default_rng(1).integers(0, 256, (4, 16, 20, 3), dtype=np.uint8)
        return inspect_model(to_tflite(model, output_format, pixels=pixels), name="a")

    return inspect


def plain(keras):
    layers = keras.layers
    return (
        layers.Conv2D(8, 3, padding="same", use_bias=False),
        layers.DepthwiseConv2D(5, strides=2, padding="same", use_bias=False),
    )


def test_multiply_adds_are_counted_from_the_shapes(keras_3, inspected):
    inspection = inspected(*plain(keras_3), output_format="float32")

    convolution, depthwise, dense = 16 * 20 * 8 * 3 * 3 * 3, 8 * 10 * 8 * 5 * 5, 8 * 2
    assert {one.name: one.multiply_adds for one in inspection.operators if one.multiply_adds} == {
        "CONV_2D": convolution,
        "DEPTHWISE_CONV_2D": depthwise,
        "FULLY_CONNECTED": dense,
    }
    assert inspection.multiply_adds == convolution + depthwise + dense
    assert inspection.inputs[0].shape == (1, 16, 20, 3)


def test_a_float_model_does_not_run_on_the_edge_tpu(keras_3, inspected):
    inspection = inspected(*plain(keras_3), output_format="float32")

    assert inspection.on_edge_tpu == 0
    assert {one.obstacle for one in inspection.operators} == {"float32 tensors; it takes int8 only"}


def test_an_int8_model_runs_completely_on_the_edge_tpu(keras_3, inspected):
    inspection = inspected(*plain(keras_3), output_format="int8")

    assert inspection.on_edge_tpu == len(inspection.operators)
    assert {one.weights for one in inspection.operators if one.multiply_adds} == {"int8 per channel"}
    assert inspection.inputs[0].dtype == "UINT8"


def test_operations_after_an_unsupported_one_do_not_run_on_the_edge_tpu(keras_3, inspected):
    layers = keras_3.layers

    inspection = inspected(layers.Conv2D(4, 3), layers.LeakyReLU(), layers.Conv2D(4, 3), output_format="int8")

    names = [one.name for one in inspection.operators]
    assert [one.name for one in inspection.operators if one.obstacle] == ["LEAKY_RELU"]
    assert inspection.on_edge_tpu == names.index("LEAKY_RELU") < len(names) - 1


@pytest.mark.parametrize("keep", [0, 7, 200])
def test_a_file_that_is_not_a_model_is_rejected(converted, keep):
    with pytest.raises(ModelError, match=r"a\.tflite: (not a TFLite model|damaged)"):
        inspect_model(converted.read_bytes()[:keep], name="a.tflite")
