"""Graph analysis: infers preprocessing and outputs from a frozen TensorFlow graph.

A scaling at the start reveals the pixel range, the last operation whether the outputs are probabilities. Layers are
not inspected: the same scaling is a Rescaling layer in one file, two operations of Keras 2 in another, and nameless in
a SavedModel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from converter.masks.outputs import SingleOutput

OutputKind: TypeAlias = Literal["probabilities", "sigmoid", "logits"]

_PASSES_BACK = {"Identity", "Cast", "Reshape", "Squeeze", "ClipByValue"}
# One of their two inputs may be a constant limit.
_LIMITS = {"Minimum", "Maximum"}
# Operations with trained weights: no longer a fixed scaling.
_FIRST_LAYERS = {"Conv2D", "DepthwiseConv2dNative", "MatMul", "FusedBatchNormV3"}
# The start of a recurrent layer, whose weights are used in a loop.
_LOOPS = {"TensorListFromTensor", "Enter", "While", "StatelessWhile"}

# float32 has seven digits; subtracting two values costs one or two.
_DIGITS = 5
# Probabilities sum to 1 up to the steps of int8, 1/256 each.
_SUM_TOLERANCE = 0.02
# Outputs of 0..1 on a few pictures show a probability if they differ by at least this.
_MIN_SPREAD = 0.25
# Smaller fractions of a pixel step are rounding noise around 0.
_MIN_OFFSET = 1e-4


def output_kind_of(function: Any) -> OutputKind:
    """The kind of the outputs, by the last operation."""
    import tensorflow as tf

    operation = function.outputs[0].op
    while operation.type in _PASSES_BACK | _LIMITS:
        inputs = [tensor.op for tensor in operation.inputs]
        if operation.type in _LIMITS:
            inputs = [origin for origin in inputs if origin.type != "Const"]
            if len(inputs) != 1:
                break
        operation = inputs[0]
    match operation.type:
        case "Softmax":
            return "probabilities"
        case "Sigmoid":
            return "sigmoid"
        case _:
            (pixels,) = function.inputs
            return kind_of_values(lambda picture: np.asarray(function(tf.constant(picture))[0]), pixels.shape)


def kind_of_values(value_of: Callable[[NDArray[np.float32]], NDArray[Any]], shape: Sequence[int]) -> OutputKind:
    """The kind of the outputs, by their values; `shape` is that of the input.

    Several are probabilities if they always sum to 1: those of a softmax made of separate operations, a sigmoid beside
    its complement, the mean of two softmaxes.
    """
    random = np.random.default_rng(1)
    for largest in (1, 255):
        values = value_of(random.uniform(0, largest, shape).astype(np.float32)).reshape(-1)
        if len(values) == 1 or values.min() < 0 or not np.isclose(values.sum(), 1, atol=_SUM_TOLERANCE):
            return "logits"
    return "probabilities"


def meanings_of_single_output(
    value_of: Callable[[NDArray[np.float32]], NDArray[np.float64]], shape: Sequence[int]
) -> tuple[SingleOutput, ...]:
    """The possible meanings of a single output, the likeliest first; `shape` is that of the input.

    It is likelier a probability if it stays in 0..1, and varies, on noise and constant pictures of the usual pixel
    ranges.
    """
    random = np.random.default_rng(1)
    values = []
    for low, high in ((0, 1), (-1, 1), (0, 255)):
        pictures = [random.uniform(low, high, shape) for _ in range(2)]
        # One colour each: the corners of the colour cube distinguish more than greys do.
        corners = np.array(np.meshgrid(*[[low, high]] * shape[-1])).reshape(shape[-1], -1).T
        pictures += [np.broadcast_to(corner, shape) for corner in corners]
        values += [value_of(picture.astype(np.float32)).item() for picture in pictures]
    is_within_zero_one = min(values) >= 0 and max(values) <= 1 and max(values) - min(values) >= _MIN_SPREAD
    return ("probability", "logit") if is_within_zero_one else ("logit", "probability")


def input_scaling(function: Any) -> tuple[float, float]:
    """The linear scaling of a pixel before the first layer, as factor and offset; 1 and 0 if there is none.

    Determined by running the graph up to its first layer on constant pictures, and rounded.
    """
    import tensorflow as tf

    (pixels,) = function.inputs
    scaled = _input_of_first_layer(pixels)
    if scaled is None or scaled is pixels:
        return 1.0, 0.0
    beginning = function.prune(pixels, scaled)
    at_zero, at_one, at_two = (_middle(beginning(tf.fill(pixels.shape, value))) for value in (0.0, 1.0, 2.0))
    factor, offset = at_one - at_zero, at_zero
    # 0 if every picture is standardised by itself, whatever its range.
    if factor == 0 or not np.isclose(at_two - at_one, factor, rtol=1e-3, atol=1e-6):
        return 1.0, 0.0
    return _rounded(factor), _rounded(offset) if abs(offset) > _MIN_OFFSET * abs(factor) else 0.0


def _input_of_first_layer(pixels: Any) -> Any:
    """The input tensor of the first layer; None if no layer is reached."""
    seen, waiting = set(), [pixels]
    while waiting:
        tensor = waiting.pop(0)
        for operation in tensor.consumers():
            if operation.type in _FIRST_LAYERS | _LOOPS:
                return operation.inputs[0]
            if operation.name not in seen:
                seen.add(operation.name)
                waiting += operation.outputs
    return None


def _rounded(value: float) -> float:
    """Round off the noise of float32."""
    return float(f"{value:.{_DIGITS}g}")


def _middle(values: Any) -> float:
    """One value away from the edges, which may be padded."""
    array = np.asarray(values, np.float64)
    return float(array[tuple(side // 2 for side in array.shape)])
