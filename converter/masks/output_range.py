"""Output range: between which values do the last operations of a network keep its outputs?

Scores of 0..1 are probabilities, and those of 0..100 or -1..1 only need scaling; without limits they are logits. The
operations are those of TensorFlow and TFLite, by their names in upper case.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from edge_agent.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Range: TypeAlias = tuple[float, float]
"""Smallest and largest value."""
PROBABILITIES: Range = (0.0, 1.0)
SYMMETRIC: Range = (-1.0, 1.0)
UNLIMITED: Range = (-math.inf, math.inf)
DECIDED: Range = (math.nan, math.nan)
"""Of values that only name a label, as an argmax or a threshold gives: they say nothing about its probability."""

_RELU6: Range = (0.0, 6.0)
_MAX_DECIDED_WIDTH = 2.0
"""Of a range that rounding leaves two or three values of; percentages are still scores when rounded."""


def _clipped(values: Range, limits: Range) -> Range:
    """The range of clipped values; limits just inside that of an activation, 1e-7 and so on, are no range."""
    if np.isfinite(values).all():
        return values
    return max(values[0], limits[0]), min(values[1], limits[1])


def _clipped_by_constant(inputs: Sequence[Range], *, is_upper: bool) -> Range:
    # The constant may be either of the two.
    limit, values = sorted(inputs, key=lambda limits: limits[1] - limits[0])
    return _clipped(values, (-math.inf, limit[1]) if is_upper else (limit[0], math.inf))


def _sum(inputs: Sequence[Range]) -> Range:
    return sum(low for low, _ in inputs), sum(high for _, high in inputs)


def _product(inputs: Sequence[Range]) -> Range:
    products = [one * other for one, other in itertools.product(*inputs)]
    return (min(products), max(products)) if np.isfinite(inputs).all() else UNLIMITED


def _quotient(inputs: Sequence[Range]) -> Range:
    values, (low, high) = inputs
    return UNLIMITED if low <= 0 <= high else _product([values, (1 / high, 1 / low)])


def _rounded(inputs: Sequence[Range]) -> Range:
    ((low, high),) = inputs
    return DECIDED if high - low <= _MAX_DECIDED_WIDTH else UNLIMITED


_PASSING_ON = frozenset(
    {
        *("IDENTITY", "CAST", "RESHAPE", "SQUEEZE", "EXPANDDIMS", "EXPAND_DIMS", "TRANSPOSE"),
        *("SLICE", "STRIDEDSLICE", "STRIDED_SLICE", "GATHERV2", "GATHER", "MEAN", "QUANTIZE", "DEQUANTIZE"),
    }
)
"""Operations of which each value is one of their first input, or lies between some of them."""
_RULES: dict[str, Callable[[Sequence[Range]], Range]] = {
    **dict.fromkeys(("SOFTMAX", "SIGMOID", "LOGISTIC"), lambda _: PROBABILITIES),
    **dict.fromkeys(("TANH", "SOFTSIGN", "ERF"), lambda _: SYMMETRIC),
    "RELU": lambda inputs: _clipped(inputs[0], (0.0, math.inf)),
    "RELU6": lambda inputs: _clipped(inputs[0], _RELU6),
    "RELU_0_TO_1": lambda inputs: _clipped(inputs[0], PROBABILITIES),
    "RELU_N1_TO_1": lambda inputs: _clipped(inputs[0], SYMMETRIC),
    "CLIPBYVALUE": lambda inputs: _clipped(inputs[0], (inputs[1][0], inputs[2][1])),
    "MINIMUM": lambda inputs: _clipped_by_constant(inputs, is_upper=True),
    "MAXIMUM": lambda inputs: _clipped_by_constant(inputs, is_upper=False),
    **dict.fromkeys(("ADD", "ADDV2", "BIASADD", "ADDN", "ADD_N"), _sum),
    "SUB": lambda inputs: (inputs[0][0] - inputs[1][1], inputs[0][1] - inputs[1][0]),
    "NEG": lambda inputs: (-inputs[0][1], -inputs[0][0]),
    "MUL": _product,
    **dict.fromkeys(("REALDIV", "DIV"), _quotient),
    **dict.fromkeys(
        ("CONCATV2", "CONCATENATION", "PACK"),
        lambda inputs: (min(low for low, _ in inputs), max(high for _, high in inputs)),
    ),
    # Either of two inputs, by a condition.
    **dict.fromkeys(
        ("SELECT", "SELECTV2", "SELECT_V2"),
        lambda inputs: (min(low for low, _ in inputs[1:]), max(high for _, high in inputs[1:])),
    ),
    **dict.fromkeys(("ROUND", "RINT", "FLOOR", "CEIL"), _rounded),
    **dict.fromkeys(
        (
            *("ARGMAX", "ARG_MAX", "ARGMIN", "ARG_MIN", "ONEHOT", "ONE_HOT", "SIGN", "EQUAL"),
            *("GREATER", "GREATEREQUAL", "GREATER_EQUAL", "LESS", "LESSEQUAL", "LESS_EQUAL"),
        ),
        lambda _: DECIDED,
    ),
    **dict.fromkeys(_PASSING_ON, lambda inputs: inputs[0]),
}
FOLLOWED = frozenset(_RULES)
"""The operations of which `range_behind` knows the range."""

# float32 has seven digits, and constants such as 1/6 lose one.
_DIGITS = 5
# Probabilities sum to 1 up to the steps of int8, 1/256 each.
_SUM_TOLERANCE = 0.02


def range_of_constant(values: NDArray[np.generic]) -> Range:
    """The range of a constant; unlimited if it treats outputs differently."""
    first = float(values.reshape(-1)[0]) if values.size else math.nan
    return (first, first) if (values == first).all() else UNLIMITED


def range_behind(operation: str, inputs: Sequence[Range], *, outputs: int | None) -> Range:
    """The range behind an operation of `FOLLOWED`, by those of its inputs; `outputs` is its last dimension."""
    if DECIDED in inputs and operation not in _PASSING_ON:
        # Still two values when a constant is added; not when scores are.
        others = [limits for limits in inputs if limits is not DECIDED]
        if all(low == high for low, high in others):
            return DECIDED
        inputs = [UNLIMITED if limits is DECIDED else limits for limits in inputs]
    return (1.0, 1.0) if operation == "SOFTMAX" and outputs == 1 else _RULES[operation](inputs)


def range_of_scores(
    limits: Range, value_of: Callable[[NDArray[np.float32]], NDArray[np.generic]], shape: Sequence[int], *, path: Path
) -> Range | None:
    """The range of outputs that a linear scaling turns into probabilities; None for logits.

    `limits` are those of the last operations. If these are unlimited, the values decide: several outputs that never are
    negative and always have the same sum, as of a softmax made of separate operations. `shape` is that of the input.

    Raises:
        ModelError: the limits leave one value, or the outputs are no scores.
    """
    if limits is DECIDED:
        raise no_scores(path, "a decision")
    low, high = (float(f"{limit:.{_DIGITS}g}") for limit in limits)
    if low == high:
        raise ModelError(f"{path}: a softmax over one output is always 1; train it with a sigmoid, or with two outputs")
    # Symmetric limits beyond 1 are those of logits, and ReLU6 limits features.
    if (low == 0 and high not in {_RELU6[1], math.inf}) or (low, high) == SYMMETRIC:
        return low, high
    rows = np.array([np.asarray(value_of(picture), np.float64).reshape(-1) for picture in _pictures(shape)])
    sums = rows.sum(axis=1)
    is_constant = np.allclose(sums, sums.mean(), rtol=_SUM_TOLERANCE, atol=0)
    if rows.shape[1] == 1 or rows.min() < 0 or not is_constant or not rows.any():
        return None
    total = float(sums.mean())
    if math.isclose(total, 1, rel_tol=_SUM_TOLERANCE):
        return PROBABILITIES
    # Equal sums of outputs that do not depend on the picture say nothing.
    return (0.0, total) if np.ptp(rows, axis=0).max() > _SUM_TOLERANCE * total else None


def no_scores(path: Path, given: str) -> ModelError:
    """The error for a model that decides itself; `given` is what it gives."""
    return ModelError(
        f"{path}: gives {given}, not one score per label; export the model without its last operation, an argmax, a "
        "threshold or a rounding"
    )


def _pictures(shape: Sequence[int]) -> list[NDArray[np.float32]]:
    """Noise, and the first half of a picture brighter than the second, in two pixel ranges."""
    random = np.random.default_rng(1)
    pictures = random.uniform(size=shape), np.linspace(1, 0, int(np.prod(shape))).reshape(shape).round()
    return [(picture * largest).astype(np.float32) for largest in (1, 255) for picture in pictures]


def to_probabilities(values: NDArray[np.float64], scores: Range | None) -> NDArray[np.float64]:
    """Raw outputs, (outputs,), as probabilities: scaled from their range or, for logits of several, by a softmax."""
    if scores is not None:
        low, high = scores
        return np.asarray((values - low) / (high - low))
    if len(values) == 1:
        return values
    shares = np.exp(values - values.max())
    return np.asarray(shares / shares.sum())
