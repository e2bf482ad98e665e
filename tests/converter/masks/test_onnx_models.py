"""What PyTorch exports answers after the conversion as ONNX Runtime does."""

from __future__ import annotations

import numpy as np
import pytest

from converter.masks.networks import open_network
from converter.masks.stated import Stated
from edge_agent.errors import ModelError

pytestmark = pytest.mark.tensorflow

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnx2tf")
SIDE_PX = 32


@pytest.fixture
def exported(tmp_path):
    """A convolution, a depthwise one, a batch normalisation and a dense layer, channels first, batch open."""
    random = np.random.default_rng(1)
    names = onnx.helper

    def weights(name, *shape):
        return onnx.numpy_helper.from_array((random.standard_normal(shape) * 0.3).astype(np.float32), name)

    constants = [
        *(weights(name, *shape) for name, shape in {"w": (8, 3, 3, 3), "b": (8,), "d": (8, 1, 3, 3)}.items()),
        *(weights(name, 8) for name in ("scale", "offset", "mean")),
        onnx.numpy_helper.from_array(np.ones(8, np.float32), "variance"),
        weights("dense", 2, 8),
    ]
    nodes = [
        names.make_node("Conv", ["x", "w", "b"], ["1"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        names.make_node("Relu", ["1"], ["2"]),
        names.make_node("Conv", ["2", "d"], ["3"], group=8, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        names.make_node("BatchNormalization", ["3", "scale", "offset", "mean", "variance"], ["4"]),
        names.make_node("GlobalAveragePool", ["4"], ["5"]),
        names.make_node("Flatten", ["5"], ["6"], axis=1),
        names.make_node("Gemm", ["6", "dense"], ["y"], transB=1),
    ]
    kind = onnx.TensorProto.FLOAT
    graph = names.make_graph(
        nodes,
        "classifier",
        [names.make_tensor_value_info("x", kind, ["batch", 3, SIDE_PX, SIDE_PX])],
        [names.make_tensor_value_info("y", kind, ["batch", 2])],
        constants,
    )
    model = names.make_model(graph, opset_imports=[names.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, tmp_path / "masks.onnx")
    return tmp_path / "masks.onnx"


def test_an_export_of_pytorch_answers_as_in_onnx_runtime(exported):
    import onnxruntime

    network = open_network(exported, Stated())

    assert (network.kind, network.name, network.channels, network.outputs) == ("ONNX", "masks", 3, 2)
    picture = np.random.default_rng(2).random((1, SIDE_PX, SIDE_PX, 3)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    (raw,) = session.run(None, {"x": picture.transpose(0, 3, 1, 2)})
    assert network.probabilities(picture) == pytest.approx((np.exp(raw) / np.exp(raw).sum())[0], abs=1e-4)


def test_a_file_that_is_cut_off_is_named(exported):
    exported.write_bytes(exported.read_bytes()[:200])

    with pytest.raises(ModelError, match=r"masks\.onnx: onnx2tf cannot convert it"):
        open_network(exported, Stated())
