"""Narrowing: fewer channels at stride 4, for nearly the same answers."""

import numpy as np
import pytest

from edge_agent.errors import ModelError
from tests.training.faces.conftest import RELEASED, draw_scene
from training.faces.narrowing import narrowed
from training.faces.network import open_network

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def canvases():
    """Eight drawn scenes: (8, 128, 160, 3), BGR, uint8."""
    return np.stack([draw_scene(seed)[0] for seed in range(8)])


@pytest.fixture(scope="module")
def network():
    """The shipped detector."""
    return open_network(RELEASED)


def widths(network):
    return [layer.filters for layer in network.layers if type(layer).__name__ == "Conv2D"]


def test_only_the_channels_at_stride_4_become_fewer_and_answers_stay_close(network, canvases):
    channels = widths(network)[4] - 8

    narrow = narrowed(network, channels=channels, pixels=[canvases])

    changed = [
        number for number, pair in enumerate(zip(widths(network), widths(narrow), strict=True)) if len({*pair}) > 1
    ]
    assert changed == [3, 4, 5]
    assert {widths(narrow)[number] for number in changed} == {channels}
    for name, expected in network(canvases[:2].astype(np.float32)).items():
        given = np.asarray(narrow(canvases[:2].astype(np.float32))[name])
        assert np.corrcoef(given.ravel(), np.asarray(expected).ravel())[0, 1] > 0.95


def test_a_network_without_more_channels_is_refused(network, canvases):
    with pytest.raises(ModelError, match="stride_4_channels"):
        narrowed(network, channels=widths(network)[4], pixels=[canvases])
