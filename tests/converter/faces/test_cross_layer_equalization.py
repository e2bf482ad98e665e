"""Cross-layer equalization: internal channels get equal ranges, and the outputs stay the same."""

from __future__ import annotations

import numpy as np
import pytest

from converter.faces.cross_layer_equalization import equalize

pytestmark = pytest.mark.tensorflow

LOUD, QUIET = 100.0, 0.5


def a_unit(*, activation=None, read_twice=False):
    """A 1x1 convolution with a loud and a quiet channel, and the depthwise one that reads it."""
    import keras

    pixels = keras.Input((None, None, 3))
    pointwise = keras.layers.Conv2D(2, 1, name="pointwise", activation=activation)
    between = pointwise(pixels)
    outputs = {"seen": keras.layers.DepthwiseConv2D(3, padding="same", activation="relu")(between)}
    if read_twice:
        outputs["too"] = keras.layers.Identity()(between)
    network = keras.Model(pixels, outputs)
    kernel, _ = pointwise.get_weights()
    pointwise.set_weights([np.ones_like(kernel) * [LOUD, QUIET], np.array([3.0, -0.1])])
    return network


def pictures(count=3):
    random = np.random.default_rng(1)
    return [random.uniform(0, 1, (1, 8, 8, 3)).astype(np.float32) for _ in range(count)]


def ranges(network):
    """The largest value of each channel between the two convolutions."""
    import keras

    between = keras.Model(network.input, network.get_layer("pointwise").output)
    return np.max([np.abs(between.predict_on_batch(one)).max(axis=(0, 1, 2)) for one in pictures()], axis=0)


def test_channels_get_equal_ranges_without_changing_the_results():
    network = a_unit()
    (picture,) = pictures(1)

    result = equalize(network, pictures())

    assert ranges(network)[0] > 50 * ranges(network)[1]
    assert ranges(result)[0] == pytest.approx(ranges(result)[1], rel=1e-4)
    np.testing.assert_allclose(
        result.predict_on_batch(picture)["seen"], network.predict_on_batch(picture)["seen"], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("unit", [{"read_twice": True}, {"activation": "sigmoid"}])
def test_channels_that_cannot_be_scaled_are_unchanged(unit):
    network = a_unit(**unit)

    result = equalize(network, pictures())

    np.testing.assert_array_equal(ranges(result), ranges(network))


def test_a_channel_without_signal_is_not_amplified():
    network = a_unit()
    pointwise = network.get_layer("pointwise")
    kernel, bias = pointwise.get_weights()
    pointwise.set_weights([kernel * [1, 0], bias * [1, 0]])

    result = equalize(network, pictures())

    assert np.isfinite(result.get_weights()[0]).all()
    assert ranges(result)[1] == 0
