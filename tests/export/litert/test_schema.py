"""The files: alignment, names, metadata, and float16 weights."""

import importlib

import numpy as np
import pytest

from jaxpose import export, ops
from jaxpose.runtimes.litert_file import open_litert, read_litert_metadata
from tests.helpers.networks import Function, images, initialized, run_jax, weight

SIZE = (12, 16)


def body(m, x):
    x = ops.conv(x, weight(m, "stem", (3, 3, 3, 64)), padding=1) + weight(m, "bias", (64,))
    x = ops.activation(x, kind="relu")
    x = ops.conv(x, weight(m, "middle", (3, 3, 64, 64), 0.05), padding=1)
    return ops.conv(x, weight(m, "final", (1, 1, 64, 5), 0.1)), ops.channel_max(x)


def written(path, **options):
    pytest.importorskip("ai_edge_litert")
    model = Function(body)
    variables = initialized(model, SIZE)
    export.to_litert(model, variables, SIZE, path, **({"metadata": METADATA} | options))
    return model, variables


METADATA = {
    "jaxpose": "test",
    "task": "topdown",
    "layout": "NCHW",
    "skeleton": {"names": ["größe", 'a "b"']},
}


def unpacked(path):
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    return schema, schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)


def test_metadata_are_read_back_without_running_the_file(tmp_path):
    path = tmp_path / "m.tflite"
    written(path)
    expected = METADATA | {"layout": "NHWC", "precision": "fp32"}
    assert read_litert_metadata(path) == expected
    assert export.read_metadata(path) == expected


def test_constants_are_aligned_and_names_differ(tmp_path):
    path = tmp_path / "m.tflite"
    written(path)
    schema, model = unpacked(path)
    (graph,) = model.subgraphs
    names = [tensor.name.decode() for tensor in graph.tensors]
    assert len(set(names)) == len(names) and {"image", "stem", "middle"} <= set(names)
    root = schema.Model.GetRootAs(path.read_bytes(), 0)
    aligned = 0
    for i in range(root.BuffersLength()):
        table = root.Buffers(i)
        if table.DataLength():
            start = table._tab.Vector(table._tab.Offset(4))
            assert start % 16 == 0
            aligned += 1
    assert aligned > 5


def test_inputs_and_outputs_have_public_names(tmp_path):
    path = tmp_path / "m.tflite"
    written(path, metadata=METADATA | {"outputs": [{"name": "maps"}, {"name": "tags"}]})
    interpreter = importlib.import_module("ai_edge_litert.interpreter")
    runner = interpreter.Interpreter(str(path)).get_signature_runner("serving_default")
    assert list(runner.get_input_details()) == ["image"]
    assert sorted(runner.get_output_details()) == ["maps", "tags"]
    x = np.zeros((1, *SIZE, 3), np.float32)
    assert runner(image=x)["maps"].shape == (1, *SIZE, 5)


def test_outputs_keep_their_order_and_any_batch_size_runs(tmp_path):
    path = tmp_path / "m.tflite"
    model, variables = written(path)
    x = images(SIZE, batch=3)
    _, run = open_litert(path, threads=1)
    for actual, expected in zip(run(x), run_jax(model, variables, x), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-5 * np.abs(expected).max())


def test_wrong_number_of_outputs(tmp_path):
    with pytest.raises(export.ExportError, match="2 outputs, but the metadata name 1: maps"):
        written(tmp_path / "m.tflite", metadata=METADATA | {"outputs": [{"name": "maps"}]})


def test_float16_kernels_take_half_the_space(tmp_path):
    full, half = tmp_path / "full.tflite", tmp_path / "half.tflite"
    model, variables = written(full)
    written(half, precision="fp16")
    assert half.stat().st_size < 0.55 * full.stat().st_size
    assert read_litert_metadata(half)["precision"] == "fp16"
    x = images(SIZE)
    for actual, expected in zip(
        export.run_file(half)(x), run_jax(model, variables, x), strict=True
    ):
        error = np.abs(actual - expected).max() / np.abs(expected).max()
        assert 1e-6 < error < 2e-3
    schema, stored = unpacked(half)
    (graph,) = stored.subgraphs
    types = [tensor.type for tensor in graph.tensors]
    assert types.count(schema.TensorType.FLOAT16) == 3  # the kernels, not the bias
