"""Networks: inputs and outputs of a classifier, however its export fixed them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converter.masks.networks import open_network
from converter.masks.overrides import ModelOverrides
from edge_agent.errors import ConfigError, ModelError
from tests.converter.colour_classifier import SIDE_PX, colour_classifier
from training.tensorflow_logs import quiet_tensorflow

pytestmark = pytest.mark.tensorflow

BLUE = np.full((1, SIDE_PX, SIDE_PX, 3), [-1, 0, 1], np.float32)


def exported(tmp_path, function, shape, dtype="float32", owner=None):
    """A SavedModel of one function with one fixed signature."""
    with quiet_tensorflow():
        import tensorflow as tf

        module: Any = tf.Module()
        module.owner = owner
        module.serve = tf.function(function, input_signature=[tf.TensorSpec(shape, dtype, name="pixels")])
        tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.serve)
    return tmp_path / "saved"


def test_a_model_that_is_not_a_picture_classifier_is_refused(keras_3, tmp_path):
    layers = keras_3.layers
    with quiet_tensorflow():
        numbers = keras_3.Sequential([keras_3.Input((10,)), layers.Dense(2)])
        infrared = keras_3.Sequential([keras_3.Input((32, 32, 4)), layers.Flatten(), layers.Dense(2)])
        heatmap = keras_3.Sequential([keras_3.Input((32, 32, 3)), layers.Conv2D(2, 3)])
        one, two = keras_3.Input((32, 32, 3)), keras_3.Input((32, 32, 3))
        twins = keras_3.Model([one, two], layers.Dense(2)(layers.Flatten()(one + two)))
        for name, model in {"numbers": numbers, "infrared": infrared, "heatmap": heatmap, "twins": twins}.items():
            model.save(tmp_path / f"{name}.keras")

    for name, complaint in {
        "numbers": r"its input has shape \(None, 10\)",
        "infrared": "4 channels",
        "heatmap": r"its output has shape \(1, 30, 30, 2\)",
        "twins": "has 2 inputs and 1 outputs; .* train one that takes only the picture",
    }.items():
        with pytest.raises(ModelError, match=complaint):
            open_network(tmp_path / f"{name}.keras", ModelOverrides())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int32"])
def test_a_signature_of_a_fixed_batch_of_floats_or_integers_takes_one_picture(keras_3, tmp_path, dtype):
    import tensorflow as tf

    model = colour_classifier(keras_3)
    path = exported(
        tmp_path,
        lambda pixels: model(tf.cast(pixels, tf.float32) / 127.5 - 1.0, training=False),
        (32, SIDE_PX, SIDE_PX, 3),
        dtype,
        owner=model,
    )

    network = open_network(path, ModelOverrides())

    assert network.pixels == "0..255"
    assert network.graph.inputs[0].shape == (1, SIDE_PX, SIDE_PX, 3)
    assert network.probabilities(np.round((BLUE + 1) * 127.5)) == pytest.approx(np.asarray(model(BLUE))[0], abs=1e-2)


def test_a_batch_size_fixed_in_a_reshape_becomes_one(keras_3, tmp_path):
    import tensorflow as tf

    model = colour_classifier(keras_3)
    path = exported(
        tmp_path,
        lambda pixels: tf.reshape(model(pixels, training=False), (8, 2)),
        (8, SIDE_PX, SIDE_PX, 3),
        owner=model,
    )

    assert open_network(path, ModelOverrides()).probabilities(BLUE) == pytest.approx(
        np.asarray(model(BLUE))[0], abs=1e-5
    )


def test_integers_are_pixels_of_0_to_255_without_a_scaling(keras_3, tmp_path):
    import tensorflow as tf

    model = colour_classifier(keras_3)
    path = exported(
        tmp_path,
        lambda pixels: model(tf.cast(pixels, tf.float32), training=False),
        (None, SIDE_PX, SIDE_PX, 3),
        "int32",
        owner=model,
    )

    network = open_network(path, ModelOverrides())

    assert (network.pixels, network.pixels_from) == ("0..255", "found in the file: it takes int32")


@pytest.mark.parametrize("ending", ["tile", "reshape"])
def test_a_graph_that_cannot_take_one_float_picture_is_refused_with_a_remedy(keras_3, tmp_path, ending):
    import tensorflow as tf

    model = colour_classifier(keras_3)
    ends = {
        "tile": lambda pixels: model(pixels + tf.tile(tf.zeros((1, 1, 1, 3)), [8, 1, 1, 1])),
        "reshape": lambda pixels: tf.reshape(model(pixels + tf.tile(tf.zeros((1, 1, 1, 3)), [8, 1, 1, 1])), (8, 2)),
    }
    path = exported(tmp_path, ends[ending], (8, SIDE_PX, SIDE_PX, 3), "float32", owner=model)

    with pytest.raises(ModelError, match="export it with a batch of 1 and an input of float32"):
        open_network(path, ModelOverrides())


@pytest.mark.parametrize(
    ("layer", "output_format"),
    [("Dropout", "h5"), ("Dropout", "tf"), ("GaussianNoise", "h5"), ("BatchNormalization", "h5")],
)
def test_a_layer_that_stays_in_training_mode_is_refused(keras_2, tmp_path, layer, output_format):
    arguments = () if layer == "BatchNormalization" else (0.3,)
    with quiet_tensorflow():
        model = colour_classifier(
            keras_2, scaling=lambda pixels: getattr(keras_2.layers, layer)(*arguments)(pixels, training=True)
        )
        model.save(tmp_path / "a.h5" if output_format == "h5" else tmp_path / "a", save_format=output_format)

    with pytest.raises(ModelError, match=r"a(\.h5)?: .*in training mode"):
        open_network(tmp_path / "a.h5" if output_format == "h5" else tmp_path / "a", ModelOverrides())


def test_channels_first_inputs_become_channels_last(keras_3, tmp_path):
    import tensorflow as tf

    kernel = np.random.default_rng(1).standard_normal((3, 3, 3, 2)).astype(np.float32)
    layout = {"data_format": "NCHW"}

    def first(pixels):
        found = tf.nn.conv2d(pixels, kernel, 2, [[0, 0], [0, 0], [1, 1], [1, 0]], **layout)
        found = tf.nn.relu(tf.nn.bias_add(found, [0.1, -0.2], "NCHW"))
        return tf.nn.softmax(tf.reduce_mean(tf.nn.max_pool2d(found, 2, 2, "VALID", **layout), [2, 3]))

    def last(pixels):
        found = tf.nn.conv2d(pixels, kernel, 2, [[0, 0], [1, 1], [1, 0], [0, 0]])
        found = tf.nn.relu(tf.nn.bias_add(found, [0.1, -0.2]))
        return tf.nn.softmax(tf.reduce_mean(tf.nn.max_pool2d(found, 2, 2, "VALID"), [1, 2]))

    network = open_network(exported(tmp_path, first, (None, 3, SIDE_PX, SIDE_PX)), ModelOverrides())

    picture = np.random.default_rng(2).random((1, SIDE_PX, SIDE_PX, 3)).astype(np.float32)
    assert (network.height_px, network.width_px, network.channels) == (SIDE_PX, SIDE_PX, 3)
    assert network.probabilities(picture) == pytest.approx(np.asarray(last(picture))[0], abs=1e-5)


@pytest.mark.parametrize("shape", [(None, None, 3), (SIDE_PX, SIDE_PX, 3)])
def test_an_input_without_a_batch_dimension_is_one_picture(keras_3, tmp_path, shape):
    import tensorflow as tf

    model = colour_classifier(keras_3)
    path = exported(
        tmp_path,
        lambda pixels: model(tf.reshape(pixels, (1, SIDE_PX, SIDE_PX, 3)), training=False),
        shape,
        owner=model,
    )

    network = open_network(path, ModelOverrides())

    assert (network.height_px, network.width_px) == (SIDE_PX, SIDE_PX)
    assert network.probabilities(BLUE) == pytest.approx(np.asarray(model(BLUE))[0], abs=1e-5)


def test_a_flat_input_that_a_layer_reshapes_is_a_picture(keras_2, tmp_path):
    layers = keras_2.layers
    with quiet_tensorflow():
        body = colour_classifier(keras_2)
        model = keras_2.Sequential([layers.Reshape((SIDE_PX, SIDE_PX, 3), input_shape=(None, 3)), body])
        model.save(tmp_path / "rows", save_format="tf")

    network = open_network(tmp_path / "rows", ModelOverrides())

    assert (network.height_px, network.width_px) == (SIDE_PX, SIDE_PX)
    assert network.probabilities(BLUE)[0] > 0.99


def test_an_undefined_size_is_that_of_the_resizing_layer(keras_3, tmp_path):
    layers = keras_3.layers
    with quiet_tensorflow():
        keras_3.Sequential(
            [
                keras_3.Input((None, None, 3)),
                layers.Resizing(24, 20),
                layers.Conv2D(2, 3),
                layers.GlobalAveragePooling2D(),
                layers.Dense(2),
            ]
        ).save(tmp_path / "a.keras")

    network = open_network(tmp_path / "a.keras", ModelOverrides())

    assert (network.height_px, network.width_px) == (24, 20)


def test_an_undefined_size_has_to_be_given_if_no_layer_determines_it(keras_3, tmp_path):
    layers = keras_3.layers
    with quiet_tensorflow():
        keras_3.Sequential(
            [keras_3.Input((None, None, 1)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(2)]
        ).save(tmp_path / "a.keras")

    with pytest.raises(ConfigError, match="--size 224"):
        open_network(tmp_path / "a.keras", ModelOverrides())
    network = open_network(tmp_path / "a.keras", ModelOverrides(size_px=SIDE_PX))
    assert (network.width_px, network.height_px, network.channels) == (SIDE_PX, SIDE_PX, 1)


def test_a_convolution_may_replace_the_dense_layer(keras_3, tmp_path):
    layers = keras_3.layers
    with quiet_tensorflow():
        convolutions = [layers.Conv2D(4, 3, strides=4), layers.Conv2D(2, SIDE_PX // 4), layers.Softmax()]
        keras_3.Sequential([keras_3.Input((SIDE_PX, SIDE_PX, 3)), *convolutions]).save(tmp_path / "a.keras")

    network = open_network(tmp_path / "a.keras", ModelOverrides())

    assert network.outputs == 2
    assert network.probabilities(np.zeros((1, SIDE_PX, SIDE_PX, 3), np.float32)).shape == (2,)


@pytest.mark.parametrize("shape", [(1, 2, 1, 1), (1, 1, 1, 2), (1, 2)])
def test_scores_may_have_sides_of_one(keras_3, tmp_path, shape):
    import tensorflow as tf

    model = colour_classifier(keras_3)
    path = exported(
        tmp_path, lambda pixels: tf.reshape(model(pixels, training=False), shape), (1, SIDE_PX, SIDE_PX, 3), owner=model
    )

    network = open_network(path, ModelOverrides())

    assert network.outputs == 2
    assert network.probabilities(BLUE)[0] > 0.99
