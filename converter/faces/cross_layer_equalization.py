"""Cross-layer equalization: matches channel ranges between convolutions to int8.

A tensor has one scale for all channels: if one channel is a hundred times larger than another, the smaller one loses
its precision. Between a 1x1 convolution without activation and a depthwise convolution that is its only consumer,
channels can be scaled freely: the depthwise kernel undoes it, and weights have per-channel scales anyway (M. Nagel et
al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, there from weights alone).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

MIN_RANGE_FRACTION = 1e-3
"""Lower bound for inactive channels, whose noise would be amplified otherwise."""


def equalize(network: Any, pictures: Iterable[NDArray[np.float32]]) -> Any:
    """An equivalent network whose channels have equal ranges where scaling is free.

    `pictures` are inputs, (1, rows, columns, 3), to measure the ranges on. The given network is not changed.
    """
    import keras

    result = keras.models.clone_model(network)
    result.set_weights(network.get_weights())
    pairs = _scalable_pairs(result)
    if not pairs:
        return result
    observed = keras.Model(result.input, [pointwise.output for pointwise, _ in pairs])
    ranges = [np.zeros(pointwise.filters) for pointwise, _ in pairs]
    for pixels in pictures:
        outputs = observed(pixels, training=False)
        for largest, output in zip(ranges, outputs if len(pairs) > 1 else [outputs], strict=True):
            np.maximum(largest, np.abs(np.asarray(output)).max(axis=(0, 1, 2)), out=largest)
    for (pointwise, depthwise), largest in zip(pairs, ranges, strict=True):
        factors = np.maximum(largest, MIN_RANGE_FRACTION * largest.max())
        factors = factors / factors.max() if factors.max() > 0 else np.ones_like(factors)
        kernel, bias = pointwise.get_weights()
        pointwise.set_weights([kernel / factors, bias / factors])
        kernel, bias = depthwise.get_weights()
        depthwise.set_weights([kernel * factors[:, np.newaxis], bias])
    return result


def _scalable_pairs(network: Any) -> list[tuple[Any, Any]]:
    """The 1x1 convolutions without activation whose only consumer is a depthwise one, with that one."""
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
