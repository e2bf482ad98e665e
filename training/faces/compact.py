"""The compact network: which shape is fastest in int8 for the same faces?

In int8 the layers at a quarter of the resolution and above cost most of the time, and depthwise ones there more than
their multiplications say. So the front is two dense convolutions with few channels, and the width grows where there
are few cells. Residual bodies and batch normalisation let it be trained from nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from training.faces.yunet import STRIDES

if TYPE_CHECKING:
    import keras

FRONT_CHANNELS = (8, 24)
CHANNELS = (64, 96, 128)
"""At strides 8, 16 and 32."""
BODIES = (2, 2, 2)
FIRST_PROBABILITY = 0.02
"""An untrained cell has no face: otherwise the first steps are spent on saying so."""


def build_compact() -> keras.Model:
    """About 140,000 parameters; input and outputs as those of `build_yunet`."""
    import keras

    pixels = keras.Input((None, None, 3), name="pixels")
    values = pixels
    # Pixels come as 0..255 and leave the first convolution normalised.
    for channels in FRONT_CHANNELS:
        values = _dense(values, channels, strides=2)
    levels = []
    for level, (channels, bodies) in enumerate(zip(CHANNELS, BODIES, strict=True)):
        values = _dense(values, channels, strides=2) if level == 0 else _narrowed(values, channels)
        for _ in range(bodies):
            values = _body(values, channels)
        levels.append(values)
    for finer in (1, 0):
        above = _pointwise(levels[finer + 1], CHANNELS[finer])
        above = keras.layers.UpSampling2D(2, interpolation="nearest")(above)
        levels[finer] = _body(keras.layers.Add()([levels[finer], above]), CHANNELS[finer])
    outputs: dict[str, Any] = {}
    prior = keras.initializers.Constant(math.log(FIRST_PROBABILITY / (1 - FIRST_PROBABILITY)))
    for level, stride in zip(levels, STRIDES, strict=True):
        seen = _depthwise(level)
        outputs[f"logits_{stride}"] = keras.layers.Conv2D(2, 1, bias_initializer=prior, name=f"logits_{stride}")(seen)
        outputs[f"boxes_{stride}"] = keras.layers.Conv2D(4, 1, name=f"boxes_{stride}")(seen)
    return keras.Model(pixels, outputs, name="compact")


def _dense(values: Any, channels: int, *, strides: int) -> Any:
    import keras

    padded = keras.layers.ZeroPadding2D(1)(values)
    return _activated(keras.layers.Conv2D(channels, 3, strides, use_bias=False)(padded))


def _narrowed(values: Any, channels: int) -> Any:
    import keras

    padded = keras.layers.ZeroPadding2D(1)(values)
    seen = keras.layers.BatchNormalization()(keras.layers.DepthwiseConv2D(3, 2, use_bias=False)(padded))
    return _pointwise(seen, channels)


def _body(values: Any, channels: int) -> Any:
    """Depthwise, then 1x1, beside what came in."""
    import keras

    return keras.layers.Add()([values, _pointwise(_depthwise(values), channels)])


def _depthwise(values: Any) -> Any:
    import keras

    return _activated(keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(values))


def _pointwise(values: Any, channels: int) -> Any:
    import keras

    return _activated(keras.layers.Conv2D(channels, 1, use_bias=False)(values))


def _activated(values: Any) -> Any:
    import keras

    return keras.layers.ReLU()(keras.layers.BatchNormalization()(values))
