"""Counts of operators and transposes in files."""

import jax
import pytest

from jaxpose import export, ops
from jaxpose.benchmark import operators
from jaxpose.export import source
from tests.helpers import networks, tiny_files

SIZE = (16, 16)


def _shuffled(module, x):
    """A convolution, and a channel shuffle, which needs one transpose."""
    return ops.channel_shuffle(ops.conv(x, networks.weight(module, "w", (1, 1, 3, 8))), groups=2)


@pytest.mark.parametrize(
    "suffix, package, counts",
    [
        (".onnx", "onnx", (4, 1)),  # Conv, Reshape, Transpose, Reshape
        (".tflite", "ai_edge_litert", (4, 1)),
        (".param", "ncnn", (2, 0)),  # Convolution, ShuffleChannel
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
