"""YuNet: converts the published face detector to an equivalent Keras network.

OpenCV reads YuNet (Apache-2.0, ShiqiYu/libfacedetection.train) from an ONNX file and returns its convolutions in
execution order. The two releases tried, 2023mar and yunet_n, differ only in widths and in whether a convolution
precedes the heads. Landmarks are omitted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge_agent.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import keras
    from numpy.typing import NDArray

STRIDES = (8, 16, 32)
LANDMARK_CHANNELS = 10
# Convolutions: one at the input, two per unit for 11 units of the backbone and 3 of the neck, and two per head for the
# heads of 3 levels (class, box, object, landmarks); yunet_n has 3 more units before the heads.
CONVOLUTIONS_2023MAR, CONVOLUTIONS_YUNET_N = 1 + 2 * (11 + 3 + 4 * 3), 1 + 2 * (11 + 3 + 3 + 4 * 3)


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """A kernel in Keras' layout, (rows, columns, in, out) or (rows, columns, channels, 1), and its bias."""

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    is_depthwise: bool


def read_convolutions(file: Path) -> list[Convolution]:
    """The convolutions of an ONNX file, in execution order.

    Raises:
        ModelError: the file is missing, not ONNX, or not YuNet.
    """
    if not file.is_file():
        raise ModelError(f"{file}: no such file; give the path of a YuNet face detector (ONNX)")
    try:
        # OpenCV 5 has a second engine; only the classic one of OpenCV 4 exposes its layers.
        engine = [cv2.dnn.ENGINE_CLASSIC] if hasattr(cv2.dnn, "ENGINE_CLASSIC") else []
        network = cv2.dnn.readNetFromONNX(str(file), *engine)
    except cv2.error as error:
        raise ModelError(f"{file}: OpenCV cannot read it as ONNX: {' '.join(str(error).split())[:160]}") from error
    layers = (network.getLayer(name) for name in network.getLayerNames())
    found = [
        _convolution(*(np.asarray(blob, np.float32) for blob in layer.blobs))
        for layer in layers
        if layer.type == "Convolution"
    ]
    if len(found) not in {CONVOLUTIONS_2023MAR, CONVOLUTIONS_YUNET_N} or found[-1].bias.size != LANDMARK_CHANNELS:
        raise ModelError(
            f"{file}: no YuNet face detector: {len(found)} convolutions, not {CONVOLUTIONS_2023MAR} or "
            f"{CONVOLUTIONS_YUNET_N}"
        )
    return found


def build_yunet(file: Path) -> keras.Model:
    """Build the network of an ONNX file. Input: float32 BGR 0..255, (n, rows, columns, 3), sides multiples of 32.

    Output: for each stride logits (n, rows, columns, 2) and boxes (n, rows, columns, 4), in the format of
    `edge_agent.vision.detector.decoding` and the order `logits_8, boxes_8, logits_16, ...`.

    Raises:
        ModelError: the file is missing, or not YuNet.
    """
    import keras

    convolutions = read_convolutions(file)
    layers = _Layers(iter(convolutions))
    pool = keras.layers.MaxPooling2D
    pixels = keras.Input((None, None, 3), name="pixels")
    # Symmetric padding: Keras' "same" would pad even inputs only at the right and bottom.
    values = layers.plain(keras.layers.ZeroPadding2D(1)(pixels), strides=2)
    values = pool()(layers.unit(values))
    for _ in range(4):
        values = layers.unit(values)
    levels = []
    for _ in STRIDES:
        values = layers.unit(layers.unit(pool()(values)))
        levels.append(values)
    levels[2] = layers.unit(levels[2])
    for finer in (1, 0):
        above = keras.layers.UpSampling2D(2, interpolation="nearest")(levels[finer + 1])
        levels[finer] = layers.unit(keras.layers.Add()([levels[finer], above]))
    if len(convolutions) == CONVOLUTIONS_YUNET_N:
        levels = [layers.unit(level) for level in levels]
    classes, boxes, objects = ([layers.take_pair() for _ in STRIDES] for _ in range(3))
    outputs: dict[str, Any] = {}
    for level, stride, *heads in zip(levels, STRIDES, classes, objects, boxes, strict=True):
        outputs[f"logits_{stride}"] = layers.head(level, _joined_heads(heads[0], heads[1]), name=f"logits_{stride}")
        outputs[f"boxes_{stride}"] = layers.head(level, heads[2], name=f"boxes_{stride}")
    return keras.Model(pixels, outputs, name="yunet")


def _convolution(kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> Convolution:
    """Convert from (out, in / groups, rows, columns); depthwise if each channel has its own kernel."""
    is_depthwise = kernel.shape[1] == 1 and kernel.shape[2] > 1
    axes = (2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0)
    return Convolution(np.ascontiguousarray(kernel.transpose(axes)), bias.reshape(-1), is_depthwise)


def _joined_heads(
    first: tuple[Convolution, Convolution], second: tuple[Convolution, Convolution]
) -> tuple[Convolution, Convolution]:
    """Join two heads of a level into one, with concatenated channels."""
    return (
        Convolution(
            np.concatenate([first[0].kernel, second[0].kernel], axis=3),
            np.concatenate([first[0].bias, second[0].bias]),
            is_depthwise=False,
        ),
        Convolution(
            np.concatenate([first[1].kernel, second[1].kernel], axis=2),
            np.concatenate([first[1].bias, second[1].bias]),
            is_depthwise=True,
        ),
    )


class _Layers:
    """Creates Keras layers from consecutive convolutions."""

    def __init__(self, convolutions: Iterator[Convolution]) -> None:
        self._convolutions = convolutions

    def take_pair(self) -> tuple[Convolution, Convolution]:
        """The next two convolutions: 1x1, then depthwise 3x3."""
        return next(self._convolutions), next(self._convolutions)

    def plain(self, values: Any, *, strides: int) -> Any:
        """A dense convolution without padding, with ReLU."""
        return _convolved(values, next(self._convolutions), strides=strides, padding="valid", activation="relu")

    def unit(self, values: Any) -> Any:
        """A 1x1 convolution without activation, then a depthwise 3x3 one with ReLU."""
        pointwise, depthwise = self.take_pair()
        return _convolved(_convolved(values, pointwise), depthwise, activation="relu")

    def head(self, values: Any, pair: tuple[Convolution, Convolution], *, name: str) -> Any:
        """As `unit`, without the final activation."""
        return _convolved(_convolved(values, pair[0]), pair[1], name=name)


def _convolved(
    values: Any, convolution: Convolution, *, strides: int = 1, padding: str = "same", **options: Any
) -> Any:
    """Add a layer with the weights of a convolution."""
    import keras

    size = convolution.kernel.shape[:2]
    if convolution.is_depthwise:
        layer = keras.layers.DepthwiseConv2D(size, strides, padding, **options)
    else:
        layer = keras.layers.Conv2D(convolution.kernel.shape[3], size, strides, padding, **options)
    result = layer(values)
    layer.set_weights([convolution.kernel, convolution.bias])
    return result
