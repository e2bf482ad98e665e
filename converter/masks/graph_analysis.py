"""Graph analysis: infers preprocessing and outputs from a frozen TensorFlow graph.

A scaling at the start reveals the pixel range, the last operations the range of the outputs. Layers are
not inspected: the same scaling is a Rescaling layer in one file, two operations of Keras 2 in another, and nameless in
a SavedModel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from converter.masks.output_range import FOLLOWED, UNLIMITED, range_behind, range_of_constant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from converter.masks.output_range import Range
    from converter.masks.outputs import SingleOutput

# Operations with trained weights: no longer a fixed scaling.
_FIRST_LAYERS = {"Conv2D", "DepthwiseConv2dNative", "MatMul", "FusedBatchNormV3"}
# The start of a recurrent layer, whose weights are used in a loop.
_LOOPS = {"TensorListFromTensor", "Enter", "While", "StatelessWhile"}

# float32 has seven digits; subtracting two values costs one or two.
_DIGITS = 5
# Outputs of 0..1 on a few pictures show a probability if they differ by at least this.
_MIN_SPREAD = 0.25
# Smaller fractions of a pixel step are rounding noise around 0.
_MIN_OFFSET = 1e-4


def output_limits(function: Any) -> Range:
    """The range in which the last operations keep the outputs."""
    return _limits_of(function.outputs[0])


def _limits_of(tensor: Any) -> Range:
    import tensorflow as tf

    constant = tf.get_static_value(tensor)
    if constant is not None:
        return range_of_constant(constant)
    operation = tensor.op.type.upper()
    if operation not in FOLLOWED:
        return UNLIMITED
    # The last input of a concatenation is its axis.
    inputs = tensor.op.inputs[:-1] if operation == "CONCATV2" else tensor.op.inputs
    return range_behind(
        operation, [_limits_of(one) for one in inputs], outputs=tensor.shape[-1] if tensor.shape.rank else None
    )


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
