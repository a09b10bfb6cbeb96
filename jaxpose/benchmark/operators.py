"""Counts of what a runtime executes: operators of an exported file, transposes among them."""

from __future__ import annotations

import collections
import importlib
from collections.abc import Callable
from pathlib import Path

from jaxpose.export import build_graph
from jaxpose.export.litert import translate
from jaxpose.export.litert.gate import violations
from jaxpose.export.source import Source
from jaxpose.runtimes import kind, require
from jaxpose.runtimes.torch_file import load_torch

Counts = collections.Counter[str]


def count(path: Path) -> tuple[int, int] | None:
    """Number of operators and of transposes in a file; None for a format that is not counted."""
    count_kinds = _COUNTS.get(kind(path))
    if count_kinds is None:
        return None
    kinds = count_kinds(path)
    transposes = sum(n for name, n in kinds.items() if name.lower() in _TRANSPOSES)
    return kinds.total(), transposes


_TRANSPOSES = frozenset("transpose permute aten.permute.default aten.transpose.int".split())


def refused_by_gpu(source: Source) -> int:
    """Number of operators of the LiteRT program that the GPU delegate refuses."""
    graph = build_graph(source.model, source.variables, source.input_size)
    return len(violations(translate(graph)))


def _onnx(path: Path) -> Counts:
    return Counts(node.op_type for node in require("onnx").load(path).graph.node)


def _torch(path: Path) -> Counts:
    nodes = load_torch(path).graph.nodes
    return Counts(str(node.target) for node in nodes if node.op == "call_function")


def _litert(path: Path) -> Counts:
    require("ai_edge_litert")
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    kinds = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    (graph,) = model.subgraphs

    def executed(operator, name: str) -> bool:
        if name != "DEQUANTIZE":
            return True
        source = graph.tensors[operator.inputs[0]].buffer
        buffer = model.buffers[source]
        # That of constants, inside the flatbuffer or behind it, runs when a file is loaded.
        return buffer.data is None and buffer.offset <= 1

    named = [(operator, names[kinds[operator.opcodeIndex]]) for operator in graph.operators]
    return Counts(name for operator, name in named if executed(operator, name))


def _ncnn(path: Path) -> Counts:
    lines = path.read_text().splitlines()[2:]  # after the magic number and the sizes
    kinds = Counts(line.split()[0] for line in lines if line.strip())
    del kinds["Input"]
    return kinds


_COUNTS: dict[str, Callable[[Path], Counts]] = {
    "onnx": _onnx,
    "torch": _torch,
    "litert": _litert,
    "ncnn": _ncnn,
}
