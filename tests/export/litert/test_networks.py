"""The models of the zoo as LiteRT files: the same numbers, and what the GPU delegate takes."""

from collections import Counter

import jax
import numpy as np
import pytest

import jaxpose
from jaxpose import export, ops
from jaxpose.export.litert import check_gpu, translate
from tests.helpers.networks import images, initialized, run_jax
from tests.helpers.zoo import every

SIZE = (64, 64)


@pytest.mark.parametrize("name", every(jaxpose.list_models()))
def test_litert_file(name, tmp_path):
    pytest.importorskip("ai_edge_litert")
    model = jaxpose.create_model(name)
    variables, x = initialized(model, SIZE), images(SIZE)
    with ops.implementation("lax"):  # compiles sooner; what is exported is the same
        expected = jax.tree.leaves(run_jax(model, variables, x))
    path = tmp_path / "m.tflite"
    export.to_litert(model, variables, SIZE, path, metadata={"jaxpose": "test"})
    actual = jax.tree.leaves(export.run_file(path)(x))
    for ours, theirs in zip(actual, expected, strict=True):
        theirs = np.asarray(theirs)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


def program(name, size):
    model = jaxpose.create_model(name)
    return export.build_graph(model, initialized(model, size), size)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, most", [("hwl_mobilenetv3", 170), ("lite_hrnet_18", 1400), ("wlitepose_xs", 670)]
)
def test_few_operators_and_no_transposes_but_those_of_shuffles(name, most):
    graph = program(name, SIZE)
    translated = translate(graph)
    check_gpu(translated)
    count = Counter(operator.kind for operator in translated.operators)
    shuffles = sum(node.op == "channel_shuffle" for node in graph.nodes)
    assert count.total() <= most
    assert count["TRANSPOSE"] == shuffles
