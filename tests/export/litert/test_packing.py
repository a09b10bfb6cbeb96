"""Flatbuffers that store equal parts once: smaller, and with the same contents."""

import importlib

import jax
import numpy as np
import pytest

from jaxpose import export, ops
from jaxpose.export import litert
from jaxpose.export.litert import packing
from jaxpose.runtimes.litert_file import open_litert
from tests.export.litert.test_schema import SIZE, written
from tests.helpers.networks import Function, images, initialized, weight


def values(item):
    """An object of the schema as nested dictionaries and lists."""
    if hasattr(item, "__dict__"):
        return {key: values(value) for key, value in vars(item).items()}
    if isinstance(item, (list, np.ndarray)):
        return [values(value) for value in item]
    return item


def file(tmp_path, precision):
    path = tmp_path / f"{precision}.tflite"
    written(path, precision=precision)
    return path


def alike(m, x):
    """Three convolutions, two of them without a ReLU."""
    x = jax.nn.relu(ops.conv(x, weight(m, "first", (3, 3, 3, 8)), padding=1))
    x = ops.conv(x, weight(m, "second", (3, 3, 8, 8)), padding=1)
    return ops.conv(x, weight(m, "third", (3, 3, 8, 8)), padding=1)


def test_packing_keeps_the_contents(tmp_path):
    content = file(tmp_path, "fp32").read_bytes()
    expected = values(packing.read(content))
    again = packing.pack(packing.read(content))
    assert again == content
    assert values(packing.read(again)) == expected


def test_equal_shapes_and_options_are_stored_once():
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    model = Function(alike)
    content = litert.build(export.build_graph(model, initialized(model, SIZE), SIZE), {})
    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    shapes = []  # with their places in the file
    for i in range(graph.TensorsLength()):
        table = graph.Tensors(i)
        place = table._tab.Vector(table._tab.Offset(4))
        shapes.append((tuple(table.ShapeAsNumpy()), place))
    assert len({shape for shape, _ in shapes}) == len(set(shapes)) < len(shapes)
    operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
    first, second, third = (operator.BuiltinOptions().Pos for operator in operators)
    assert first != second == third


@pytest.mark.parametrize("precision", ["fp16", "int8-weight-only", "int8-dynamic"])
def test_small_files_have_the_names_of_inputs_and_outputs_only(precision, tmp_path):
    if precision != "fp16":
        pytest.importorskip("ai_edge_quantizer")
    path = file(tmp_path, precision)
    (graph,) = packing.read(path.read_bytes()).subgraphs
    public = {*graph.inputs, *graph.outputs}
    for i, tensor in enumerate(graph.tensors):
        assert (tensor.name is not None) == (i in public)
    assert len(public) == 3
    x = images(SIZE)
    named, unnamed = (open_litert(p)[1](x) for p in (file(tmp_path, "fp32"), path))
    for expected, actual in zip(named, unnamed, strict=True):
        assert np.abs(actual - expected).max() < 0.05 * np.abs(expected).max()


def test_zero_points_of_equal_length_are_stored_once(tmp_path):
    pytest.importorskip("ai_edge_quantizer")
    content = file(tmp_path, "int8-weight-only").read_bytes()
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    places: dict[int, list[int]] = {}
    for i in range(graph.TensorsLength()):
        quantization = graph.Tensors(i).Quantization()
        if quantization is not None:
            table = quantization._tab
            count = quantization.ZeroPointLength()
            places.setdefault(count, []).append(table.Vector(table.Offset(10)))
    assert len(places[64]) == 2 and len(set(places[64])) == 1
