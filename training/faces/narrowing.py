"""Narrowing: removes channels at stride 4, where a detector spends half of its time.

The channels that the next convolution misses least are removed one by one, and that convolution is fitted to the
remaining ones by least squares (Y. He et al., "Channel Pruning for Accelerating Very Deep Neural Networks", 2017). The
network then has to be trained further.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edge_agent.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import keras
    from numpy.typing import NDArray

_RIDGE = 1e-6
"""Added to the diagonal, relative to its mean: channels may be zero everywhere."""


class _Unit(NamedTuple):
    """The names of two convolutions, 1x1 and depthwise, and of the 1x1 convolution that takes their output."""

    pointwise: str
    depthwise: str
    following: str


def narrowed(network: keras.Model, *, channels: int, pixels: Iterable[NDArray[np.uint8]]) -> keras.Model:
    """A copy of a network of YuNet's structure with so many channels in the units at stride 4.

    `pixels`: batches of training canvases, (n, side, side, 3), BGR.

    Raises:
        ModelError: it has another structure, or no more channels there.
    """
    batches = [batch.astype(np.float32) for batch in pixels]
    weights = {layer.name: layer.get_weights() for layer in network.layers}
    narrow = network
    for unit in _wide_units(network, more_than=channels):
        squares, products = _moments(narrow, network, unit.following, batches)
        kept = _least_missed(squares, products, count=channels)
        fitted = _solved(squares, products, kept)
        weights[unit.pointwise] = [array[..., kept] for array in weights[unit.pointwise]]
        kernel, bias = weights[unit.depthwise]
        weights[unit.depthwise] = [kernel[:, :, kept], bias[kept]]
        weights[unit.following] = [fitted[np.newaxis, np.newaxis, :-1], fitted[-1]]
        narrow = _with_weights(network, weights)
    return narrow


def _wide_units(network: keras.Model, *, more_than: int) -> list[_Unit]:
    """The units between the first and the second pooling that have more channels than that."""
    layers = [(type(layer).__name__, layer) for layer in network.layers]
    convolutions = [layer for kind, layer in layers if kind in {"Conv2D", "DepthwiseConv2D"}]
    pools = [place for place, (kind, _) in enumerate(layers) if kind == "MaxPooling2D"]
    between = {layer.name for _, layer in layers[pools[0] : pools[1]]} if len(pools) > 1 else set()
    units = [
        _Unit(pointwise.name, depthwise.name, following.name)
        for pointwise, depthwise, following in zip(convolutions, convolutions[1:], convolutions[2:], strict=False)
        if type(depthwise).__name__ == "DepthwiseConv2D" and depthwise.name in between and pointwise.filters > more_than
    ]
    if not units:
        raise ModelError(
            f"model.stride_4_channels: the network has no more than {more_than} channels there; give a smaller number"
        )
    return units


def _moments(
    narrow: keras.Model, network: keras.Model, following: str, batches: Sequence[NDArray[np.float32]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Products of the inputs of a convolution in the narrow network, 1 included, with each other and with its outputs.

    Outputs are those of the original network. Shapes: (inputs + 1, inputs + 1) and (inputs + 1, outputs).
    """
    import keras

    inputs = keras.Model(narrow.input, narrow.get_layer(following).input)
    outputs = keras.Model(network.input, network.get_layer(following).output)
    squares: Any = 0.0
    products: Any = 0.0
    for batch in batches:
        given, wanted = (np.asarray(model(batch, training=False), np.float64) for model in (inputs, outputs))
        rows = np.concatenate([given, np.ones((*given.shape[:-1], 1))], axis=-1).reshape(-1, given.shape[-1] + 1)
        squares = squares + rows.T @ rows
        products = products + rows.T @ wanted.reshape(-1, wanted.shape[-1])
    squares += np.eye(len(squares)) * _RIDGE * np.trace(squares) / len(squares)
    return squares, products


def _least_missed(squares: NDArray[np.float64], products: NDArray[np.float64], *, count: int) -> list[int]:
    """The channels that remain if the one with the least loss is removed again and again."""
    kept = list(range(len(squares) - 1))
    while len(kept) > count:
        kept = min(
            (kept[:place] + kept[place + 1 :] for place in range(len(kept))),
            key=lambda some: -np.sum(_solved(squares, products, some) * products[[*some, -1]]),
        )
    return kept


def _solved(squares: NDArray[np.float64], products: NDArray[np.float64], kept: Sequence[int]) -> NDArray[np.float64]:
    """The least-squares weights of these channels, then the bias: shape (channels + 1, outputs)."""
    rows = [*kept, -1]
    return np.linalg.solve(squares[np.ix_(rows, rows)], products[rows])


def _with_weights(network: keras.Model, weights: dict[str, list[NDArray[Any]]]) -> keras.Model:
    """A copy of a network with other weights, whose layers have the widths of these."""
    import keras

    def copied(layer: Any) -> Any:
        config = layer.get_config()
        if "filters" in config:
            config["filters"] = weights[layer.name][0].shape[-1]
        return type(layer).from_config(config)

    copy = keras.models.clone_model(network, clone_function=copied)
    for layer in copy.layers:
        layer.set_weights(weights[layer.name])
    return copy
