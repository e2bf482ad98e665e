"""Networks of common families, as small as possible, with random weights and a fitted last layer.

Masked and bare "faces" are two colours in many shades. The body is random, with the statistics of its batch
normalizations taken from such pictures; its last layer is fitted to them, prepared as the family's authors do.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.domain import Label

SIDE_PX = 32
MASK, BARE = (160, 90, 40), (80, 130, 200)
"""BGR of a "face" with and without a mask."""
COLOURS: dict[Label, tuple[int, int, int]] = {"with_mask": MASK, "without_mask": BARE}
FITTED = 40

IMAGENET_MEANS, IMAGENET_DEVIATIONS = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
CAFFE_MEANS = np.array([103.939, 116.779, 123.68])

_BLOCK = {"kernel_size": 3, "num_repeat": 1, "input_filters": 32, "expand_ratio": 2, "se_ratio": 0.25, "strides": 2}


def as_they_are(pixels: NDArray[Any]) -> NDArray[Any]:
    """RGB of 0..255, for networks with built-in preprocessing."""
    return pixels


def to_fractions(pixels: NDArray[Any]) -> NDArray[Any]:
    """0..1."""
    return pixels / 255


def around_zero(pixels: NDArray[Any]) -> NDArray[Any]:
    """-1..1, mode "tf" of keras.applications."""
    return pixels / 127.5 - 1


def as_caffe(pixels: NDArray[Any]) -> NDArray[Any]:
    """BGR minus the means of ImageNet, mode "caffe"."""
    return np.asarray(pixels[..., ::-1] - CAFFE_MEANS)


def as_torch(pixels: NDArray[Any]) -> NDArray[Any]:
    """Means and deviations of ImageNet, mode "torch"."""
    return np.asarray((pixels / 255 - IMAGENET_MEANS) / IMAGENET_DEVIATIONS)


def a_face(label: Label, *, seed: int) -> NDArray[np.uint8]:
    """A BGR picture, (48, 48, 3), of a label."""
    random = np.random.default_rng(seed)
    shade = np.array(COLOURS[label]) * random.uniform(0.8, 1.15) + random.normal(0, 15, 3)
    return np.asarray(np.clip(shade + random.normal(0, 12, (48, 48, 3)), 0, 255), np.uint8)


def write_faces(folder: Path, *, count: int) -> None:
    """Write a folder of faces for each label."""
    for label in COLOURS:
        (folder / label).mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(str(folder / label / f"{number:03}.png"), a_face(label, seed=1000 + number))


@dataclass(frozen=True)
class Family:
    """How a Keras version builds a body, and its authors' preprocessing of RGB pixels of 0..255, (pictures, ..., 3)."""

    build: Callable[[Any], Any]
    prepare: Callable[[NDArray[Any]], NDArray[Any]]


def _part(keras: Any, name: str) -> Any:
    return importlib.import_module(f"{keras.__name__}.src.applications.{name}")


def _efficientnet(keras: Any) -> Any:
    block = {"repeats": 1, "filters_in": 32, "filters_out": 16, "kernel_size": 3, "expand_ratio": 2}
    blocks = [block | {"id_skip": True, "strides": 2, "se_ratio": 0.25}]
    model = _part(keras, "efficientnet").EfficientNet(0.25, 0.1, SIDE_PX, blocks_args=blocks, **_bare())
    # With the preprocessing of their ImageNet weights.
    (layer,) = [one for one in model.layers if type(one).__name__ == "Normalization"]
    layer.set_weights([IMAGENET_MEANS, IMAGENET_DEVIATIONS**2, *layer.get_weights()[2:]])
    layer.finalize_state()
    return model


def _efficientnet_v2(keras: Any) -> Any:
    blocks = [
        _BLOCK | {"output_filters": 16, "conv_type": 1},
        _BLOCK | {"input_filters": 16, "output_filters": 16, "conv_type": 0},
    ]
    build = _part(keras, "efficientnet_v2").EfficientNetV2
    return build(0.5, 0.1, SIDE_PX, blocks_args=blocks, name="efficientnetv2-b0", **_bare())


def _mobilenet_v3(keras: Any) -> Any:
    part = _part(keras, "mobilenet_v3")

    def stack(x: Any, kernel: int, activation: Any, se_ratio: float) -> Any:
        x = part._inverted_res_block(x, 1, 16, 3, 2, se_ratio, part.relu, 0)
        return part._inverted_res_block(x, 2, 24, kernel, 2, se_ratio, activation, 1)

    return part.MobileNetV3(stack, 64, **_bare())


def _resnet(keras: Any) -> Any:
    part = _part(keras, "resnet")
    name = "stack_residual_blocks_v1" if hasattr(part, "stack_residual_blocks_v1") else "stack1"
    return part.ResNet(lambda x: getattr(part, name)(x, 8, 1, stride1=1, name="stack"), False, True, **_bare())


def _vgg(keras: Any) -> Any:
    layers = keras.layers
    convolutions = [layers.Conv2D(filters, 3, padding="same", activation="relu") for filters in (8, 8, 16)]
    pooled = [layer for one in convolutions for layer in (one, layers.MaxPooling2D(2))]
    return keras.Sequential([keras.Input((SIDE_PX, SIDE_PX, 3)), *pooled, layers.Flatten()])


def _densenet(keras: Any) -> Any:
    return _part(keras, "densenet").DenseNet([1, 1, 1, 1], **_bare())


def _separable(keras: Any) -> Any:
    """A separable convolution block, as in Xception."""
    layers = keras.layers
    pixels = keras.Input((SIDE_PX, SIDE_PX, 3))
    first = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(8, 3, 2, use_bias=False)(pixels)))
    residual = layers.BatchNormalization()(layers.Conv2D(16, 1, 2, padding="same", use_bias=False)(first))
    x = layers.BatchNormalization()(layers.SeparableConv2D(16, 3, padding="same", use_bias=False)(first))
    x = layers.add([layers.MaxPooling2D(3, 2, padding="same")(x), residual])
    return keras.Model(pixels, layers.GlobalAveragePooling2D()(x))


def _bare() -> dict[str, Any]:
    return {"weights": None, "include_top": False, "pooling": "avg", "input_shape": (SIDE_PX, SIDE_PX, 3)}


FAMILIES = {
    "EfficientNet": Family(_efficientnet, as_they_are),
    "EfficientNetV2": Family(_efficientnet_v2, as_they_are),
    "MobileNetV3": Family(_mobilenet_v3, as_they_are),
    "ResNet": Family(_resnet, as_caffe),
    "VGG": Family(_vgg, as_caffe),
    "VGG without its means": Family(_vgg, to_fractions),
    "DenseNet": Family(_densenet, as_torch),
    "Xception": Family(_separable, around_zero),
}


def a_classifier(keras: Any, family: Family, *, units: int, activation: str | None, reverse: bool) -> Any:
    """A Keras model whose outputs are with_mask and without_mask, or the other way round; one unit is the second."""
    keras.utils.set_random_seed(1)
    body = family.build(keras)
    labels: tuple[Label, ...] = tuple(COLOURS)
    faces = [(a_face(label, seed=seed), second) for seed in range(FITTED) for second, label in enumerate(labels)]
    pixels = np.array([cv2.resize(image, (SIDE_PX, SIDE_PX))[..., ::-1] for image, _ in faces], np.float32)
    prepared = np.asarray(family.prepare(pixels), np.float32)
    for layer in body._flatten_layers() if hasattr(body, "_flatten_layers") else body.layers:
        if "BatchNormalization" in type(layer).__name__:
            layer.momentum = 0.0
    body(prepared, training=True)
    features = np.asarray(body(prepared, training=False), np.float64).reshape(len(faces), -1)
    is_second = np.array([bool(second) is not reverse for _, second in faces])
    weights, bias = _separating(features, is_second)
    model = keras.Sequential([keras.Input((SIDE_PX, SIDE_PX, 3)), body, keras.layers.Dense(units, activation)])
    both = ((-weights / 2, weights / 2), (-bias / 2, bias / 2)) if units > 1 else ((weights,), (bias,))
    model.layers[-1].set_weights([np.stack(both[0], 1).astype(np.float32), np.array(both[1], np.float32)])
    return model


def _separating(features: NDArray[np.float64], is_second: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """Weights and bias of a logit by ridge regression on standardised features."""
    middle, select_evenly = features.mean(0), features.std(0) + 1e-6
    scaled = (features - middle) / select_evenly
    wanted = np.where(is_second, 1.0, -1.0)
    weights = scaled.T @ np.linalg.solve(scaled @ scaled.T + np.eye(len(scaled)) * features.shape[1] * 0.1, wanted)
    weights = weights * (4 / np.abs(scaled @ weights).mean()) / select_evenly
    return weights, -float(middle @ weights)
