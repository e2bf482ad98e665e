"""Released detectors: rebuilds a trainable network from a detector converted for the device.

Detectors are released as int8 networks, whose original checkpoint may be lost or unpublished. Int8 preserves the
architecture and, up to rounding, the weights, so that training can continue from it. Only the operations of this
project's detectors are supported; operations folded into a convolution stay folded. The bound that the conversion puts
on logits is left out, as training needs the values beyond it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.errors import ModelError
from edge_agent.vision.card import read_detector_card

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import keras
    from numpy.typing import NDArray

CARD_SUFFIX, NETWORK_SUFFIX = ".json", ".tflite"
KINDS_BY_CHANNELS = {2: "logits", 4: "boxes"}
"""Kind of an output by the size of its last axis."""


def is_released(file: Path) -> bool:
    """Whether a file is the card or a network of a detector."""
    return file.suffix in {CARD_SUFFIX, NETWORK_SUFFIX}


def build_released(file: Path) -> keras.Model:
    """Build the network of a card (the first one; they differ only in input size) or of a TFLite file.

    Input and output as for `build_yunet`; any input size.

    Raises:
        ModelError: the file is missing or damaged, or its network has operations that detectors do not use.
    """
    if file.suffix == CARD_SUFFIX:
        card, contents, _ = read_detector_card(file)
        return _Graph(contents[0], name=str(file.parent / card.files[0].file)).as_keras()
    if not file.is_file():
        raise ModelError(f"{file}: no such network; give a detector's card (.json) or one of its networks (.tflite)")
    return _Graph(file.read_bytes(), name=str(file)).as_keras()


class _Graph:
    """The graph of a TFLite file."""

    def __init__(self, content: bytes, *, name: str) -> None:
        from tensorflow.lite.python import schema_py_generated as schema

        self._schema = schema
        self._name = name
        # Parsing a damaged file may follow arbitrary offsets.
        try:
            model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(content), 0))
            (graph,) = model.subgraphs
            codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
            self._operators = [(self._operator_name(codes[one.opcodeIndex]), one) for one in graph.operators]
        except Exception as error:
            raise ModelError(f"{name}: no TFLite network, or a damaged one; reinstall it") from error
        self._model, self._graph = model, graph
        self._convolutions: dict[int, Any] = {}
        """The layer whose output a tensor is, without activation, so that constants can be folded into it."""

    def as_keras(self) -> keras.Model:
        """Convert every operation to a layer, with dequantized weights."""
        import keras

        pixels = keras.Input((None, None, 3), name="pixels")
        values: dict[int, Any] = {self._graph.inputs[0]: pixels}
        # Upsampling by repetition is a single layer, added where its result is used.
        upsampled_from: dict[int, int] = {}
        for kind, operator in self._operators:
            target = operator.outputs[0]
            if kind in {"RESHAPE", "TILE"}:
                upsampled_from[target] = upsampled_from.get(operator.inputs[0], operator.inputs[0])
                continue
            inputs = [
                self._upsampled(values, upsampled_from, number)
                for number in operator.inputs
                if self._is_variable(number)
            ]
            values[target] = self._layer(kind, operator)(inputs)
        outputs = dict(self._output(values[number], number) for number in self._graph.outputs)
        return keras.Model(pixels, outputs, name="released")

    def _layer(self, kind: str, operator: Any) -> Callable[[list[Any]], Any]:
        import keras

        options = operator.builtinOptions
        match kind:
            case "QUANTIZE" | "DEQUANTIZE":
                return lambda inputs: inputs[0]
            case "PAD":
                rows = self._numbers(operator.inputs[1])[1:3].tolist()
                return lambda inputs: keras.layers.ZeroPadding2D(rows)(inputs[0])
            case "MAX_POOL_2D":
                size, strides = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
                return lambda inputs: keras.layers.MaxPooling2D(size, strides, self._padding(options))(inputs[0])
            case "ADD" if all(self._is_variable(number) for number in operator.inputs):
                added: Callable[[list[Any]], Any] = keras.layers.Add()
                return added
            case "MUL" | "ADD" if operator.inputs[0] in self._convolutions:
                return lambda inputs: self._folded(inputs[0], operator, multiplies=kind == "MUL")
            case "CONV_2D" | "DEPTHWISE_CONV_2D":
                return lambda inputs: self._convolved(inputs[0], operator, is_depthwise=kind.startswith("DEPTHWISE"))
            case _:
                raise ModelError(f"{self._name}: {kind} is no operation of a face detector of this project")

    def _convolved(self, values: Any, operator: Any, *, is_depthwise: bool) -> Any:
        import keras

        options = operator.builtinOptions
        kernel, bias = self._numbers(operator.inputs[1]), self._numbers(operator.inputs[2])
        size, strides, padding = kernel.shape[1:3], (options.strideH, options.strideW), self._padding(options)
        activation = self._activation(options)
        if is_depthwise:
            layer = keras.layers.DepthwiseConv2D(size, strides, padding, activation=activation)
        else:
            layer = keras.layers.Conv2D(kernel.shape[0], size, strides, padding, activation=activation)
        result = layer(values)
        layer.set_weights([kernel.transpose(1, 2, 3, 0), bias])
        if activation is None:
            self._convolutions[operator.outputs[0]] = layer
        return result

    def _folded(self, values: Any, operator: Any, *, multiplies: bool) -> Any:
        """Fold a constant factor or summand into the preceding convolution."""
        layer = self._convolutions[operator.inputs[0]]
        number = float(self._numbers(operator.inputs[1]).reshape(-1)[0])
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel * number, bias * number] if multiplies else [kernel, bias + number])
        self._convolutions[operator.outputs[0]] = layer
        return values

    def _upsampled(self, values: dict[int, Any], upsampled_from: dict[int, int], number: int) -> Any:
        import keras

        source = upsampled_from.get(number, number)
        factor = self._shape(number)[1] // self._shape(source)[1]
        return values[source] if factor == 1 else keras.layers.UpSampling2D(factor)(values[source])

    def _output(self, values: Any, number: int) -> tuple[str, Any]:
        """An output with the name used in training."""
        import keras

        rows, channels = self._shape(number)[1], self._shape(number)[3]
        if channels not in KINDS_BY_CHANNELS:
            raise ModelError(f"{self._name}: no face detector: an output has {channels} channels")
        name = f"{KINDS_BY_CHANNELS[channels]}_{self._shape(self._graph.inputs[0])[1] // rows}"
        return name, keras.layers.Identity(name=name)(values)

    def _numbers(self, number: int) -> NDArray[np.float32]:
        """The dequantized values of a constant."""
        tensor = self._graph.tensors[number]
        dtype = np.dtype({value: name for name, value in vars(self._schema.TensorType).items()}[tensor.type].lower())
        stored = np.asarray(self._model.buffers[tensor.buffer].data, np.uint8)
        values = np.frombuffer(stored.tobytes(), dtype).reshape(tensor.shape)
        quantization = tensor.quantization
        if quantization is None or quantization.scale is None or not len(quantization.scale):
            return np.asarray(values, np.float32) if dtype.kind == "f" else values
        along = [1] * values.ndim
        if values.ndim:
            along[quantization.quantizedDimension] = -1
        scales, zeros = (np.reshape(one, along) for one in (quantization.scale, quantization.zeroPoint))
        return np.asarray((values.astype(np.float64) - zeros) * scales, np.float32)

    def _is_variable(self, number: int) -> bool:
        """Whether a tensor depends on the picture; constants have data of their own."""
        return self._model.buffers[self._graph.tensors[number].buffer].data is None

    def _shape(self, number: int) -> list[int]:
        return [int(side) for side in self._graph.tensors[number].shape]

    def _activation(self, options: Any) -> str | None:
        functions = self._schema.ActivationFunctionType
        # ReLU6 is the bound on logits, which is left out.
        known = {functions.NONE: None, functions.RELU6: None, functions.RELU: "relu"}
        if options.fusedActivationFunction not in known:
            raise ModelError(f"{self._name}: an activation other than ReLU is none of a face detector of this project")
        return known[options.fusedActivationFunction]

    def _padding(self, options: Any) -> str:
        return "same" if options.padding == self._schema.Padding.SAME else "valid"

    def _operator_name(self, code: int) -> str:
        return str(next(name for name, value in vars(self._schema.BuiltinOperator).items() if value == code))
