"""The network: what looks for faces, and with which weights does it begin?

In: float32 BGR 0..255, (n, rows, columns, 3), rows and columns multiples of 32. Out: a dictionary with, for each
stride, `logits_STRIDE` (n, rows, columns, 2) and `boxes_STRIDE` (n, rows, columns, 4), as
`edge_agent.vision.faces.decoding` reads them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.errors import ModelError
from edge_agent.vision.faces.decoding import Level
from training.faces.compact import build_compact
from training.faces.yunet import STRIDES, build_yunet

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

    from training.faces.recipe import ModelRecipe

__all__ = ["STRIDES", "build_network", "levels_of", "open_network"]


def build_network(recipe: ModelRecipe) -> keras.Model:
    """The network of a recipe with its first weights.

    Raises:
        ModelError: the weights are missing or do not fit.
    """
    match recipe.architecture:
        case "yunet":
            return open_network(Path(recipe.weights))
        case "compact":
            return _compact(recipe.weights)


def open_network(file: Path) -> keras.Model:
    """A network out of a YuNet file (.onnx) or of another run (.keras).

    Raises:
        ModelError: the file is missing or no face finder.
    """
    import keras

    if file.suffix != ".keras":
        return build_yunet(file)
    if not file.is_file():
        raise ModelError(f"{file}: no such model; give the model.keras of another run, or a YuNet file (ONNX)")
    try:
        network = keras.models.load_model(file, compile=False)
    # Keras raises many classes for a file it cannot read.
    except Exception as error:
        raise ModelError(f"{file}: Keras cannot read it: {str(error)[:200]}") from error
    wanted = {f"{kind}_{stride}" for kind in ("logits", "boxes") for stride in STRIDES}
    if not isinstance(network.output, dict) or set(network.output) != wanted:
        raise ModelError(f"{file}: no face finder: its outputs are not {', '.join(sorted(wanted))}")
    return network


def _compact(weights: str) -> keras.Model:
    network = build_compact()
    if weights != "scratch":
        try:
            network.set_weights(open_network(Path(weights)).get_weights())
        except ValueError as error:
            raise ModelError(
                f"{weights}: does not fit the architecture 'compact': {str(error)[:200]}; "
                "correct model.weights, or write 'scratch'"
            ) from error
    return network


def levels_of(outputs: dict[str, NDArray[np.float32]], picture: int) -> list[Level]:
    """The answers for one picture of a batch."""
    return [
        Level(stride, np.asarray(outputs[f"logits_{stride}"][picture]), np.asarray(outputs[f"boxes_{stride}"][picture]))
        for stride in STRIDES
    ]
