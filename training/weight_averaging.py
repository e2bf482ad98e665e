"""Weight averaging: merges two networks that were fine-tuned from the same weights.

The result is often better than either (M. Wortsman et al., "Model soups", 2022).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.errors import ModelError

if TYPE_CHECKING:
    import keras


def average_weights(network: keras.Model, other: keras.Model, *, share: float, name: str) -> None:
    """Set a network's weights to their average with another's; `share` of the other, 0..1.

    Raises:
        ModelError: their weights differ in shape; `name` is that of the other in the message.
    """
    weights, other_weights = network.get_weights(), other.get_weights()
    if [array.shape for array in weights] != [array.shape for array in other_weights]:
        raise ModelError(f"{name}: is another network; merge two runs of the same one")
    network.set_weights([(1 - share) * a + share * b for a, b in zip(weights, other_weights, strict=True)])
