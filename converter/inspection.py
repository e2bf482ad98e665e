"""Inspection: describes the contents of a .tflite file, its cost per inference, and its Edge TPU support.

Parses the flatbuffer with the schema shipped with LiteRT; no interpreter is created.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EDGE_TPU_OPERATORS = frozenset(
    {
        "ADD",
        "AVERAGE_POOL_2D",
        "CONCATENATION",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "EXPAND_DIMS",
        "FULLY_CONNECTED",
        "L2_NORMALIZATION",
        "LOGISTIC",
        "LSTM",
        "MAXIMUM",
        "MAX_POOL_2D",
        "MEAN",
        "MINIMUM",
        "MUL",
        "PACK",
        "PAD",
        "PRELU",
        "QUANTIZE",
        "REDUCE_MAX",
        "REDUCE_MIN",
        "RELU",
        "RELU6",
        "RELU_N1_TO_1",
        "RESHAPE",
        "RESIZE_BILINEAR",
        "RESIZE_NEAREST_NEIGHBOR",
        "RSQRT",
        "SLICE",
        "SOFTMAX",
        "SPACE_TO_DEPTH",
        "SPLIT",
        "SQUARED_DIFFERENCE",
        "SQUEEZE",
        "STRIDED_SLICE",
        "SUB",
        "SUM",
        "TANH",
        "TRANSPOSE",
        "TRANSPOSE_CONV",
    }
)
"""https://coral.ai/docs/edgetpu/models-intro/#supported-operations; only the compiler checks the limits of each."""

EDGE_TPU_MEMORY_BYTES = 8 * 2**20
"""Weights beyond this are transferred for every inference; see "parameter data caching" on the same page."""

_WHOLE_NUMBERS = ("INT8", "UINT8", "INT16", "INT32", "INT64")


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """An input or output. `scales` is empty if it is not quantized."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OperatorFacts:
    """One operator, in order of execution. `obstacle` is the reason why an Edge TPU would not run it."""

    name: str
    output_shape: tuple[int, ...]
    weights: str
    parameter_bytes: int
    multiply_adds: int
    obstacle: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """Properties of a file that need no inference."""

    size_bytes: int
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    operators: tuple[OperatorFacts, ...]

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one inference, in convolutions and dense layers, which are nearly all of it."""
        return sum(operator.multiply_adds for operator in self.operators)

    @property
    def parameter_bytes(self) -> int:
        """Size of weights and biases."""
        return sum(operator.parameter_bytes for operator in self.operators)

    @property
    def on_edge_tpu(self) -> int:
        """Number of operators that an Edge TPU would run: the first sequence of them without an obstacle.

        Its compiler maps one part of the graph; everything after the first unsupported operator runs on the CPU.
        """
        first = next((index for index, operator in enumerate(self.operators) if not operator.obstacle), None)
        if first is None:
            return 0
        rest = self.operators[first:]
        return next((index for index, operator in enumerate(rest) if operator.obstacle), len(rest))


def inspect_model(content: bytes, *, name: str) -> Inspection:
    """Parse the bytes of a .tflite file; `name` is used in errors.

    Raises:
        ModelError: not a TFLite model, or damaged.
    """
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != b"TFL3":
        raise ModelError(f"{name}: not a TFLite model; convert a Keras model first with 'edge-convert convert'")
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        graph = model.subgraphs[0]
        names = names_of(schema.BuiltinOperator)
        dtypes = names_of(schema.TensorType)
        tensors = [_tensor(tensor, dtypes) for tensor in graph.tensors]
        sizes = [_constant_bytes(model, tensor) for tensor in graph.tensors]
        codes = [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
        operators = [_operator(codes[operator.opcodeIndex], operator, tensors, sizes) for operator in graph.operators]
        return Inspection(
            size_bytes=len(content),
            inputs=tuple(tensors[index] for index in graph.inputs),
            outputs=tuple(tensors[index] for index in graph.outputs),
            operators=tuple(operators),
        )
    # Offsets of a damaged flatbuffer are arbitrary, so any exception may occur.
    except Exception as error:
        raise ModelError(f"{name}: damaged: {error!r}; copy or convert the model again") from error


def names_of(enumeration: Any) -> Mapping[int, str]:
    """The names of the values of an enumeration of TFLite's schema."""
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _tensor(tensor: Any, dtypes: Mapping[int, str]) -> TensorFacts:
    quantization = tensor.quantization
    scales = quantization.scale if quantization is not None and quantization.scale is not None else ()
    zero_points = quantization.zeroPoint if quantization is not None and quantization.zeroPoint is not None else ()
    shape = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
    return TensorFacts(
        name=tensor.name.decode(),
        shape=tuple(int(side) for side in (shape if shape is not None else ())),
        dtype=dtypes[tensor.type],
        scales=tuple(float(scale) for scale in scales),
        zero_points=tuple(int(point) for point in zero_points),
    )


def _constant_bytes(model: Any, tensor: Any) -> int:
    data = model.buffers[tensor.buffer].data
    return 0 if data is None else len(data)


def _operator(name: str, operator: Any, tensors: Sequence[TensorFacts], sizes: Sequence[int]) -> OperatorFacts:
    inputs = [int(index) for index in operator.inputs if index >= 0]
    outputs = [int(index) for index in operator.outputs]
    constants = [index for index in inputs if sizes[index]]
    weights = tensors[max(constants, key=lambda index: sizes[index])] if constants else None
    tensors_used = [tensors[index] for index in (*inputs, *outputs)]
    return OperatorFacts(
        name=name,
        output_shape=tensors[outputs[0]].shape,
        weights=_described(weights) if weights else "",
        parameter_bytes=sum(sizes[index] for index in constants),
        multiply_adds=_multiply_adds(name, [tensors[index] for index in inputs], tensors[outputs[0]]),
        obstacle=_obstacle(name, tensors_used),
    )


def _described(weights: TensorFacts) -> str:
    match len(weights.scales):
        case 0:
            granularity = ""
        case 1:
            granularity = " per tensor"
        case _:
            granularity = " per channel"
    return f"{weights.dtype.lower()}{granularity}"


def _multiply_adds(name: str, inputs: Sequence[TensorFacts], output: TensorFacts) -> int:
    """Of one operator; filters are (out, height, width, in), depthwise (1, height, width, out), dense (out, in)."""
    match name:
        case "CONV_2D":
            return _values(output) * math.prod(inputs[1].shape[1:])
        case "DEPTHWISE_CONV_2D":
            return _values(output) * math.prod(inputs[1].shape[1:3])
        case "TRANSPOSE_CONV":
            return math.prod(inputs[2].shape) * math.prod(inputs[1].shape[:3])
        case "FULLY_CONNECTED":
            return _values(output) * inputs[1].shape[1]
        case _:
            return 0


def _values(tensor: TensorFacts) -> int:
    """Number of values of a tensor for one picture; an open batch, -1, counts as one."""
    return abs(math.prod(tensor.shape))


def _obstacle(name: str, tensors: Sequence[TensorFacts]) -> str:
    """Why an Edge TPU would not run an operator, according to its documentation; empty if it would."""
    if name not in EDGE_TPU_OPERATORS:
        return "not one of its operators"
    if floats := sorted({tensor.dtype.lower() for tensor in tensors if tensor.dtype not in _WHOLE_NUMBERS}):
        return f"{' and '.join(floats)} tensors; it takes int8 only"
    if any(np.less(tensor.shape, 0).any() for tensor in tensors):
        return "a shape that is not fixed"
    return ""
