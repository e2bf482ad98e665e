"""Cross-layer equalisation: matches channel ranges between convolutions to int8.

A tensor has one scale for all its channels: where one is a hundred times as large as another, little is left of the
smaller. Between a 1x1 convolution without activation and the depthwise one that alone reads it, each channel may be
scaled freely, as the depthwise kernel undoes it; weights have a scale for each channel anyway (M. Nagel et al.,
"Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, there by weights alone).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

LEAST_RANGE_SHARE = 1e-3
"""A channel that hardly ever says anything is not blown up to noise."""


def equalised(network: Any, pictures: Iterable[NDArray[np.float32]]) -> Any:
    """A network with the same answers whose channels have equal ranges where that is free.

    `pictures` are inputs, (1, rows, columns, 3), of which the ranges are taken. The network given stays as it is.
    """
    import keras

    result = keras.models.clone_model(network)
    result.set_weights(network.get_weights())
    pairs = _free_pairs(result)
    if not pairs:
        return result
    watched = keras.Model(result.input, [pointwise.output for pointwise, _ in pairs])
    ranges = [np.zeros(pointwise.filters) for pointwise, _ in pairs]
    for pixels in pictures:
        answers = watched(pixels, training=False)
        for largest, answer in zip(ranges, answers if len(pairs) > 1 else [answers], strict=True):
            np.maximum(largest, np.abs(np.asarray(answer)).max(axis=(0, 1, 2)), out=largest)
    for (pointwise, depthwise), largest in zip(pairs, ranges, strict=True):
        factors = np.maximum(largest, LEAST_RANGE_SHARE * largest.max())
        factors = factors / factors.max() if factors.max() > 0 else np.ones_like(factors)
        kernel, bias = pointwise.get_weights()
        pointwise.set_weights([kernel / factors, bias / factors])
        kernel, bias = depthwise.get_weights()
        depthwise.set_weights([kernel * factors[:, np.newaxis], bias])
    return result


def _free_pairs(network: Any) -> list[tuple[Any, Any]]:
    """The 1x1 convolutions without activation, each with the depthwise one that alone reads it."""
    import keras

    pairs = []
    for layer in network.layers:
        consumers = [node.operation for node in layer._outbound_nodes]  # noqa: SLF001  (Keras has no public way)
        is_pointwise = isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (1, 1) and layer.use_bias
        if not is_pointwise or layer.activation is not keras.activations.linear or len(consumers) != 1:
            continue
        (consumer,) = consumers
        if isinstance(consumer, keras.layers.DepthwiseConv2D) and consumer.depth_multiplier == 1 and consumer.use_bias:
            pairs.append((layer, consumer))
    return pairs
