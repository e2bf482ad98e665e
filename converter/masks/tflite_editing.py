"""TFLite editing: adds pre- and postprocessing operators to a .tflite file without its source model.

A fixed 1x1 convolution goes in front (conversion to grey, means and deviations), and operators that compute label
probabilities behind. Float models stay float, integer models integer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from converter.inspection import names_of
from converter.masks.output_range import FOLLOWED, PROBABILITIES, UNLIMITED, range_behind, range_of_constant
from converter.masks.outputs import label_matrix
from edge_agent.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from converter.masks.output_range import Range
    from converter.masks.outputs import Output, SingleOutput
    from converter.masks.preprocessing import Preprocessing

PIXELS_SCALE = 1.0
"""Bytes are passed unscaled."""
PROBABILITY_SCALE, PROBABILITY_ZERO_POINT = 1 / 256, -128
"""Required output quantization of int8 softmax and logistic."""
MAX_WEIGHT = 127


def output_limits(content: bytes) -> Range:
    """The range in which the last operators keep the outputs."""
    editor = _Editor(content)
    return editor.limits_of(editor.graph.outputs[0])


def operators_of_tensorflow(content: bytes, *, name: str) -> list[str]:
    """Names of TensorFlow's own operators (SELECT_TF_OPS) in a model, which no device runtime has.

    Raises:
        ModelError: the model is damaged; `name` is its name in the message.
    """
    try:
        codes = _Editor(content).model.operatorCodes
        return sorted({code.customCode.decode() for code in codes if (code.customCode or b"").startswith(b"Flex")})
    # Offsets of a damaged flatbuffer are arbitrary, so any exception may occur.
    except Exception as error:
        raise ModelError(f"{name}: damaged or cut off: {error!r}; copy or download the model again") from error


def adapted_for_device(
    content: bytes,
    preprocessing: Preprocessing,
    outputs: Sequence[Output],
    number: int,
    *,
    scores: Range | None,
    single_output: SingleOutput = "probability",
) -> bytes:
    """Adapt a model to the device, which only resizes before it and expects one probability per label after it.

    `number` is its number of outputs, `scores` their range, None for logits, `single_output` the meaning of a single
    one. The content is returned unchanged if nothing is missing.

    Raises:
        ModelError: its tensors have types that cannot be extended.
    """
    editor = _Editor(content)
    matrix, bias = _output_layer(outputs, number)
    is_scaled = scores not in {None, PROBABILITIES}
    if preprocessing.fits_card and scores == PROBABILITIES and _is_identity(matrix) and number > 1:
        return content
    if not preprocessing.fits_card:
        editor.prepend_preprocessing(preprocessing)
    if number == 1 and single_output == "logit":
        editor.append_activation("LOGISTIC")
    elif number > 1 and scores is None:
        editor.append_activation("SOFTMAX")
    if number == 1 or is_scaled or not _is_identity(matrix):
        low, high = scores or PROBABILITIES
        matrix = matrix / np.float32(high - low)
        editor.append_dense(matrix, bias - np.float32(low) * matrix.sum(axis=0))
    return editor.bytes()


def _is_identity(matrix: NDArray[np.float32]) -> bool:
    return bool(np.array_equal(matrix, np.eye(matrix.shape[0], matrix.shape[1])))


def _output_layer(outputs: Sequence[Output], number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The matrix, (outputs, labels), and bias that turn output probabilities into label probabilities."""
    matrix = label_matrix(outputs)
    if number > 1:
        return matrix, np.zeros(matrix.shape[1], np.float32)
    # A single output is the probability of the second of two labels.
    return matrix[1:] - matrix[:1], matrix[0]


class _Editor:
    """A model as objects of TFLite's schema."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        self.graph = self.model.subgraphs[0]
        self._names = names_of(schema.BuiltinOperator)
        self._activations = names_of(schema.ActivationFunctionType)
        # They refer to tensors that are no longer inputs or outputs.
        self.model.signatureDefs = []

    def name_of(self, operator: Any) -> str:
        """The name of a built-in operator."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        return self._names[max(code.builtinCode, code.deprecatedBuiltinCode)]

    def limits_of(self, index: int) -> Range:
        """The range of a tensor, by the operators that lead to it."""
        tensor = self.graph.tensors[index]
        operator = next((operator for operator in self.graph.operators if index in operator.outputs), None)
        if operator is None:
            constant = self._constant_values(tensor)
            return UNLIMITED if constant is None else range_of_constant(constant)
        name = self.name_of(operator)
        limits = UNLIMITED
        if name in FOLLOWED:
            # An optional input that is left out has the index -1.
            inputs = [self.limits_of(one) for one in operator.inputs if one >= 0]
            limits = range_behind(name, inputs, outputs=int(tensor.shape[-1]) if len(tensor.shape) else None)
        fused = self._activations[getattr(operator.builtinOptions, "fusedActivationFunction", 0)]
        return range_behind(fused, [limits], outputs=None) if fused in FOLLOWED else limits

    def _constant_values(self, tensor: Any) -> NDArray[np.float64] | None:
        """The real values of a constant of floats or bytes; None for other tensors."""
        types = self._schema.TensorType
        kinds = {types.FLOAT32: np.float32, types.FLOAT16: np.float16, types.INT8: np.int8}
        data = self.model.buffers[tensor.buffer].data
        if data is None or tensor.type not in kinds:
            return None
        values = np.frombuffer(bytes(data), kinds[tensor.type]).astype(np.float64)
        if tensor.type != types.INT8:
            return values
        scale, zero_point = self._scale_of(tensor)
        return np.asarray((values - zero_point) * scale)

    def bytes(self) -> bytes:
        """The model as a flatbuffer."""
        import flatbuffers

        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def prepend_preprocessing(self, preprocessing: Preprocessing) -> None:
        """Make the model take RGB bytes, 0..255, which a 1x1 convolution converts to its original input."""
        kernel, bias = preprocessing.kernel()
        weights = kernel.transpose(3, 0, 1, 2)
        index = int(self.graph.inputs[0])
        input_tensor = self.graph.tensors[index]
        shape = [*input_tensor.shape[:3], 3]
        if input_tensor.type == self._schema.TensorType.FLOAT32:
            pixels = self._tensor("pixels", shape, input_tensor.type)
            self._convolve(pixels, weights, bias, index, version=1)
        else:
            scale, zero_point = self._scale_of(input_tensor)
            pixels = self._tensor("pixels", shape, self._schema.TensorType.UINT8, scale=PIXELS_SCALE, zero_point=0)
            signed = self._tensor(
                "pixels_int8", shape, self._schema.TensorType.INT8, scale=PIXELS_SCALE, zero_point=-128
            )
            result = index
            if input_tensor.type == self._schema.TensorType.UINT8:
                result = self._tensor(
                    "values_int8",
                    list(input_tensor.shape),
                    self._schema.TensorType.INT8,
                    scale=scale,
                    zero_point=zero_point - 128,
                )
                self._operator("QUANTIZE", [result], [index], version=2, first=True)
            self._convolve(signed, weights, bias, result, version=3)
            self._operator("QUANTIZE", [pixels], [signed], version=2, first=True)
        self.graph.inputs = [pixels]

    def append_activation(self, name: str) -> None:
        """Append a softmax or logistic to the output."""
        options = None
        if name == "SOFTMAX":
            options = self._schema.SoftmaxOptionsT()
            options.beta = 1.0
        index = self._signed_output()
        output_tensor = self.graph.tensors[index]
        is_float = output_tensor.type == self._schema.TensorType.FLOAT32
        result = self._probabilities("probabilities", list(output_tensor.shape), output_tensor.type)
        self._operator(name, [index], [result], version=1 if is_float else 2, options=options, kind="SoftmaxOptions")
        self.graph.outputs = [result]

    def append_dense(self, matrix: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        """Append a dense layer, (outputs, labels), to the output."""
        index = self._signed_output()
        output_tensor = self.graph.tensors[index]
        shape = [1, matrix.shape[1]]
        options = self._schema.FullyConnectedOptionsT()
        if output_tensor.type == self._schema.TensorType.FLOAT32:
            weights, offsets = self._constant("matrix", matrix.T), self._constant("offsets", bias)
            version = 1
        else:
            weights, offsets = self._quantized(matrix.T, bias, self._scale_of(output_tensor)[0], axis=None)
            version = 4
        result = self._probabilities("labels", shape, output_tensor.type)
        self._operator(
            "FULLY_CONNECTED",
            [index, weights, offsets],
            [result],
            version=version,
            options=options,
            kind="FullyConnectedOptions",
        )
        self.graph.outputs = [result]

    def _probabilities(self, name: str, shape: list[int], kind: int) -> int:
        if kind == self._schema.TensorType.FLOAT32:
            return self._tensor(name, shape, kind)
        return self._tensor(name, shape, kind, scale=PROBABILITY_SCALE, zero_point=PROBABILITY_ZERO_POINT)

    def _signed_output(self) -> int:
        """The output, converted from uint8 to int8 if needed: the kernels for uint8 are outdated."""
        index = int(self.graph.outputs[0])
        output_tensor = self.graph.tensors[index]
        if output_tensor.type != self._schema.TensorType.UINT8:
            return index
        scale, zero_point = self._scale_of(output_tensor)
        signed = self._tensor(
            "output_int8",
            list(output_tensor.shape),
            self._schema.TensorType.INT8,
            scale=scale,
            zero_point=zero_point - 128,
        )
        self._operator("QUANTIZE", [index], [signed], version=2)
        return signed

    def _convolve(
        self, input_tensor: int, weights: NDArray[np.float32], bias: NDArray[np.float32], result: int, *, version: int
    ) -> None:
        options = self._schema.Conv2DOptionsT()
        options.strideW = options.strideH = options.dilationWFactor = options.dilationHFactor = 1
        if version == 1:
            inputs = [input_tensor, self._constant("colours", weights), self._constant("offsets", bias)]
        else:
            inputs = [input_tensor, *self._quantized(weights, bias, PIXELS_SCALE, axis=0)]
        self._operator("CONV_2D", inputs, [result], version=version, options=options, kind="Conv2DOptions", first=True)

    def _quantized(
        self, weights: NDArray[np.float32], bias: NDArray[np.float32], input_scale: float, *, axis: int | None
    ) -> tuple[int, int]:
        """Quantize weights to int8, per channel or per tensor, and a bias to int32."""
        rest = tuple(range(1, weights.ndim))
        largest = np.abs(weights).max(axis=rest) if axis is not None else np.array([np.abs(weights).max()])
        scales = np.maximum(largest, 1e-9) / MAX_WEIGHT
        each = scales.reshape(-1, *(1,) * len(rest))
        steps = np.round(weights / each).astype(np.int8)
        offsets = np.round(bias / (input_scale * scales)).astype(np.int32)
        return (
            self._constant("weights_int8", steps, scales=scales),
            self._constant("offsets_int32", offsets, scales=input_scale * scales),
        )

    def _constant(self, name: str, values: NDArray[Any], *, scales: NDArray[Any] | None = None) -> int:
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        kinds = {"float32": "FLOAT32", "int8": "INT8", "int32": "INT32"}
        kind = getattr(self._schema.TensorType, kinds[values.dtype.name])
        index = self._tensor(name, list(values.shape), kind, buffer=len(self.model.buffers) - 1)
        if scales is not None:
            self._set_scales(index, scales, np.zeros(len(scales), np.int64))
        return index

    def _tensor(
        self, name: str, shape: list[int], kind: int, *, scale: float = 0.0, zero_point: int = 0, buffer: int = 0
    ) -> int:
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = (
            name.encode(),
            [int(side) for side in shape],
            kind,
            buffer,
        )
        tensor.hasRank = True
        self.graph.tensors.append(tensor)
        index = len(self.graph.tensors) - 1
        if scale:
            self._set_scales(index, np.array([scale]), np.array([zero_point]))
        return index

    def _set_scales(self, index: int, scales: NDArray[Any], zero_points: NDArray[Any]) -> None:
        quantization = self._schema.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = scales.astype(np.float32), zero_points.astype(np.int64)
        self.graph.tensors[index].quantization = quantization

    def _scale_of(self, tensor: Any) -> tuple[float, int]:
        quantization = tensor.quantization
        if quantization is None or quantization.scale is None or not len(quantization.scale):
            raise ModelError(
                "its input or output is of integers without a scale; convert the model that it was made from"
            )
        return float(quantization.scale[0]), int(quantization.zeroPoint[0])

    def _operator(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        *,
        version: int,
        options: Any = None,
        kind: str = "",
        first: bool = False,
    ) -> None:
        code = self._schema.OperatorCodeT()
        code.builtinCode = getattr(self._schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = code.builtinCode
        code.version = version
        self.model.operatorCodes.append(code)
        operator = self._schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options is not None:
            operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        if first:
            self.graph.operators.insert(0, operator)
        else:
            self.graph.operators.append(operator)
