"""Graph analysis: scalings and last layers, as the generations of Keras write them into a graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converter.masks.graph_analysis import input_scaling, meanings_of_single_output, output_limits
from converter.masks.output_range import range_of_scores
from edge_agent.errors import ModelError
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


PROBABILITIES, PERCENT, SYMMETRIC, LOGITS = (0, 1), (0, 100), (-1, 1), None


@pytest.mark.parametrize(
    ("last", "wanted"),
    [
        (lambda tf, x: tf.identity(tf.nn.softmax(x)), PROBABILITIES),
        (lambda tf, x: tf.reshape(tf.sigmoid(x), [1, 3]), PROBABILITIES),
        (lambda tf, x: tf.clip_by_value(tf.sigmoid(x), 1e-7, 1 - 1e-7), PROBABILITIES),
        (lambda tf, x: tf.minimum(0.99, tf.nn.softmax(x)), PROBABILITIES),
        (lambda tf, x: tf.maximum(tf.sigmoid(x), tf.sigmoid(-x)), PROBABILITIES),
        (lambda tf, x: 1 - tf.sigmoid(x), PROBABILITIES),
        (lambda tf, x: tf.tanh(x) / 2 + 0.5, PROBABILITIES),
        (lambda tf, x: tf.nn.relu6(x + 3) * (1 / 6), PROBABILITIES),
        (lambda tf, x: tf.clip_by_value(0.2 * x + 0.5, 0, 1), PROBABILITIES),
        (lambda tf, x: (tf.nn.softmax(x) + tf.nn.softmax(2 * x)) / 2, PROBABILITIES),
        (written_out_softmax, PROBABILITIES),
        (lambda tf, x: tf.nn.softmax(x) * 100, PERCENT),
        (lambda tf, x: 100 - 100 * tf.sigmoid(x), PERCENT),
        (lambda tf, x: written_out_softmax(tf, x) * 100, PERCENT),
        (lambda tf, x: tf.concat([tf.sigmoid(x), 1 - tf.sigmoid(x)], 1) * 255, (0, 255)),
        (lambda tf, x: tf.tanh(x), SYMMETRIC),
        (lambda tf, x: 1 - 2 * tf.sigmoid(x), SYMMETRIC),
        (lambda tf, x: x / (1 + tf.abs(x)), LOGITS),
        (lambda tf, x: tf.math.softsign(x), SYMMETRIC),
        (lambda tf, x: x * 2, LOGITS),
        (lambda tf, x: tf.nn.relu(x), LOGITS),
        (lambda tf, x: tf.nn.relu6(x), LOGITS),
        (lambda tf, x: 30 * tf.tanh(x / 30), LOGITS),
        (lambda tf, x: tf.clip_by_value(x, -10, 10), LOGITS),
        (lambda tf, x: tf.nn.log_softmax(x), LOGITS),
        (lambda tf, x: tf.sigmoid(x) * [100.0, 1.0, 1.0], LOGITS),
        (lambda tf, x: tf.add(tf.nn.relu(x - 1e9), [3.0, 2.0, 0.0]), LOGITS),
        (lambda tf, x: tf.round(10 * x), LOGITS),
        (lambda tf, x: tf.where(x > 0, x, 0.1 * x), LOGITS),
        (lambda tf, x: x * tf.cast(x > 0, tf.float32), LOGITS),
    ],
)
def test_the_last_operations_determine_the_range_of_scores(freeze, last, wanted):
    tf, freeze = freeze

    function = freeze(lambda pixels: last(tf, tf.reduce_mean(pixels[:, :2] - pixels[:, 2:], [1, 2])))
    found = range_of_scores(
        output_limits(function), lambda picture: function(tf.constant(picture))[0].numpy(), (1, 4, 4, 3), path=Path("a")
    )

    assert found == (wanted if wanted is None else pytest.approx(wanted, abs=1e-3))


@pytest.mark.parametrize(
    "last",
    [
        lambda tf, x: tf.cast(tf.argmax(x, 1), tf.float32),
        lambda tf, x: tf.one_hot(tf.argmax(x, 1), 3),
        lambda tf, x: tf.reshape(tf.cast(tf.sigmoid(x) > 0.5, tf.float32), [3, 1]),
        lambda tf, x: tf.where(x > 0, 1.0, 0.0),
        lambda tf, x: (tf.sign(x) + 1) / 2,
        lambda tf, x: tf.round(tf.nn.softmax(x)),
    ],
    ids=["argmax", "one hot", "threshold", "where", "sign", "round"],
)
def test_a_decision_is_no_score(freeze, last):
    tf, freeze = freeze
    function = freeze(lambda pixels: last(tf, tf.reduce_mean(pixels[:, :2] - pixels[:, 2:], [1, 2])))

    with pytest.raises(ModelError, match="argmax"):
        range_of_scores(output_limits(function), lambda picture: picture, (1, 4, 4, 3), path=Path("a"))


def test_a_softmax_over_one_output_is_refused(freeze):
    tf, freeze = freeze
    function = freeze(lambda pixels: tf.nn.softmax(tf.reduce_mean(pixels, [1, 2, 3], keepdims=True)) * 100)

    with pytest.raises(ModelError, match="sigmoid"):
        range_of_scores(output_limits(function), lambda picture: picture, (1, 4, 4, 3), path=Path("a"))


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
