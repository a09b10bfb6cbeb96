"""The models of the zoo as LiteRT files: the same numbers, and what the GPU delegate takes."""

import importlib
from collections import Counter

import jax
import numpy as np
import pytest

import jaxpose
from jaxpose import export, ops
from jaxpose.export import litert
from jaxpose.export.litert.gate import VERSIONS
from tests.helpers.networks import images, initialized, run_jax
from tests.helpers.zoo import every

SIZE = (64, 64)
MOST_OPERATORS = {"hwl_mobilenetv3": 170, "lite_hrnet_18": 1400, "wlitepose_xs": 670}


@pytest.mark.parametrize("name", every(jaxpose.list_models()))
def test_litert_file(name, tmp_path):
    pytest.importorskip("ai_edge_litert")
    model = jaxpose.create_model(name)
    variables, x = initialized(model, SIZE), images(SIZE)
    with ops.implementation("lax"):  # compiles sooner; what is exported is the same
        expected = jax.tree.leaves(run_jax(model, variables, x))
    graph = export.build_graph(model, variables, SIZE)
    path = tmp_path / "m.tflite"
    path.write_bytes(litert.build(graph, {"jaxpose": "test", "layout": "NHWC"}))
    actual = jax.tree.leaves(export.run_file(path)(x))
    for ours, theirs in zip(actual, expected, strict=True):
        theirs = np.asarray(theirs)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())

    kinds, ranks = contents(path)
    assert set(kinds) <= set(VERSIONS)
    assert max(ranks) <= 4
    nodes = Counter(node.op for node in graph.nodes)
    # Dite-HRNet mixes kernels and compares positions, which takes transposes of its own.
    own = nodes["transpose"] if name.startswith("dite_") else 0
    if name.startswith("rtmpose_"):  # maps to tokens, and the keys of the attention
        own = 1 + nodes["transpose"]
    assert kinds["TRANSPOSE"] <= nodes["channel_shuffle"] + own
    assert kinds.total() <= MOST_OPERATORS.get(name, kinds.total())


def contents(path):
    """(number of operators of each kind, ranks of the tensors) of a LiteRT file."""
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    (graph,) = model.subgraphs
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()}
    kinds = [names[code.builtinCode] for code in model.operatorCodes]
    ranks = {0 if tensor.shape is None else len(tensor.shape) for tensor in graph.tensors}
    return Counter(kinds[operator.opcodeIndex] for operator in graph.operators), ranks
