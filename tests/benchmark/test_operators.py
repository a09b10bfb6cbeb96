"""Counts of operators and transposes in files."""

import jax
import pytest

from jaxpose import export, ops
from jaxpose.benchmark import operators
from jaxpose.export import source
from tests.helpers import networks, tiny_files

SIZE = (16, 16)


def _shuffled(module, x):
    """A convolution, and a sum with its channel shuffle, which needs one transpose."""
    x = ops.conv(x, networks.weight(module, "w", (1, 1, 3, 8)))
    return ops.channel_shuffle(x, groups=2) + x


@pytest.mark.parametrize(
    "suffix, package, counts",
    [
        (".onnx", "onnx", (5, 1)),  # Conv, Reshape, Transpose, Reshape, Add
        (".tflite", "ai_edge_litert", (5, 1)),
        (".param", "ncnn", (4, 0)),  # Convolution, Split, ShuffleChannel, BinaryOp
    ],
)
def test_a_shuffle_is_counted(tmp_path, suffix, package, counts):
    pytest.importorskip(package)
    model = networks.Function(_shuffled)
    variables = networks.initialized(model, SIZE)
    path = tmp_path / f"a{suffix}"
    write = {".onnx": export.to_onnx, ".tflite": export.to_litert, ".param": export.to_ncnn}
    write[suffix](model, variables, SIZE, path, metadata={"jaxpose": "test"})
    assert operators.count(path) == counts


def test_conversions_of_constants_are_not_counted(tmp_path):
    pytest.importorskip("ai_edge_litert")
    full = operators.count(tiny_files.write(tmp_path / "a.tflite"))
    assert operators.count(tiny_files.write(tmp_path / "b.tflite", precision="fp16")) == full


@pytest.mark.slow
def test_calls_of_torch_are_counted(tmp_path):
    pytest.importorskip("torch")
    total, transposes = operators.count(tiny_files.write(tmp_path / "a.pt2"))
    assert total >= 6 and transposes == 0  # four convolutions, two ReLUs


def test_the_gpu_refuses_what_the_gate_refuses(register, monkeypatch):
    register("tiny_pose", tiny_files.Tiny, "topdown", (32, 32))
    network = source.untrained("tiny_pose")
    jax.block_until_ready(network.variables)
    assert operators.refused_by_gpu(network) == 0
    from jaxpose.export.litert import gate

    monkeypatch.delitem(gate.VERSIONS, "DEPTHWISE_CONV_2D")
    assert operators.refused_by_gpu(network) >= 1
