"""Weight averaging: two runs of one network are merged."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.errors import ModelError
from training.weight_averaging import average_weights

pytestmark = pytest.mark.tensorflow


def test_the_weights_are_the_mean_of_those_of_two_runs():
    import keras

    def a_network(units=3):
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])

    one, other = a_network(), a_network()
    wanted = [0.75 * a + 0.25 * b for a, b in zip(one.get_weights(), other.get_weights(), strict=True)]

    average_weights(one, other, share=0.25, name="other")

    assert all(np.allclose(a, b) for a, b in zip(one.get_weights(), wanted, strict=True))
    with pytest.raises(ModelError, match="other: is another network"):
        average_weights(one, a_network(units=4), share=0.5, name="other")
