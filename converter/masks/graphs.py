"""Graphs: wraps a TensorFlow function to take a single picture, channels last, float.

Constraints of an export (fixed batch, byte input, another precision, channels first) are rewritten in the frozen graph,
so that the converted model has none of them.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.host.allocator import release_free_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_RANDOM = re.compile("Random|Multinomial|TruncatedNormal")
_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def freeze(call: Callable[[Any], Any], shape: Sequence[int | None], dtype: Any) -> Any:
    """Trace a function of one input and freeze its weights; inner functions are inlined.

    Raises:
        ValueError: a layer is in training mode.
    """
    frozen = _freeze(call, shape, dtype)
    # Tracing and freezing copy the weights several times, and glibc keeps the memory of most copies.
    release_free_memory()
    return frozen


def _freeze(call: Callable[[Any], Any], shape: Sequence[int | None], dtype: Any) -> Any:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    traced = tf.function(call, autograph=False).get_concrete_function(tf.TensorSpec(shape, dtype, name="pixels"))
    # Frozen, a variable cannot be written; a random operation that nothing needs is gone.
    frozen = None if _changes_variables(traced) else convert_variables_to_constants_v2(traced)
    if frozen is None or any(_RANDOM.search(operation.type) for operation in frozen.graph.get_operations()):
        raise ValueError(
            "a layer is in training mode: dropout, noise or augmentation gives other results for the same picture; "
            "build the model without training=True, and save it with model.save('masks.keras'), in which augmentation "
            "layers pass pictures on"
        )
    return frozen


def has_loop(function: Any) -> bool:
    """Whether a function repeats operations, as a recurrent layer does for every time step."""
    return any(operation in {"While", "StatelessWhile", "Enter"} for operation in _operations(function))


def _changes_variables(function: Any) -> bool:
    """Whether inference writes variables: seeds of augmentation, or batch normalization averages."""
    return any(operation.startswith("Assign") for operation in _operations(function))


def _operations(function: Any) -> Iterator[str]:
    """The types of all operations, including those of inner functions."""
    definition = function.graph.as_graph_def()
    for nodes in (definition.node, *(inner.node_def for inner in definition.library.function)):
        yield from (node.op for node in nodes)


def with_single_picture_input(function: Any, shape: Sequence[int]) -> Any:
    """Make a frozen function take float32 of a shape, (1, height, width, channels), whatever its original input.

    A fixed batch becomes 1, inputs of other types become floats of the same value, other precisions become float32, and
    channels-first layers channels last.

    Raises:
        ValueError: an operation fits only the original batch or type.
    """
    import tensorflow as tf

    (input_tensor,), (output_tensor,) = function.inputs, function.outputs
    original_shape = tuple(input_tensor.shape)
    is_float = input_tensor.dtype == tf.float32 and not _has_other_precision(function)
    if original_shape == tuple(shape) and is_float and not _channels_first(function):
        return function
    definition = function.graph.as_graph_def()
    _drop_shapes(definition)
    _use_float32(definition)
    _use_float_input(definition, input_tensor)
    if original_shape[0] not in {1, None}:
        _set_batch_to_one(definition, int(original_shape[0]))
    definition = _channels_last(definition)
    moved = len(original_shape) == len(shape) and original_shape[1] == shape[-1] and original_shape[-1] != shape[-1]

    def call(pixels: Any) -> Any:
        inputs = tf.transpose(pixels, _TO_FIRST) if moved else pixels
        (result,) = tf.graph_util.import_graph_def(
            definition, input_map={input_tensor.name: inputs}, return_elements=[output_tensor.name], name=""
        )
        if len(result.shape) > 1 and result.shape[0] not in {1, None}:
            raise ValueError(f"its output has shape {tuple(result.shape)} for one picture")
        return result

    try:
        return freeze(call, shape, tf.float32)
    except ValueError as error:
        raise ValueError(f"export it with a batch of 1 and an input of float32: {error}") from error


def size_set_by_layer(function: Any) -> tuple[int, int]:
    """Height and width of the first picture that a graph makes of an open input, by Reshape or Resize; 0 if none."""
    for operation in function.graph.get_operations():
        if operation.type in {"Reshape", "ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic"}:
            shape = operation.outputs[0].shape
            if shape.rank == len(_TO_LAST) and shape[1] and shape[2] and shape[3] in {1, 3}:
                return int(shape[1]), int(shape[2])
    return 0, 0


def _channels_first(function: Any) -> bool:
    return any(
        operation.type != "Placeholder" and _attribute(operation.node_def, "data_format") == b"NCHW"
        for operation in function.graph.get_operations()
    )


def _has_other_precision(function: Any) -> bool:
    import tensorflow as tf

    others = {tf.float16, tf.bfloat16, tf.float64}
    return any(tensor.dtype in others for operation in function.graph.get_operations() for tensor in operation.outputs)


def _attribute(node: Any, name: str) -> bytes:
    return bytes(node.attr[name].s) if name in node.attr else b""


def _drop_shapes(definition: Any) -> None:
    for node in definition.node:
        node.attr.pop("_output_shapes", None)


def _use_float32(definition: Any) -> None:
    """Make half and double precision, of which TFLite has no operations, float32; weights of half stay exact."""
    import tensorflow as tf
    from tensorflow.core.framework import types_pb2

    replaced = dict.fromkeys((types_pb2.DT_HALF, types_pb2.DT_BFLOAT16, types_pb2.DT_DOUBLE), types_pb2.DT_FLOAT)
    functions = definition.library.function
    for signature in (function.signature for function in functions):
        for argument in (*signature.input_arg, *signature.output_arg):
            argument.type = replaced.get(argument.type, argument.type)
    for node in itertools.chain(definition.node, *(function.node_def for function in functions)):
        for attribute in node.attr.values():
            match attribute.WhichOneof("value"):
                case "type":
                    attribute.type = replaced.get(attribute.type, attribute.type)
                case "list":
                    attribute.list.type[:] = [replaced.get(kind, kind) for kind in attribute.list.type]
                case "tensor" if attribute.tensor.dtype in replaced:
                    values = tf.make_ndarray(attribute.tensor).astype(np.float32)
                    attribute.tensor.CopyFrom(tf.make_tensor_proto(values))


def _use_float_input(definition: Any, input_tensor: Any) -> None:
    """Change operations that pass on the input's values to floats; casts then go from float to float, a no-op."""
    from tensorflow.core.framework import types_pb2

    given, count = {input_tensor.op.name}, 0
    while count < len(given):
        count = len(given)
        for node in definition.node:
            if not node.input or node.input[0].split(":")[0] not in given:
                continue
            if node.op == "Cast":
                node.attr["SrcT"].type = types_pb2.DT_FLOAT
            elif "T" in node.attr and node.attr["T"].type == input_tensor.dtype.as_datatype_enum:
                node.attr["T"].type = types_pb2.DT_FLOAT
                given.add(node.name)


def _set_batch_to_one(definition: Any, batch: int) -> None:
    """Set the batch in every Reshape to 1."""
    import tensorflow as tf

    constants = {node.name: node for node in definition.node if node.op == "Const"}
    for node in definition.node:
        shape = constants.get(node.input[1].split(":")[0]) if node.op == "Reshape" else None
        if shape is None:
            continue
        values = tf.make_ndarray(shape.attr["value"].tensor)
        if values.ndim == 1 and values.size and values[0] == batch:
            changed = np.concatenate([[1], values[1:]]).astype(values.dtype)
            shape.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(changed))


def _reorder(node: Any) -> None:
    """Rewrite the axis attributes of a node for channels last."""
    node.attr["data_format"].s = b"NHWC"
    for name in ("strides", "ksize", "dilations"):
        if len(values := list(node.attr[name].list.i)) == len(_TO_LAST):
            node.attr[name].list.i[:] = [values[index] for index in _TO_LAST]
        elif not values:
            node.attr.pop(name, None)
    if pairs := list(node.attr["explicit_paddings"].list.i):
        node.attr["explicit_paddings"].list.i[:] = [pairs[2 * index + side] for index in _TO_LAST for side in (0, 1)]
    else:
        node.attr.pop("explicit_paddings", None)


def _channels_last(definition: Any) -> Any:
    """The same graph with transpositions around channels-first operations, as TFLite supports channels last only."""
    import tensorflow as tf
    from tensorflow.core.framework import types_pb2

    result = tf.compat.v1.GraphDef()
    result.versions.CopyFrom(definition.versions)
    result.library.CopyFrom(definition.library)

    def constant(name: str, values: Sequence[int]) -> None:
        node = result.node.add(name=name, op="Const")
        node.attr["dtype"].type = types_pb2.DT_INT32
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.array(values, np.int32)))

    def transposed(name: str, given: str, order: Sequence[int]) -> None:
        constant(f"{name}/order", order)
        node = result.node.add(name=name, op="Transpose")
        node.input.extend([given, f"{name}/order"])
        node.attr["T"].type = types_pb2.DT_FLOAT
        node.attr["Tperm"].type = types_pb2.DT_INT32

    for node in definition.node:
        copy = result.node.add()
        copy.CopyFrom(node)
        if _attribute(node, "data_format") != b"NCHW":
            continue
        _reorder(copy)
        transposed(f"{node.name}/last", node.input[0], _TO_LAST)
        copy.input[0] = f"{node.name}/last"
        copy.name = f"{node.name}/body"
        transposed(node.name, f"{node.name}/body", _TO_FIRST)
    return result
