"""Networks: determines inputs and output probabilities of a classifier, independent of its labels.

They are derived from the graph: input size, a scaling at its start, a softmax or sigmoid at its end.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.masks.graph_analysis import input_scaling, meanings_of_single_output, output_limits
from converter.masks.graphs import freeze, size_set_by_layer, with_single_picture_input
from converter.masks.keras_models import as_model_errors, one_line
from converter.masks.loading import load_model
from converter.masks.output_range import PROBABILITIES, no_scores, range_of_scores, to_probabilities
from converter.masks.preprocessing import PIXEL_RANGES, PixelRange
from converter.tflite_conversion import run_converter
from edge_agent.errors import ConfigError, ModelError
from edge_agent.vision.tflite import open_interpreter
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from converter.masks.loaded_model import LoadedModel
    from converter.masks.output_range import Range
    from converter.masks.outputs import SingleOutput
    from converter.masks.overrides import ModelOverrides
    from converter.masks.preprocessing import Colours
    from edge_agent.vision.card import Resampling

_PICTURE_RANK, _PIXELS_RANK = 4, 3
_OUTPUT_RANK = 2  # batch, labels
_CHANNELS = (1, 3)

# Plausible factors at the start of a graph: from 255 steps to about -1..1 (1/255 to 1/28, given ImageNet's standard
# deviations), or from 0..1 or -1..1 to a standard deviation of about 1 (1/0.22, 1/0.5).
_FACTORS_OF_BYTES = (1 / 300, 1 / 20)
_FACTORS_OF_FRACTIONS = (1.5, 8.0)
# An unscaled subtraction of more than this is a mean colour in 0..255.
_MIN_MEAN_OF_BYTES = 2.0
# Each copy has its own weights: 90 MB for Xception and ResNet50, 530 MB for VGG16.
_MAX_COPIES, _MAX_BYTES_OF_COPIES = 4, 400_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A classifier whose preprocessing and labels are still undecided.

    `probabilities` takes (1, height, width, channels), float32, and gives (outputs,), one probability per output; a
    single output is the probability of the second label, or one of `single_output`, the likeliest first;
    `single_output_from` names where the file states that. `pixels` is
    the range that the file states or a layer implies, `means` and `deviations` are stated per channel, in that range;
    `pixels_from` names where.
    `colours` and `resampling` come from a run.json; `usual_resampling` is the framework's default for downscaling.
    `scores` is the range of the file's outputs, scaled to 0..1 in `probabilities`; None if they are logits.
    `copies` is the number of threads that can call `probabilities` at once.
    `reference` gives the same as `probabilities` by running the file itself; None if that is what `probabilities` does.
    `graph` is the frozen TensorFlow function to convert; None for a TFLite file.
    """

    path: Path
    name: str
    kind: str
    height_px: int
    width_px: int
    channels: int
    outputs: int
    probabilities: Callable[[NDArray[np.float32]], NDArray[np.float64]]
    scores: Range | None = PROBABILITIES
    copies: int = 1
    reference: Callable[[NDArray[np.float32]], NDArray[np.float64]] | None = None
    graph: Any = None
    single_output: tuple[SingleOutput, ...] = ("probability",)
    single_output_from: str = ""
    output_names: tuple[str, ...] = ()
    pixels: PixelRange | None = None
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    pixels_from: str = ""
    colours: Colours | None = None
    resampling: Resampling | None = None
    usual_resampling: Resampling = "linear"
    margin_fraction: float = 0.0
    training_data: tuple[str, ...] = ()


def open_network(path: Path, overrides: ModelOverrides) -> Network:
    """Load a float classifier of any kind.

    Raises:
        ConfigError: its input size is open and not stated.
        ModelError: it cannot be loaded, is no image classifier, or its pixel range is unclear.
    """
    loaded = load_model(path, size_px=overrides.size_px)
    with quiet_tensorflow(), as_model_errors(loaded.path):
        function = _single_picture_function(loaded, overrides.size_px)
    with quiet_tensorflow():
        import tensorflow as tf

        if not function.outputs[0].dtype.is_floating:
            raise no_scores(path, f"the number of a label ({function.outputs[0].dtype.name})")
        outputs = _count_outputs(function, loaded.path)
        scores = range_of_scores(
            output_limits(function),
            lambda picture: np.asarray(function(tf.constant(picture))[0]),
            function.inputs[0].shape,
            path=path,
        )
        _, height, width, channels = (int(side) for side in function.inputs[0].shape)
        graph = _with_probabilities(function, scores, outputs)
        probabilities, copies = _as_function(graph, str(path))
        single_output: tuple[SingleOutput, ...] = ("probability",)
        if outputs == 1 and scores is None:
            single_output = meanings_of_single_output(probabilities, (1, height, width, channels))
            # Sorting by a truth value is stable.
            single_output = tuple(sorted(single_output, key=lambda meaning: meaning != loaded.single_output))
    run_file = loaded.run_file
    reference = None if run_file is None else lambda values: to_probabilities(run_file(values), scores)
    pixels, pixels_from = _pixel_range(loaded, function, overrides)
    margin = overrides.margin_fraction if overrides.margin_fraction is not None else loaded.margin_fraction
    return Network(
        path=loaded.path,
        name=loaded.name,
        kind=loaded.kind,
        height_px=height,
        width_px=width,
        channels=channels,
        outputs=outputs,
        probabilities=probabilities,
        scores=scores,
        copies=copies,
        reference=reference,
        graph=graph,
        single_output=single_output,
        single_output_from="its loss" if loaded.single_output else "",
        output_names=loaded.output_names,
        pixels=pixels,
        pixels_from=pixels_from,
        colours=loaded.colours,
        resampling=loaded.resampling,
        usual_resampling=loaded.usual_resampling,
        margin_fraction=margin or 0.0,
        training_data=loaded.training_data,
    )


def _as_function(graph: Any, name: str) -> tuple[Callable[[NDArray[np.float32]], NDArray[np.float64]], int]:
    """The graph as a function of arrays, and how many threads can call it at once.

    In LiteRT if it can run the graph, which is four times as fast.
    """
    import tensorflow as tf

    try:
        content = run_converter(tf.lite.TFLiteConverter.from_concrete_functions([graph]), "float32", name=name)
        copies = min(len(os.sched_getaffinity(0)), _MAX_COPIES, max(1, _MAX_BYTES_OF_COPIES // len(content)))
        interpreter = open_interpreter(content, name=name, copies=copies)
    except ModelError:
        return lambda values: np.asarray(graph(tf.constant(values))[0], np.float64).reshape(-1), 1
    return lambda values: interpreter.run(values)[0].astype(np.float64).reshape(-1), copies


def _single_picture_function(loaded: LoadedModel, size_px: int | None) -> Any:
    """The model as a frozen float function of one picture, channels last."""
    shape = loaded.shape
    match len(shape):
        case rank if rank == _PICTURE_RANK:
            channels_first = shape[1] in _CHANNELS and shape[3] not in _CHANNELS
            height, width, channels = (
                (shape[2], shape[3], shape[1]) if channels_first else (shape[1], shape[2], shape[3])
            )
            if channels not in _CHANNELS:
                raise ModelError(
                    f"{loaded.path}: its input {shape} has {channels} channels; a mask classifier takes 3 (colour) or "
                    "1 (grey)"
                )
            height, width = _sides(loaded, height, width, size_px)
            input_shape = (shape[0] or 1, *((channels, height, width) if channels_first else (height, width, channels)))
            return with_single_picture_input(
                freeze(loaded.call, input_shape, loaded.dtype), (1, height, width, channels)
            )
        case rank if rank == _PIXELS_RANK and shape[-1] in _CHANNELS:
            return _from_pixel_rows(loaded, size_px)
        case _:
            raise ModelError(
                f"{loaded.path}: its input has shape {shape}, a mask classifier's has (batch, height, width, 3); "
                "this is not a classifier of pictures"
            )


def _from_pixel_rows(loaded: LoadedModel, size_px: int | None) -> Any:
    """A model without batch, (height, width, channels), or one of rows of pixels, (batch, pixels, channels)."""
    first, second, channels = loaded.shape
    height, width = _sides(loaded, None if first in {None, 1} else first, None if second is None else second, size_px)
    failures = []
    channels = int(channels or 0)
    input_shape = (1, height, width, channels)
    for shape in ((height, width, channels), (1, height * width, channels)):
        if any(fixed not in {None, side} for fixed, side in zip(loaded.shape, shape, strict=True)):
            continue
        try:
            return with_single_picture_input(freeze(_reshaped(loaded, shape), input_shape, "float32"), input_shape)
        # TensorFlow raises a dozen classes for mismatched shapes.
        except Exception as error:  # noqa: BLE001
            failures.append(one_line(error))
    raise ModelError(
        f"{loaded.path}: its input has shape {loaded.shape}, and no picture of {width}x{height} fits it; state another "
        f"--size, or export the model with an input of (1, height, width, {channels}) ({'; '.join(failures[:1])})"
    )


def _reshaped(loaded: LoadedModel, shape: tuple[int, ...]) -> Callable[[Any], Any]:
    import tensorflow as tf

    inner = freeze(loaded.call, shape, loaded.dtype)
    return lambda pixels: inner(tf.cast(tf.reshape(pixels, shape), loaded.dtype))[0]


def _sides(loaded: LoadedModel, height: int | None, width: int | None, size_px: int | None) -> tuple[int, int]:
    """Height and width: of the input, as stated, or of the layer that makes a picture of an open input."""
    if height and width:
        return height, width
    if size_px:
        return size_px, size_px
    with_open_sides = freeze(loaded.call, loaded.shape, loaded.dtype)
    found = size_set_by_layer(with_open_sides)
    if all(found):
        return found
    raise ConfigError(
        f"{loaded.path}: leaves the size of its input open, {loaded.shape}; state the one that it was trained at, as "
        "--size 224"
    )


def _count_outputs(function: Any, path: Path) -> int:
    shape = tuple(function.outputs[0].shape)
    # Without the batch: one score per label, or a single one.
    if len(shape) < _OUTPUT_RANK and None not in shape:
        return int(np.prod(shape))
    # A convolution in place of a dense layer leaves sides of 1: (1, 1, 1, labels), or (1, labels, 1, 1) of PyTorch.
    sides = [side for side in shape[1:] if side != 1]
    if len(shape) < _OUTPUT_RANK or len(sides) > 1 or not all(sides):
        raise ModelError(
            f"{path}: its output has shape {shape}, a mask classifier's has (batch, labels); end the model with a "
            "pooling and a dense layer"
        )
    return int(sides[0]) if sides else 1


def _with_probabilities(function: Any, scores: Range | None, outputs: int) -> Any:
    """The frozen function with one row of float32 probabilities as output; itself if it gives them already."""
    import tensorflow as tf

    low, high = scores or PROBABILITIES
    needs_softmax, needs_scaling = scores is None and outputs > 1, (low, high) != PROBABILITIES
    output = function.outputs[0]
    is_plain = tuple(output.shape) == (1, outputs) and output.dtype == tf.float32
    if is_plain and not needs_softmax and not needs_scaling:
        return function

    def call(pixels: Any) -> Any:
        (raw,) = function(pixels)
        raw = tf.cast(tf.reshape(raw, [1, outputs]), tf.float32)
        if needs_softmax:
            return tf.nn.softmax(raw)
        return (raw - low) * (1 / (high - low)) if needs_scaling else raw

    return freeze(call, tuple(function.inputs[0].shape), "float32")


def _pixel_range(loaded: LoadedModel, function: Any, overrides: ModelOverrides) -> tuple[PixelRange | None, str]:
    """The pixel range that the file states or a layer implies, and which of the two; None if unknown."""
    if loaded.pixels is not None:
        return loaded.pixels, "found in the files of the model"
    if "int" in loaded.dtype:
        return "0..255", f"found in the file: it takes {loaded.dtype}"
    factor, offset = input_scaling(function)
    if factor == 1.0 and offset == 0.0:
        return None, ""
    size = abs(factor)
    scaling = f"pixel * {factor:g}" + (f" {'-' if offset < 0 else '+'} {abs(offset):g}" if offset else "")
    found = f"found in the file: its first layer is a scaling ({scaling})"
    if _FACTORS_OF_BYTES[0] <= size <= _FACTORS_OF_BYTES[1] or (size == 1.0 and abs(offset) > _MIN_MEAN_OF_BYTES):
        return "0..255", found
    if _FACTORS_OF_FRACTIONS[0] <= size <= _FACTORS_OF_FRACTIONS[1]:
        # Pixels are centred around 0: those of 0..1 by Rescaling(2, -1), those of -1..1 by an adapted Normalization.
        return "0..1" if abs(factor / 2 + offset) < abs(offset) else "-1..1", found
    if overrides.pixels is None:
        raise ModelError(
            f"{loaded.path}: begins with a scaling of its own ({scaling}) that fits no usual range; "
            f"state which pixels it was trained on: --pixels={' or '.join(PIXEL_RANGES)}"
        )
    return None, ""
