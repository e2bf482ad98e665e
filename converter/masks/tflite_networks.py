"""TFLite networks: determines inputs and outputs of a third-party .tflite file."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import numpy as np

from converter.masks.loading import TEACHABLE_LABELS, read_names
from converter.masks.networks import Network
from converter.masks.preprocessing import PIXEL_SCALES
from converter.masks.tflite_editing import ending_of, operators_of_tensorflow
from converter.masks.tflite_metadata import names_in_archive, names_in_metadata, normalization_in_metadata
from converter.silence import quiet_tensorflow
from edge_agent.errors import ModelError
from edge_agent.vision.tflite import open_interpreter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from converter.masks.preprocessing import PixelRange
    from converter.masks.stated import Stated
    from edge_agent.vision.tflite import Interpreter, Tensor

TFLITE_MAGIC = b"TFL3"
_RANK = 4
_CHANNELS = (1, 3)


def open_tflite_network(path: Path, stated: Stated) -> tuple[Network, bytes]:
    """Open a .tflite file, or a Teachable Machine zip that contains one; returns its bytes too.

    Raises:
        ModelError: it is missing or damaged, has operators that no device has, or is not a classifier of single
            pictures, channels last.
    """
    content, names, kind = _content_of(path)
    # LiteRT can run them here, where TensorFlow is installed.
    if lacking := operators_of_tensorflow(content):
        raise ModelError(
            f"{path}: needs {', '.join(lacking)}, TensorFlow's own operators (SELECT_TF_OPS), which no device has; "
            "put other layers in their place, and convert the model that it was made from"
        )
    with quiet_tensorflow():
        interpreter = open_interpreter(content, name=str(path))
    if len(interpreter.inputs) != 1 or len(interpreter.outputs) != 1:
        raise ModelError(
            f"{path}: has {len(interpreter.inputs)} inputs and {len(interpreter.outputs)} outputs; a mask classifier "
            "takes one picture of a face and gives one score per label"
        )
    taken, given = interpreter.inputs[0], interpreter.outputs[0]
    if len(taken.shape) != _RANK or taken.shape[0] != 1 or taken.shape[3] not in _CHANNELS:
        raise ModelError(
            f"{path}: its input has shape {tuple(taken.shape)}, a mask classifier's has (1, height, width, 3) or "
            "(1, height, width, 1); convert the model that it was made from"
        )
    if 1 in taken.shape[1:3]:
        raise ModelError(
            f"{path}: leaves the size of its input open; convert the model that it was made from, with the --size that "
            "it was trained at"
        )
    if max(given.shape) != np.prod(given.shape):
        raise ModelError(
            f"{path}: its output has shape {tuple(given.shape)}, a mask classifier's has one score per label; this is "
            "a detector: train a classifier of cropped faces"
        )
    channels = int(taken.shape[3])
    stated_inside = normalization_in_metadata(content, channels=channels)
    pixels = stated_inside.pixels if stated_inside else _range_of(taken)
    where = "its TFLite Metadata" if stated_inside else "the scale of its input"
    network = Network(
        path=path,
        name=path.stem,
        kind=kind,
        height_px=int(taken.shape[1]),
        width_px=int(taken.shape[2]),
        channels=channels,
        outputs=int(np.prod(given.shape)),
        probabilities=_called(interpreter, content),
        output_names=names,
        pixels=pixels,
        means=stated_inside.means if stated_inside else (),
        deviations=stated_inside.deviations if stated_inside else (),
        pixels_from=f"found in the file: {where}" if pixels else "",
        margin_fraction=stated.margin_fraction or 0.0,
    )
    return network, content


def _content_of(path: Path) -> tuple[bytes, tuple[str, ...], str]:
    """The model's bytes, the output names if a file states them, and its kind."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    if content[4:8] == TFLITE_MAGIC:
        names = names_in_metadata(content) or _names_beside(path)
        return content, names, "TFLite"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            models = [name for name in archive.namelist() if name.endswith(".tflite")]
            if len(models) == 1:
                return archive.read(models[0]), names_in_archive(archive), "Teachable Machine, TFLite"
    raise ModelError(f"{path}: no TFLite model; other kinds are taken by 'edge-convert convert {path}'")


def _names_beside(path: Path) -> tuple[str, ...]:
    """The names in `labels.txt` beside the file, or in a text file named after it."""
    for name in (f"{path.stem}_labels.txt", f"{path.stem}.txt", TEACHABLE_LABELS):
        if names := read_names(path.with_name(name)):
            return names
    return ()


def _range_of(tensor: Tensor) -> PixelRange | None:
    """The pixel range that the scale of a quantized input implies; None for float."""
    if not tensor.scale:
        return None
    return next(
        (pixels for pixels, (scale, _) in PIXEL_SCALES.items() if np.isclose(tensor.scale, scale, rtol=0.02)), None
    )


def _called(interpreter: Interpreter, content: bytes) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """The model as a function from real values to probabilities."""
    taken, given = interpreter.inputs[0], interpreter.outputs[0]
    ends_in = ending_of(content)

    def call(values: NDArray[np.float32]) -> NDArray[np.float64]:
        tensor = values
        if taken.scale:
            limits = np.iinfo(taken.dtype)
            steps = np.round(values / taken.scale + taken.zero_point)
            tensor = np.clip(steps, limits.min, limits.max).astype(taken.dtype)
        raw = interpreter.run(tensor.astype(taken.dtype))[0].astype(np.float64).reshape(-1)
        if given.scale:
            raw = (raw - given.zero_point) * given.scale
        if ends_in != "logits":
            return np.asarray(raw)
        if len(raw) == 1:
            return np.asarray(1 / (1 + np.exp(-raw)))
        shares = np.exp(raw - raw.max())
        return np.asarray(shares / shares.sum())

    return call
