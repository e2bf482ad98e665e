"""Detector network: opens face detectors for training, from any supported file.

Input: float32 BGR 0..255, (n, rows, columns, 3), rows and columns multiples of 32. Output: a dictionary with, for each
stride, `logits_STRIDE` (n, rows, columns, 2) and `boxes_STRIDE` (n, rows, columns, 4), in the format of
`edge_agent.vision.detector.decoding`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_agent.errors import ModelError
from edge_agent.vision.detector.decoding import Level
from training.faces.released import build_released, is_released
from training.faces.yunet import STRIDES, build_yunet

if TYPE_CHECKING:
    from pathlib import Path

    import keras
    from numpy.typing import NDArray

__all__ = ["STRIDES", "levels_of", "open_network"]


def open_network(file: Path) -> keras.Model:
    """Open a network from a YuNet file (.onnx), another run (.keras) or a released detector (its card or network).

    Raises:
        ModelError: the file is missing, or not a face detector.
    """
    import keras

    if is_released(file):
        return _as_detector(build_released(file), file)
    if file.suffix != ".keras":
        return build_yunet(file)
    if not file.is_file():
        raise ModelError(f"{file}: no such model; give the model.keras of another run, or a YuNet file (ONNX)")
    try:
        network = keras.models.load_model(file, compile=False)
    # Keras raises many classes for unreadable files.
    except Exception as error:
        raise ModelError(f"{file}: Keras cannot read it: {str(error)[:200]}") from error
    return _as_detector(network, file)


def _as_detector(network: keras.Model, file: Path) -> keras.Model:
    expected = {f"{kind}_{stride}" for kind in ("logits", "boxes") for stride in STRIDES}
    if not isinstance(network.output, dict) or set(network.output) != expected:
        raise ModelError(f"{file}: no face detector: its outputs are not {', '.join(sorted(expected))}")
    return network


def levels_of(outputs: dict[str, NDArray[np.float32]], picture: int) -> list[Level]:
    """The outputs for one picture of a batch."""
    return [
        Level(stride, np.asarray(outputs[f"logits_{stride}"][picture]), np.asarray(outputs[f"boxes_{stride}"][picture]))
        for stride in STRIDES
    ]
