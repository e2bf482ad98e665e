"""Classifier network: builds the network of a recipe with its initial weights.

Input: float32 pixels -1..1, shape (n, side, side, 3), RGB. Output: one probability per label, shape (n, labels).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.errors import ModelError

if TYPE_CHECKING:
    import keras

    from training.masks.recipe import ModelRecipe

HEAD = "head"


def build_network(recipe: ModelRecipe, *, labels: int) -> keras.Model:
    """Build the network of a recipe and load its weights.

    Raises:
        ModelError: the weights are missing, cannot be downloaded, or do not fit.
    """
    match recipe.architecture:
        case "mobilenet_v2":
            return _mobilenet(recipe, labels=labels)
        case "cnn":
            return _plain_cnn(recipe, labels=labels)


def _mobilenet(recipe: ModelRecipe, *, labels: int) -> keras.Model:
    import keras

    is_downloaded = recipe.weights == "imagenet"
    try:
        backbone = keras.applications.MobileNetV2(
            input_shape=(recipe.input_size, recipe.input_size, 3),
            alpha=recipe.alpha,
            include_top=False,
            weights="imagenet" if is_downloaded else None,
            pooling="avg",
        )
    # Download errors and an alpha without weights in Keras need the same reaction.
    except Exception as error:
        if not is_downloaded:
            raise
        raise ModelError(
            f"ImageNet weights for alpha {recipe.alpha:g} cannot be downloaded ({error}); "
            "give a file as model.weights, or 'scratch'"
        ) from error
    network = _with_head(backbone.input, backbone.output, recipe, labels=labels)
    if not is_downloaded:
        _load_weights(network, backbone, recipe.weights)
    return network


def _plain_cnn(recipe: ModelRecipe, *, labels: int) -> keras.Model:
    """Four convolutions with pooling, as smaller projects train from scratch."""
    import keras

    inputs = keras.Input((recipe.input_size, recipe.input_size, 3))
    values = inputs
    for filters in (32, 64, 128, 128):
        values = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(values)
        values = keras.layers.MaxPooling2D()(values)
    values = keras.layers.GlobalAveragePooling2D()(values)
    network = _with_head(inputs, values, recipe, labels=labels)
    if recipe.weights != "imagenet":
        _load_weights(network, network, recipe.weights)
    return network


def _with_head(inputs: Any, features: Any, recipe: ModelRecipe, *, labels: int) -> keras.Model:
    import keras

    values = keras.layers.Dropout(recipe.dropout)(features)
    return keras.Model(inputs, keras.layers.Dense(labels, activation="softmax", name=HEAD)(values))


def _load_weights(network: keras.Model, backbone: keras.Model, weights: str) -> None:
    """Load the weights of a file into the network or its backbone; none if they are 'scratch'."""
    import keras

    if weights == "scratch":
        return
    file = Path(weights)
    if not file.is_file():
        raise ModelError(f"{file}: no such weights; correct model.weights, or write 'imagenet' or 'scratch'")
    try:
        if file.suffix == ".keras":
            network.set_weights(keras.models.load_model(file, compile=False).get_weights())
        else:
            backbone.load_weights(file)
    except (ValueError, OSError, KeyError) as error:
        raise ModelError(f"{file}: does not fit this network (alpha, architecture): {str(error)[:300]}") from error
