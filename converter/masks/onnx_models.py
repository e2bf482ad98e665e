"""ONNX models: converts PyTorch exports to a SavedModel.

onnx2tf runs in a separate process, as it is verbose and takes much memory. Its result is compared with ONNX Runtime on
pictures (model_settings.py).
`python -m converter.masks.onnx_models MODEL.onnx FOLDER` is that process.
"""

from __future__ import annotations

import errno
import importlib.util
import keyword
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.masks.keras_models import one_line
from converter.masks.loaded_model import describe_tensors
from converter.masks.saved_models import load_saved_model
from edge_agent.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from converter.masks.loaded_model import LoadedModel

PACKAGES = ("onnx2tf", "onnx", "onnxruntime", "onnx_graphsurgeon", "sng4onnx")
CHANNELS = (1, 3)
_PICTURE_RANK = 4
_OPSET_OF_PAD = 11
"""From this opset on, Pad takes its amounts as an input."""
QUANTIZED = re.compile("quantize|^QLinear|Integer$", re.IGNORECASE)
"""Operations of ONNX Runtime's static and dynamic quantization."""


def load_onnx(path: Path, *, size_px: int | None = None) -> LoadedModel:
    """Load an ONNX file through a SavedModel; `size_px` is the side of an input that the file leaves open.

    Raises:
        ConfigError: the input size is open and not given.
        ModelError: the converter is not installed or fails.
    """
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise ModelError(f"{path}: ONNX needs {', '.join(missing)}; pip install 'maskwatch[onnx]'")
    with tempfile.TemporaryDirectory() as folder:
        prepared, saved = Path(folder) / "prepared.onnx", Path(folder) / "saved"
        _prepare(path, prepared, size_px)
        command = [sys.executable, "-m", __name__, str(prepared), str(saved)]
        # TensorFlow leaves files there if it is killed.
        environment = os.environ | {"TMPDIR": folder}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
            if lines and (full := os.strerror(errno.ENOSPC)) in lines[-1]:
                raise OSError(errno.ENOSPC, full, folder)
            raise ModelError(
                f"{path}: onnx2tf cannot convert it: {lines[-1] if lines else f'ended with {done.returncode}'}; export "
                "it by the other exporter of torch (dynamo=True or dynamo=False), with a fixed size and batch 1"
            )
        loaded = load_saved_model(saved, source=path)
        run_file = _runner(prepared.read_bytes())
    # torchvision's Resize averages when downscaling.
    return replace(loaded, name=path.stem, kind="ONNX", usual_resampling="area", run_file=run_file)


def _prepare(path: Path, prepared: Path, size_px: int | None) -> None:
    """Write the same network for one picture of a fixed size, with embedded weights.

    Raises:
        ConfigError, ModelError: as for `load_onnx`.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(path, load_external_data=False).graph
    except DecodeError as error:
        raise ModelError(f"{path}: damaged or cut off: {error}; export or copy the model again") from error
    weights = {tensor.name: tensor for tensor in graph.initializer}
    files = {entry.value for tensor in graph.initializer for entry in tensor.external_data if entry.key == "location"}
    for name in sorted(files):
        if not (path.parent / name).is_file():
            raise ModelError(f"{path}: its weights are in {name}, which is missing; copy that file beside it")
    if _is_in_training_mode(graph.node, weights):
        raise ModelError(f"{path}: exported in training mode; call model.eval() before torch.onnx.export")
    if any(QUANTIZED.search(node.op_type) for node in graph.node):
        raise ModelError(
            f"{path}: is quantized already, and would be a second time; convert the float model that it was made from"
        )
    try:
        model = onnx.load(path)
    except (ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(
            f"{path}: its weights in {', '.join(sorted(files))} cannot be read: {one_line(error)}; copy or download "
            "that file again, as a file and not as a link"
        ) from error
    _use_float32(model.graph)
    inputs = [tensor for tensor in model.graph.input if tensor.name not in weights]
    _fix_shapes(path, model.graph, inputs, size_px)
    _rename_keyword(model.graph, inputs[0])
    opset = max((opset.version for opset in model.opset_import if not opset.domain), default=0)
    if opset >= _OPSET_OF_PAD:
        _pad_pools_with_zeros(model.graph)
    onnx.save(model, prepared)


def _fix_shapes(path: Path, graph: Any, inputs: Sequence[Any], size_px: int | None) -> None:
    """Set the batch to 1 and open sides to `size_px`."""
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ModelError(f"{path}: {describe_tensors(len(inputs), len(graph.output))}")
    sides = inputs[0].type.tensor_type.shape.dim
    if len(sides) != _PICTURE_RANK:
        return
    if size_px is None and not all(side.dim_value for side in sides[1:]):
        raise ConfigError(
            f"{path}: leaves the size of its input open; state the one that it was trained at, as --size 224"
        )
    if not any(side.dim_value for side in sides[1:]):
        # Exported with every axis open, in PyTorch's order.
        sides[1].dim_value = max(CHANNELS)
    for side in sides[1:]:
        side.dim_value = side.dim_value or size_px
    _reshape_for_one(graph, batch=sides[0].dim_value)
    for tensor in (*inputs, *graph.output):
        # A scalar, or an output without shape information, has no dimension.
        for batch in tensor.type.tensor_type.shape.dim[:1]:
            batch.dim_value = 1


def _reshape_for_one(graph: Any, *, batch: int) -> None:
    """Make each Reshape to a constant shape with the batch in front, as torch writes a flattening, one of a picture."""
    from onnx import numpy_helper

    if batch <= 1:
        return
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape" and len(node.input) > 1}
    constants = [tensor for tensor in graph.initializer if tensor.name in shapes]
    constants += [
        attribute.t
        for node in graph.node
        if node.op_type == "Constant" and node.output[0] in shapes
        for attribute in node.attribute
        if attribute.name == "value"
    ]
    for tensor in constants:
        sides = numpy_helper.to_array(tensor)
        if sides.size and sides[0] == batch:
            tensor.CopyFrom(numpy_helper.from_array(np.array([1, *sides[1:]], np.int64), tensor.name))


def _rename_keyword(graph: Any, given: Any) -> None:
    """Rename an input called "in" or another keyword of Python, which TensorFlow cannot make a parameter."""
    if not keyword.iskeyword(given.name):
        return
    renamed = f"{given.name}_"
    for node in graph.node:
        node.input[:] = [renamed if name == given.name else name for name in node.input]
    given.name = renamed


def _use_float32(graph: Any) -> None:
    """Make a network of half or double precision compute in float32, as TFLite does."""
    from onnx import TensorProto, numpy_helper

    floats = {TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    for tensor in (*graph.initializer, *(attribute.t for attribute in attributes)):
        if tensor.data_type in floats:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type in floats:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for attribute in attributes:
        # The type that a Cast or a random operation gives.
        if attribute.name in {"to", "dtype"} and attribute.i in floats:
            attribute.i = TensorProto.FLOAT


def _pad_pools_with_zeros(graph: Any) -> None:
    """Replace the padding of each MaxPool of non-negative values by an explicit Pad with zeros, which is equivalent.

    onnx2tf pads with minus infinity, which int8 cannot represent: TensorFlow aborts the process if the result is also
    added to another tensor (ResNet), or writes a network that does not run (ShuffleNet V2).
    """
    from onnx import helper, numpy_helper

    producers = {output: node for node in graph.node for output in node.output}
    nodes = []
    for node in graph.node:
        pads = next((attribute for attribute in node.attribute if attribute.name == "pads"), None)
        rounds_up = any(attribute.name == "ceil_mode" and attribute.i for attribute in node.attribute)
        if (
            node.op_type == "MaxPool"
            and pads is not None
            and len(pads.ints) == _PICTURE_RANK
            and any(pads.ints)
            and not rounds_up
            and len(node.output) == 1
            and _is_never_negative(node.input[0], producers)
        ):
            top, left, bottom, right = pads.ints
            padded = f"{node.output[0]}/padded"
            amounts = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
            graph.initializer.append(numpy_helper.from_array(amounts, f"{padded}/amounts"))
            nodes.append(helper.make_node("Pad", [node.input[0], f"{padded}/amounts"], [padded], name=padded))
            pads.ints[:] = [0] * _PICTURE_RANK
            producers[padded] = producers[node.input[0]]
            node.input[0] = padded
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _is_never_negative(name: str, producers: Mapping[str, Any]) -> bool:
    """Whether a tensor is the output of a rectifier, possibly through poolings and concatenations."""
    node = producers.get(name)
    if node is None:
        return False
    if node.op_type in {"MaxPool", "Concat"}:
        return all(_is_never_negative(name, producers) for name in node.input)
    return node.op_type in {"Relu", "Sigmoid"}


def _is_in_training_mode(nodes: Iterable[Any], weights: Mapping[str, Any]) -> bool:
    """Whether a dropout or batch normalization is in training mode."""
    from onnx import numpy_helper

    for node in nodes:
        if node.op_type == "BatchNormalization":
            flags = [attribute.i for attribute in node.attribute if attribute.name == "training_mode"]
        elif node.op_type == "Dropout":
            flags = [numpy_helper.to_array(weights[name]) for name in node.input[2:] if name in weights]
        else:
            continue
        if any(flags):
            return True
    return False


def _runner(content: bytes) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """The file in ONNX Runtime: from one picture, channels last, to its outputs, (outputs,)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    kind = given.type.removeprefix("tensor(").removesuffix(")")
    dtype = np.dtype("float32" if kind == "float" else kind)
    shape = [side if isinstance(side, int) else -1 for side in given.shape]
    takes_channels_first = len(shape) == _PICTURE_RANK and not _takes_channels_last(shape)

    def run(picture: NDArray[np.float32]) -> NDArray[np.float64]:
        values = picture.transpose(0, 3, 1, 2) if takes_channels_first else picture
        (outputs,) = session.run(None, {given.name: values.astype(dtype).reshape(shape)})
        return np.asarray(outputs, np.float64).reshape(-1)

    return run


def _takes_channels_last(shape: Sequence[Any]) -> bool:
    """Whether an input is as tf2onnx leaves it; PyTorch exports channels first."""
    return len(shape) == _PICTURE_RANK and shape[-1] in CHANNELS and shape[1] not in CHANNELS


def to_saved_model(path: Path, folder: Path) -> None:
    """Convert with onnx2tf."""
    import onnx
    import onnx2tf.onnx2tf as converter

    def no_pictures() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.zeros((20, 128, 128, 3), np.float32)

    # onnx2tf would download pictures to verify its own result, which is compared on the user's later.
    converter.download_test_image_data = no_pictures
    graph = onnx.load(path).graph
    # Older files list their weights among the inputs.
    weights = {tensor.name for tensor in graph.initializer}
    (given,) = [tensor for tensor in graph.input if tensor.name not in weights]
    shape = [side.dim_value for side in given.type.tensor_type.shape.dim]
    converter.convert(
        input_onnx_file_path=str(path),
        output_folder_path=str(folder),
        non_verbose=True,
        batch_size=1,
        output_signaturedefs=True,
        keep_shape_absolutely_input_names=[given.name] if _takes_channels_last(shape) else None,
    )


def main(arguments: Sequence[str]) -> int:
    """Convert one file; an error is printed as the last line of stderr."""
    path, folder = arguments
    try:
        to_saved_model(Path(path), Path(folder))
    # Any exception of onnx2tf means that it cannot convert the file.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        print(" ".join(str(error).split())[:300] or type(error).__name__, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
