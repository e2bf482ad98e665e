"""TFLite networks: determines inputs and outputs of a third-party .tflite file."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import numpy as np

from converter.masks.file_formats import TFLITE_MAGIC
from converter.masks.graph_analysis import meanings_of_single_output
from converter.masks.label_files import names_beside, read_label_file
from converter.masks.loaded_model import describe_tensors
from converter.masks.networks import Network
from converter.masks.output_range import range_of_scores, to_probabilities
from converter.masks.preprocessing import common_preprocessings
from converter.masks.tflite_editing import operators_of_tensorflow, output_limits
from converter.masks.tflite_metadata import (
    Normalization,
    labels_in_archive,
    labels_in_metadata,
    normalization_in_metadata,
)
from edge_agent.errors import ModelError
from edge_agent.vision.tflite import open_interpreter
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from converter.masks.overrides import ModelOverrides
    from edge_agent.vision.tflite import Interpreter, Tensor

_RANK = 4
_CHANNELS = (1, 3)
_TYPES = ("float32", "int8", "uint8")
"""Types of input and output that a card can state."""
_TOLERANCE = 0.05
"""Of the whole range: the pictures that a file was quantized with need not be quite black and white."""


def open_tflite_network(path: Path, overrides: ModelOverrides) -> tuple[Network, bytes]:
    """Open a .tflite file, or a Teachable Machine zip that contains one; returns its bytes too.

    Raises:
        ModelError: it is missing or damaged, has operators that no device has, or is not a classifier of single
            pictures, channels last.
    """
    content, names, kind = _content_of(path)
    # LiteRT can run them here, where TensorFlow is installed.
    if missing := operators_of_tensorflow(content, name=str(path)):
        raise ModelError(
            f"{path}: needs {', '.join(missing)}, TensorFlow's own operators (SELECT_TF_OPS), which no device has; "
            "put other layers in their place, and convert the model that it was made from"
        )
    with quiet_tensorflow():
        interpreter = open_interpreter(content, name=str(path))
    _check_tensors(interpreter, path)
    input_tensor, output_tensor = interpreter.inputs[0], interpreter.outputs[0]
    outputs = int(np.prod(output_tensor.shape))
    raw_outputs = _as_function(interpreter)
    scores = range_of_scores(output_limits(content), raw_outputs, input_tensor.shape, path=path)

    def probabilities(values: NDArray[np.float32]) -> NDArray[np.float64]:
        return to_probabilities(raw_outputs(values), scores)

    is_ambiguous = outputs == 1 and scores is None
    channels = int(input_tensor.shape[3])
    normalization = normalization_in_metadata(content, channels=channels)
    pixels_origin = "its TFLite Metadata"
    if normalization is None:
        normalization = _quantized_normalization(input_tensor, channels=channels)
        pixels_origin = "the quantization of its input"
    network = Network(
        path=path,
        name=path.stem,
        kind=kind,
        height_px=int(input_tensor.shape[1]),
        width_px=int(input_tensor.shape[2]),
        channels=channels,
        outputs=outputs,
        probabilities=probabilities,
        scores=scores,
        single_output=meanings_of_single_output(probabilities, input_tensor.shape)
        if is_ambiguous
        else ("probability",),
        output_names=names,
        pixels=normalization.pixels if normalization else None,
        means=normalization.means if normalization else (),
        deviations=normalization.deviations if normalization else (),
        pixels_from=f"found in the file: {pixels_origin}" if normalization else "",
        margin_fraction=overrides.margin_fraction or 0.0,
    )
    return network, content


def _check_tensors(interpreter: Interpreter, path: Path) -> None:
    """Check that a model takes one picture, channels last, and gives one score per label, in types of a card.

    Raises:
        ModelError: it does not.
    """
    if len(interpreter.inputs) != 1 or len(interpreter.outputs) != 1:
        raise ModelError(f"{path}: {describe_tensors(len(interpreter.inputs), len(interpreter.outputs))}")
    input_tensor, output_tensor = interpreter.inputs[0], interpreter.outputs[0]
    if len(input_tensor.shape) != _RANK or input_tensor.shape[0] != 1 or input_tensor.shape[3] not in _CHANNELS:
        raise ModelError(
            f"{path}: its input has shape {tuple(input_tensor.shape)}, a mask classifier's has (1, height, width, 3) "
            "or (1, height, width, 1); convert the model that it was made from"
        )
    if 1 in input_tensor.shape[1:3]:
        raise ModelError(
            f"{path}: leaves the size of its input open; convert the model that it was made from, with the --size that "
            "it was trained at"
        )
    if max(output_tensor.shape) != np.prod(output_tensor.shape):
        raise ModelError(
            f"{path}: its output has shape {tuple(output_tensor.shape)}, a mask classifier's has one score per label; "
            "this is a detector: train a classifier of cropped faces"
        )
    types = [np.dtype(tensor.dtype).name for tensor in (input_tensor, output_tensor)]
    if not set(types) <= set(_TYPES):
        raise ModelError(
            f"{path}: takes {types[0]} and gives {types[1]}, the device knows {', '.join(_TYPES)}; convert the model "
            "that it was made from, or export it again with float32 inputs and outputs"
        )


def _content_of(path: Path) -> tuple[bytes, tuple[str, ...], str]:
    """The model's bytes, the output names if a file states them, and its kind."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    if content[4:8] == TFLITE_MAGIC:
        names = labels_in_metadata(content) or read_label_file(path.with_suffix(".txt")) or names_beside(path)
        return content, names, "TFLite"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            models = [name for name in archive.namelist() if name.endswith(".tflite")]
            if len(models) == 1:
                return archive.read(models[0]), labels_in_archive(archive), "Teachable Machine, TFLite"
            if models:
                raise ModelError(
                    f"{path}: an archive with {len(models)} TFLite models ({', '.join(models[:5])}); unpack it and "
                    "give one of them"
                )
    raise ModelError(f"{path}: no TFLite model; other kinds are taken by 'edge-convert convert {path}'")


def _quantized_normalization(tensor: Tensor, *, channels: int) -> Normalization | None:
    """The normalization that the quantization of a byte input implies, as its bytes are the pixels of a picture.

    None for other inputs, and for the range of means per channel, which does not show the order of the colours.
    """
    if not tensor.scale or np.dtype(tensor.dtype).itemsize > 1:
        return None
    limits = np.iinfo(tensor.dtype)
    black, white = ((step - tensor.zero_point) * tensor.scale for step in (limits.min, limits.max))
    for common in common_preprocessings(channels):
        darkest, lightest = (common.values(np.full((1, 1, 3), pixel, np.uint8)) for pixel in (0, 255))
        if np.allclose((black, white), (darkest.min(), lightest.max()), rtol=0, atol=_TOLERANCE * (white - black)):
            return None if common.means else Normalization(common.pixels)
    mean, deviation = float(tensor.zero_point - limits.min), round(1 / tensor.scale, 4)
    return Normalization("0..255", (mean,) * channels, (deviation,) * channels)


def _as_function(interpreter: Interpreter) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """The model as a function from real values to real values."""
    input_tensor, output_tensor = interpreter.inputs[0], interpreter.outputs[0]

    def call(values: NDArray[np.float32]) -> NDArray[np.float64]:
        tensor = values
        if input_tensor.scale:
            limits = np.iinfo(input_tensor.dtype)
            steps = np.round(values / input_tensor.scale + input_tensor.zero_point)
            tensor = np.clip(steps, limits.min, limits.max).astype(input_tensor.dtype)
        outputs = interpreter.run(tensor.astype(input_tensor.dtype))[0].astype(np.float64).reshape(-1)
        if output_tensor.scale:
            outputs = (outputs - output_tensor.zero_point) * output_tensor.scale
        return np.asarray(outputs)

    return call
