"""ONNX models: exports of PyTorch give the same results after conversion as in ONNX Runtime."""

from __future__ import annotations

import tempfile

import numpy as np
import pytest

from converter.masks.networks import open_network
from converter.masks.overrides import ModelOverrides
from converter.tflite_conversion import run_converter
from edge_agent.errors import ConfigError, ModelError
from edge_agent.vision.tflite import open_interpreter
from training.tensorflow_logs import quiet_tensorflow

pytestmark = pytest.mark.tensorflow

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnx2tf")
SIDE_PX = 32
POOL = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
"""As in ResNet, ShuffleNet and DenseNet of torchvision."""


def export(path, *, shape=("batch", 3, SIDE_PX, SIDE_PX), training=False, external=False, pool=False, output="batch"):
    """A convolution, a depthwise one, a batch normalisation, a dropout and a dense layer.

    Channels first, or last as tf2onnx exports them if the last side of `shape` is 3.
    """
    random = np.random.default_rng(1)
    names = onnx.helper

    def weights(name, *shape):
        return onnx.numpy_helper.from_array((random.standard_normal(shape) * 0.3).astype(np.float32), name)

    constants = [
        *(weights(name, *shape) for name, shape in {"w": (8, 3, 3, 3), "b": (8,), "d": (8, 1, 3, 3)}.items()),
        *(weights(name, 8) for name in ("scale", "offset", "mean")),
        onnx.numpy_helper.from_array(np.ones(8, np.float32), "variance"),
        onnx.numpy_helper.from_array(np.float32(0.2), "ratio"),
        onnx.numpy_helper.from_array(np.bool_(training), "training"),
        weights("dense", 2, 8),
    ]
    last = "z" if output == "scalar" else "y"
    channels_last = shape[-1] == 3
    nodes = [
        *([names.make_node("Transpose", ["x"], ["0"], perm=[0, 3, 1, 2])] if channels_last else []),
        names.make_node(
            "Conv",
            ["0" if channels_last else "x", "w", "b"],
            ["1"],
            kernel_shape=[3, 3],
            strides=[2, 2],
            pads=[1, 1, 1, 1],
        ),
        names.make_node("Relu", ["1"], ["2"]),
        *([names.make_node("MaxPool", ["2"], ["p"], **POOL)] if pool else []),
        names.make_node("Conv", ["p" if pool else "2", "d"], ["3"], group=8, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        *([names.make_node("Add", ["p", "3"], ["sum"])] if pool else []),
        names.make_node("BatchNormalization", ["sum" if pool else "3", "scale", "offset", "mean", "variance"], ["4"]),
        names.make_node("GlobalAveragePool", ["4"], ["5"]),
        names.make_node("Flatten", ["5"], ["6"], axis=1),
        *([names.make_node("Dropout", ["6", "ratio", "training"], ["7"])] if training else []),
        names.make_node("Gemm", ["7" if training else "6", "dense"], [last], transB=1),
    ]
    if output == "scalar":
        nodes += [names.make_node("ReduceMax", ["z"], ["m"], keepdims=0), names.make_node("Sigmoid", ["m"], ["y"])]
    output_shape = {"batch": [shape[0], 2], "scalar": [], "without shape": None}[output]
    kind = onnx.TensorProto.FLOAT
    graph = names.make_graph(
        nodes,
        "classifier",
        [names.make_tensor_value_info("x", kind, shape)],
        [names.make_tensor_value_info("y", kind, output_shape)],
        constants,
    )
    model = names.make_model(graph, opset_imports=[names.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, path, save_as_external_data=external, location=f"{path.name}.data", size_threshold=0)


def as_in_onnx_runtime(path, picture):
    """Probabilities of a picture, (1, height, width, 3), by the file itself."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    channels_last = session.get_inputs()[0].shape[-1] == 3
    (raw,) = session.run(None, {"x": picture if channels_last else picture.transpose(0, 3, 1, 2)})
    return (np.exp(raw) / np.exp(raw).sum())[0]


@pytest.mark.parametrize(
    ("shape", "external"),
    [
        (("batch", 3, SIDE_PX, SIDE_PX), True),
        (("batch", 3, "height", "width"), False),
        (("batch", "channels", "height", "width"), False),
        (("batch", SIDE_PX, SIDE_PX, 3), False),
        ((1, "height", "width", 3), False),
    ],
    ids=["weights beside it", "open size", "every axis open", "channels last", "channels last, open size"],
)
def test_an_export_answers_as_in_onnx_runtime(tmp_path, shape, external):
    path = tmp_path / "masks.onnx"
    export(path, shape=shape, external=external)

    network = open_network(path, ModelOverrides(size_px=SIDE_PX))

    assert (network.kind, network.name, network.channels, network.outputs) == ("ONNX", "masks", 3, 2)
    assert network.usual_resampling == "area"
    picture = np.random.default_rng(2).random((1, SIDE_PX, SIDE_PX, 3)).astype(np.float32)
    assert network.probabilities(picture) == pytest.approx(as_in_onnx_runtime(path, picture), abs=1e-4)


def test_a_padded_pooling_behind_a_rectifier_converts_to_int8(tmp_path):
    import tensorflow as tf

    path = tmp_path / "masks.onnx"
    export(path, pool=True)
    network = open_network(path, ModelOverrides())
    pictures = np.random.default_rng(2).random((20, 1, SIDE_PX, SIDE_PX, 3)).astype(np.float32)
    shares = [as_in_onnx_runtime(path, picture) for picture in pictures]

    with quiet_tensorflow():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([network.graph])
        content = run_converter(converter, "int8", name="masks", samples=lambda: ([one] for one in pictures))
        interpreter = open_interpreter(content, name="masks")

    assert network.probabilities(pictures[0]) == pytest.approx(shares[0], abs=1e-4)
    taken, given = interpreter.inputs[0], interpreter.outputs[0]
    for picture, share in zip(pictures, shares, strict=True):
        steps = np.clip(np.round(picture / taken.scale + taken.zero_point), 0, 255).astype(np.uint8)
        assert (interpreter.run(steps)[0].reshape(-1).astype(float) - given.zero_point) * given.scale == pytest.approx(
            share, abs=0.05
        )


def test_a_fixed_batch_becomes_one(tmp_path):
    export(tmp_path / "masks.onnx", shape=(8, 3, SIDE_PX, SIDE_PX))

    assert open_network(tmp_path / "masks.onnx", ModelOverrides()).outputs == 2


@pytest.mark.parametrize(("output", "count"), [("scalar", 1), ("without shape", 2)])
def test_an_output_may_have_no_dimensions(tmp_path, output, count):
    export(tmp_path / "masks.onnx", shape=(1, 3, SIDE_PX, SIDE_PX), output=output)

    network = open_network(tmp_path / "masks.onnx", ModelOverrides())

    assert network.outputs == count
    assert network.probabilities(np.zeros((1, SIDE_PX, SIDE_PX, 3), np.float32)).shape == (count,)


def test_an_undefined_size_has_to_be_given(tmp_path):
    export(tmp_path / "masks.onnx", shape=(1, 3, "height", "width"))

    with pytest.raises(ConfigError, match="--size"):
        open_network(tmp_path / "masks.onnx", ModelOverrides())


def test_a_missing_weights_file_is_reported(tmp_path):
    export(tmp_path / "masks.onnx", external=True)
    (tmp_path / "masks.onnx.data").unlink()

    with pytest.raises(ModelError, match=r"masks\.onnx\.data, which is missing"):
        open_network(tmp_path / "masks.onnx", ModelOverrides())


def test_a_full_disk_is_reported_as_such(tiny_disk, tmp_path, monkeypatch):
    export(tmp_path / "masks.onnx")
    # There is room for the file, but not for its conversion.
    (tiny_disk / "other").write_bytes(bytes(44_000))
    monkeypatch.setattr(tempfile, "tempdir", str(tiny_disk))

    with pytest.raises(OSError, match="No space left on device"):
        open_network(tmp_path / "masks.onnx", ModelOverrides())

    assert [path.name for path in tiny_disk.iterdir()] == ["other"]


@pytest.mark.parametrize("damage", ["cut off", "a link"])
def test_a_weights_file_that_cannot_be_read_is_reported(tmp_path, damage):
    export(tmp_path / "masks.onnx", external=True)
    weights = tmp_path / "masks.onnx.data"
    if damage == "cut off":
        weights.write_bytes(weights.read_bytes()[:100])
    else:
        weights.rename(tmp_path / "blob")
        weights.symlink_to(tmp_path / "blob")

    with pytest.raises(ModelError, match=r"its weights in masks\.onnx\.data .*; copy or download that file again"):
        open_network(tmp_path / "masks.onnx", ModelOverrides())


def test_an_export_in_training_mode_is_refused(tmp_path):
    export(tmp_path / "masks.onnx", training=True)

    with pytest.raises(ModelError, match=r"call model\.eval\(\)"):
        open_network(tmp_path / "masks.onnx", ModelOverrides())


def test_a_truncated_file_is_reported(tmp_path):
    export(tmp_path / "masks.onnx")
    content = (tmp_path / "masks.onnx").read_bytes()
    (tmp_path / "masks.onnx").write_bytes(content[:200])

    with pytest.raises(ModelError, match=r"masks\.onnx: damaged or cut off"):
        open_network(tmp_path / "masks.onnx", ModelOverrides())


def test_an_input_may_be_called_as_a_keyword_of_python(tmp_path):
    path = tmp_path / "masks.onnx"
    export(path)
    picture = np.random.default_rng(2).random((1, SIDE_PX, SIDE_PX, 3)).astype(np.float32)
    expected = as_in_onnx_runtime(path, picture)
    model = onnx.load(path)
    model.graph.input[0].name = model.graph.node[0].input[0] = "in"
    onnx.save(model, path)

    network = open_network(path, ModelOverrides())

    assert network.probabilities(picture) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("target", "as_node"), [([4, 8], False), ([4, -1], True)], ids=["dynamo", "not dynamo"])
def test_a_reshape_to_a_fixed_batch_takes_one_picture(tmp_path, target, as_node):
    path = tmp_path / "masks.onnx"
    export(path)
    picture = np.random.default_rng(2).random((1, SIDE_PX, SIDE_PX, 3)).astype(np.float32)
    of_one = as_in_onnx_runtime(path, picture)
    export(path, shape=(4, 3, SIDE_PX, SIDE_PX))
    model = onnx.load(path)
    shape = onnx.numpy_helper.from_array(np.array(target), "shape")
    if as_node:
        model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["shape"], value=shape))
    else:
        model.graph.initializer.append(shape)
    (flatten,) = [node for node in model.graph.node if node.op_type == "Flatten"]
    flatten.CopyFrom(onnx.helper.make_node("Reshape", [flatten.input[0], "shape"], list(flatten.output)))
    onnx.save(model, path)

    network = open_network(path, ModelOverrides())

    assert network.probabilities(picture) == pytest.approx(of_one, abs=1e-4)


@pytest.mark.parametrize("precision", [np.float16, np.float64])
def test_an_export_of_another_precision_computes_in_float32(tmp_path, precision):
    path = tmp_path / "masks.onnx"
    export(path)
    picture = np.random.default_rng(2).random((1, SIDE_PX, SIDE_PX, 3)).astype(np.float32)
    in_float32 = as_in_onnx_runtime(path, picture)
    model = onnx.load(path)
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(precision))
    for tensor in model.graph.initializer:
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(precision), tensor.name))
    # Values leave the graph through a cast, as converters write it.
    model.graph.node[-1].output[0] = "logits"
    model.graph.node.append(onnx.helper.make_node("Cast", ["logits"], ["y"], to=kind))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = kind
    onnx.save(model, path)

    network = open_network(path, ModelOverrides())

    assert network.probabilities(picture) == pytest.approx(in_float32, abs=0.01)


@pytest.mark.parametrize(
    ("operation", "kind", "reason"),
    [
        ("Softmax", "FLOAT", "has 1 inputs and 2 outputs; .* export a model of that output only"),
        ("ArgMax", "INT64", "gives the number of a label .int64.*without its last operation"),
        ("DynamicQuantizeLinear", "FLOAT", "is quantized already.*convert the float model"),
    ],
)
def test_a_network_whose_scores_cannot_be_used_is_refused_with_a_remedy(tmp_path, operation, kind, reason):
    path = tmp_path / "masks.onnx"
    export(path)
    model = onnx.load(path)
    results = ["last", "scale_of_last", "zero_of_last"] if operation == "DynamicQuantizeLinear" else ["last"]
    model.graph.node.append(onnx.helper.make_node(operation, ["y"], results))
    last = onnx.helper.make_tensor_value_info("last", getattr(onnx.TensorProto, kind), None)
    if operation == "ArgMax":
        del model.graph.output[:]
    if operation != "DynamicQuantizeLinear":
        model.graph.output.append(last)
    onnx.save(model, path)

    with pytest.raises(ModelError, match=reason):
        open_network(path, ModelOverrides())
