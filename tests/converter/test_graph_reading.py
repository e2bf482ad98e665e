"""Scalings and endings, as the generations of Keras write them into a graph."""

from __future__ import annotations

import pytest

from converter.graph_reading import ending, first_scaling, nodes_of
from converter.silence import quiet_tensorflow

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def nodes():
    """Gives the nodes of a function of pixels, and the name of its last operation."""
    with quiet_tensorflow():
        import tensorflow as tf

    def build(call):
        function = tf.function(call, autograph=False).get_concrete_function(tf.TensorSpec([1, 4, 4, 3], tf.float32))
        return nodes_of(function), function.outputs[0].op.name

    return tf, build


def relu6(tf, pixels):
    return tf.nn.relu6(pixels)


@pytest.mark.parametrize(
    ("scale", "wanted"),
    [
        (lambda tf, x: x, (1.0, 0.0)),
        (lambda tf, x: x / 127.5 - 1.0, (1 / 127.5, -1.0)),
        (lambda tf, x: tf.cast(x, tf.float32) * (1 / 255), (1 / 255, 0.0)),
        (lambda tf, x: (x - [123.7, 116.8, 103.9]) / [58.4, 57.1, 57.4], (1 / 57.1, -116.8 / 57.1)),
        (lambda tf, x: x + x, (1.0, 0.0)),
    ],
    ids=["none", "two operations", "rescaling", "per channel", "no constant"],
)
def test_a_scaling_is_added_up_to_the_first_layer(nodes, scale, wanted):
    tf, build = nodes

    found, _ = build(lambda pixels: tf.nn.relu6(scale(tf, pixels)) * 3.0)

    assert first_scaling(found) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("last", "wanted"),
    [
        (lambda tf, x: tf.identity(tf.nn.softmax(x)), "probabilities"),
        (lambda tf, x: tf.reshape(tf.sigmoid(x), [16, 3]), "sigmoid"),
        (lambda tf, x: x * 2.0, "logits"),
    ],
)
def test_the_last_operation_tells_what_the_outputs_are(nodes, last, wanted):
    tf, build = nodes

    assert ending(*build(lambda pixels: last(tf, pixels))) == wanted
