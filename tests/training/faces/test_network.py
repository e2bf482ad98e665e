"""Networks: outputs that the device decodes, and weights that do not fit are rejected."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.errors import ModelError
from tests.training.faces.conftest import RELEASED
from training.faces.network import STRIDES, levels_of, open_network

pytestmark = pytest.mark.tensorflow


def test_training_can_start_from_another_run(tmp_path):
    first = open_network(RELEASED)
    first.save(tmp_path / "model.keras")

    second = open_network(tmp_path / "model.keras")

    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_network_has_a_pair_of_outputs_for_each_stride():
    levels = levels_of(open_network(RELEASED).predict_on_batch(np.zeros((1, 96, 128, 3), np.float32)), 0)

    assert [level.stride for level in levels] == list(STRIDES)
    assert [level.logits.shape for level in levels] == [(12, 16, 2), (6, 8, 2), (3, 4, 2)]
    assert [level.boxes.shape for level in levels] == [(12, 16, 4), (6, 8, 4), (3, 4, 4)]


def test_a_missing_run_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"model\.keras: no such model"):
        open_network(tmp_path / "model.keras")


def test_a_model_that_is_no_detector_is_refused(tmp_path):
    import keras

    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(tmp_path / "model.keras")

    with pytest.raises(ModelError, match="no face detector: its outputs are not boxes_16"):
        open_network(tmp_path / "model.keras")


def test_a_file_that_keras_cannot_read_is_refused(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"no zip")

    with pytest.raises(ModelError, match="Keras cannot read it"):
        open_network(tmp_path / "model.keras")
