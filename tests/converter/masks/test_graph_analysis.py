"""Graph analysis: scalings and last layers, as the generations of Keras write them into a graph."""

from __future__ import annotations

import numpy as np
import pytest

from converter.masks.graph_analysis import input_scaling, meanings_of_single_output, output_kind_of
from training.tensorflow_logs import quiet_tensorflow

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def freeze():
    """TensorFlow, and what freezes a function of pixels."""
    with quiet_tensorflow():
        import tensorflow as tf
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def freeze(call):
        function = tf.function(call, autograph=False).get_concrete_function(tf.TensorSpec([1, 4, 4, 3], tf.float32))
        return convert_variables_to_constants_v2(function)

    return tf, freeze


@pytest.mark.parametrize(
    ("scale", "wanted"),
    [
        (lambda tf, x: x, (1.0, 0.0)),
        (lambda tf, x: x / 127.5 - 1.0, (1 / 127.5, -1.0)),
        (lambda tf, x: tf.cast(x, tf.float32) * (1 / 255), (1 / 255, 0.0)),
        (lambda tf, x: (x - [123.7, 116.8, 103.9]) / [58.4, 57.1, 57.4], (1 / 57.1, -116.8 / 57.1)),
        (lambda tf, x: x[..., ::-1] - 103.9, (1.0, -103.9)),
        (lambda tf, x: tf.stack([x[..., 2], x[..., 1], x[..., 0]], axis=-1) - 103.9, (1.0, -103.9)),
        (lambda tf, x: tf.pad(x / 255.0, [[0, 0], [1, 1], [1, 1], [0, 0]]), (1 / 255, 0.0)),
        (lambda tf, x: x * x, (1.0, 0.0)),
        (lambda tf, x: tf.image.per_image_standardization(x) / 4 + 0.5, (1.0, 0.0)),
    ],
    ids=[
        "none",
        "two operations",
        "rescaling",
        "per channel",
        "blue first",
        "colours apart",
        "padded",
        "no scaling",
        "per picture",
    ],
)
def test_a_scaling_combines_the_operations_before_the_first_layer(freeze, scale, wanted):
    tf, freeze = freeze

    function = freeze(lambda pixels: tf.nn.conv2d(scale(tf, pixels), tf.ones([3, 3, 3, 2]) * 7.0, 1, "SAME"))

    assert input_scaling(function) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    ("scale", "wanted"),
    [
        (lambda x: x * 0.3 - 1e-8, (0.3, 0.0)),
        (lambda x: x / 255.0 + 1e-9, (0.0039216, 0.0)),
        (lambda x: x * 1.0000001 - 1e-7, (1.0, 0.0)),
        (lambda x: -x - 0.0, (-1.0, 0.0)),
    ],
    ids=["offset", "fraction", "no scaling", "minus nothing"],
)
def test_rounding_errors_are_not_part_of_a_scaling(freeze, scale, wanted):
    tf, freeze = freeze

    found = input_scaling(freeze(lambda pixels: tf.nn.conv2d(scale(pixels), tf.ones([3, 3, 3, 2]), 1, "SAME")))

    assert [f"{value:g}" for value in found] == [f"{value:g}" for value in wanted]


def test_a_graph_without_a_layer_has_no_scaling(freeze):
    tf, freeze = freeze

    assert input_scaling(freeze(lambda pixels: tf.nn.relu6(pixels / 255.0))) == (1.0, 0.0)


def written_out_softmax(tf, logits):
    shares = tf.exp(logits - tf.reduce_max(logits, 1, keepdims=True))
    return shares / tf.reduce_sum(shares, 1, keepdims=True)


@pytest.mark.parametrize(
    ("last", "wanted"),
    [
        (lambda tf, x: tf.identity(tf.nn.softmax(x)), "probabilities"),
        (lambda tf, x: tf.reshape(tf.sigmoid(x), [16, 3]), "sigmoid"),
        (lambda tf, x: tf.clip_by_value(tf.sigmoid(x), 1e-7, 1 - 1e-7), "sigmoid"),
        (lambda tf, x: tf.minimum(0.99, tf.nn.softmax(x)), "probabilities"),
        (lambda tf, x: tf.maximum(tf.sigmoid(x), tf.sigmoid(-x)), "logits"),
        (lambda tf, x: x * 2.0, "logits"),
        (lambda tf, x: written_out_softmax(tf, tf.reduce_mean(x, [1, 2])), "probabilities"),
    ],
)
def test_the_last_operation_determines_the_kind_of_outputs(freeze, last, wanted):
    tf, freeze = freeze

    assert output_kind_of(freeze(lambda pixels: last(tf, pixels))) == wanted


@pytest.mark.parametrize(
    ("last", "wanted"),
    [
        (lambda tf, x: 1 - tf.sigmoid(x), True),
        (lambda tf, x: tf.tanh(x) / 2 + 0.5, True),
        (lambda tf, x: tf.clip_by_value(x, 0.0, 1.0), True),
        (lambda tf, x: tf.nn.softmax(tf.concat([x, -x], -1))[..., 1], True),
        (lambda tf, x: x, False),
        (lambda tf, x: tf.nn.relu(x), False),
        (lambda tf, x: tf.tanh(x), False),
        (lambda tf, x: 0.5 + 0.0 * x, False),
    ],
    ids=["1 - sigmoid", "tanh", "clip", "softmax column", "logit", "relu", "-1..1", "constant"],
)
def test_a_single_output_that_stays_in_zero_one_and_varies_is_likelier_a_probability(freeze, last, wanted):
    tf, freeze = freeze

    function = freeze(lambda x: last(tf, tf.reshape(tf.reduce_mean(x[..., 0] - x[..., 2]) * 3.0, [1, 1])))
    meanings = meanings_of_single_output(lambda values: np.asarray(function(tf.constant(values))[0]), (1, 8, 8, 3))

    assert meanings == (("probability", "logit") if wanted else ("logit", "probability"))
