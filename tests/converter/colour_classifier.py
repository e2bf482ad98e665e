"""Models that classify colours, and pictures for them.

A model that classifies blue pictures as masked and red ones as bare is right or wrong as intended, needs no training,
and is converted in seconds.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from converter.masks.float_models import apply_settings
from converter.masks.model_settings import determine_settings
from converter.masks.networks import open_network
from converter.masks.overrides import NO_OVERRIDES
from edge_agent.domain import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from converter.masks.float_models import FloatModel
    from converter.masks.overrides import ModelOverrides
    from edge_agent.domain import Image, Label
    from edge_agent.vision.classifier import MaskClassifier
    from edge_agent.vision.tflite import RuntimeName

SIDE_PX = 32

# tflite-runtime needs numpy 1 and Python up to 3.11; elsewhere a model is only tested in LiteRT.
HAS_TFLITE_RUNTIME = importlib.util.find_spec("tflite_runtime") is not None
RUNTIMES: tuple[RuntimeName, ...] = ("litert", "tflite-runtime") if HAS_TFLITE_RUNTIME else ("litert",)
BLUE, RED = (200, 90, 60), (60, 90, 200)
"""BGR of a "face" with and without a mask."""


def coloured(colour: tuple[int, int, int], *, seed: int, side_px: int = 48) -> Image:
    """A picture of one colour with noise."""
    noise = np.random.default_rng(seed).integers(-40, 40, (side_px, side_px, 3))
    return np.asarray(np.clip(np.array(colour) + noise, 0, 255), np.uint8)


def scores_of_whole(classifier: MaskClassifier, image: Image) -> Mapping[Label, float]:
    """Probability of every label for a picture that consists of one face."""
    return classifier.scores(image, Box(0, 0, image.shape[1], image.shape[0]))


def write_pictures(folder: Path, colour: tuple[int, int, int], *, count: int) -> None:
    """Write pictures 000.png, 001.png and so on."""
    folder.mkdir(parents=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:03}.png"), coloured(colour, seed=number))


def own_layer(keras: Any) -> Any:
    """A custom layer."""
    return type("Sharpen", (keras.layers.Layer,), {"call": lambda self, pixels: pixels * 1.0})()


def colour_classifier(keras: Any, *, units: int = 2, activation: str | None = "softmax", scaling: Any = None) -> Any:
    """A Keras model whose first output is high for blue and second for red; one unit: high for red; three: never third.

    RGB of -1..1, after `scaling` where given.
    """
    pixels = keras.Input((SIDE_PX, SIDE_PX, 3))
    scaled = pixels if scaling is None else scaling(pixels)
    features = keras.layers.Conv2D(2, 3, padding="same", activation="relu6", name="features")(scaled)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    model = keras.Model(pixels, keras.layers.Dense(units, activation=activation, name="scores")(pooled))
    blue_minus_red = np.zeros((3, 3, 3, 2), np.float32)
    blue_minus_red[1, 1, :, 0], blue_minus_red[1, 1, :, 1] = (-3, 0, 3), (3, 0, -3)
    model.get_layer("features").set_weights([blue_minus_red, np.zeros(2, np.float32)])
    weights = {1: [[-2], [2]], 2: [[1, -1], [-1, 1]], 3: [[1, -1, -1], [-1, 1, -1]]}[units]
    bias = {1: [0], 2: [0, 0], 3: [0, 0, -3]}[units]
    model.get_layer("scores").set_weights([np.array(weights, np.float32), np.array(bias, np.float32)])
    return model


SCORES: Mapping[str, Callable[[Any, Any], Any]] = {
    "percentages": lambda ops, x: ops.softmax(ops.concatenate([-x / 2, x / 2], 1)) * 100,
    "one percentage": lambda ops, x: ops.sigmoid(x) * 100,
    "-1..1": lambda ops, x: ops.tanh(ops.concatenate([-x / 2, x / 2], 1)),
    "one of -1..1": lambda ops, x: ops.tanh(x / 2),
}
"""Last operations, as `keras.ops`, behind a logit: different ranges, but the probability of red is its sigmoid."""


def uncertain_classifier(keras: Any, name: str) -> tuple[Any, Callable[[Image], float]]:
    """A Keras model with one of `SCORES` that is not quite sure, and its probability of red for a BGR picture."""
    body = colour_classifier(keras, units=1, activation=None)
    logit = keras.Model(body.input, body.output * 0.2)

    def probability(image: Image) -> float:
        pixels = cv2.resize(image, (SIDE_PX, SIDE_PX))[np.newaxis, ..., ::-1] / 127.5 - 1
        return float(1 / (1 + np.exp(-np.asarray(logit(pixels.astype(np.float32))).item())))

    return keras.Model(body.input, SCORES[name](keras.ops, logit.output)), probability


def open_float_model(path: Path, stated: ModelOverrides = NO_OVERRIDES) -> FloatModel:
    """A float classifier whose preprocessing was not checked with pictures."""
    network = open_network(path, stated)
    return apply_settings(network, determine_settings(network, stated, {}, (), force=True))


def takes_pixels_unchanged(classifier: MaskClassifier) -> bool:
    """Whether the pixels of a picture are the values of the input tensor."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    return np.shares_memory(classifier._to_input(pixels), pixels)
