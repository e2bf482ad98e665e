"""Networks: those that a recipe can name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_agent.domain import Box
from edge_agent.errors import ModelError
from edge_agent.vision.card import read_classifier_card
from edge_agent.vision.tensors import face_pixels
from training.masks.network import build_network
from training.masks.recipe import MaskRecipe, ModelRecipe
from training.masks.run import training_data_of
from training.recipe_file import read_recipe

pytestmark = pytest.mark.tensorflow

SMALL = ModelRecipe(alpha=0.1, input_size=32, weights="scratch")


@pytest.mark.parametrize("architecture", ["mobilenet_v2", "cnn"])
def test_a_network_gives_a_probability_per_label(architecture):
    network = build_network(SMALL.model_copy(update={"architecture": architecture}), labels=3)

    scores = np.asarray(network(np.zeros((2, 32, 32, 3), np.float32)))

    assert scores.shape == (2, 3)
    assert np.allclose(scores.sum(axis=1), 1.0, atol=1e-5)


def test_weights_of_a_backbone_are_loaded_from_a_file(tmp_path):
    import keras

    backbone = keras.applications.MobileNetV2(
        input_shape=(64, 64, 3), alpha=0.1, include_top=False, weights=None, pooling="avg"
    )
    path = tmp_path / "backbone.weights.h5"
    backbone.save_weights(path)

    network = build_network(SMALL.model_copy(update={"weights": str(path)}), labels=2)

    assert np.array_equal(network.layers[1].get_weights()[0], backbone.layers[1].get_weights()[0])


def test_training_can_start_from_a_trained_model(tmp_path):
    trained = build_network(SMALL, labels=2)
    path = tmp_path / "model.keras"
    trained.save(path)

    network = build_network(SMALL.model_copy(update={"weights": str(path)}), labels=2)

    assert np.array_equal(network.get_weights()[-2], trained.get_weights()[-2])


def test_weights_of_another_width_are_reported(tmp_path):
    trained = build_network(SMALL, labels=2)
    path = tmp_path / "model.keras"
    trained.save(path)

    with pytest.raises(ModelError, match="does not fit this network"):
        build_network(SMALL.model_copy(update={"alpha": 0.35, "weights": str(path)}), labels=2)


def test_an_error_about_missing_weights_lists_the_available_ones():
    with pytest.raises(ModelError, match="'imagenet' or 'scratch'"):
        build_network(SMALL.model_copy(update={"weights": "none.h5"}), labels=2)


def test_an_alpha_without_keras_weights_is_reported():
    with pytest.raises(ModelError, match=r"alpha 0\.1 cannot be downloaded"):
        build_network(SMALL.model_copy(update={"weights": "imagenet"}), labels=2)


def test_the_released_weights_give_the_scores_of_the_released_model():
    models = Path(__file__).parents[3] / "models"
    card, _ = read_classifier_card(models / "masks.tflite")
    recipe = read_recipe(models.parent / "training" / "recipes" / "own-faces.yaml", MaskRecipe)
    weights = str(models / "masks.keras")

    network = build_network(recipe.model.model_copy(update={"weights": weights}), labels=len(recipe.labels))

    whole = [
        face_pixels(
            golden.image(),
            Box(0, 0, golden.image().shape[1], golden.image().shape[0]),
            width_px=card.input.width,
            height_px=card.input.height,
            colour_order=card.input.colour_order,
            resampling=card.resampling,
        )
        for golden in card.golden
    ]
    scores = np.asarray(network(np.array(whole, np.float32) / 127.5 - 1)) ** (1 / card.temperature)
    scores /= scores.sum(axis=1, keepdims=True)
    # Quantization changes single scores by up to 0.2.
    released = np.array([golden.scores for golden in card.golden])
    assert np.array_equal(scores.argmax(axis=1), released.argmax(axis=1))
    assert np.abs(scores - released).mean() < 0.05
    assert (recipe.labels[:-1], recipe.margin_fraction) == (card.labels, card.margin_fraction)
    assert training_data_of(Path(weights)) == set(card.training_data)
