"""Rewrites of the export graph: the same numbers with fewer nodes."""

from collections import Counter

import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import export, ops
from jaxpose.export.graph import Graph, Node, Tensor
from jaxpose.export.passes import optimize
from jaxpose.export.views import merge_views
from tests.helpers.networks import Function, images, initialized, norm, run_torch, weight

SIZE = (12, 16)


def lifted(m, x, channels=8, name="lift"):
    return ops.conv(x, weight(m, name, (1, 1, x.shape[-1], channels)))


def gated_norm(m, x, kernel=1):
    """A norm that no convolution before it can take, before two convolutions."""
    x = lifted(m, x)
    x = norm(m, x * ops.activation(x, kind="sigmoid"))
    window = {"padding": kernel // 2}
    left = ops.conv(x, weight(m, "left", (kernel, kernel, 8, 4)), **window)
    return left + ops.conv(x, weight(m, "right", (kernel, kernel, 8, 4)), **window)


def grouped_norm(m, x):
    x = lifted(m, x)
    x = norm(m, x * ops.activation(x, kind="sigmoid")) * 3
    return ops.grouped_conv(x, weight(m, "grouped", (1, 1, 2, 12)), groups=4)


def half_norm(m, x):
    """EL-HRNet's NConv: a map beside a convolution of it, and one norm of both."""
    a = lifted(m, x)
    b = ops.depthwise_conv(a, weight(m, "dw", (3, 3, 1, 8)), padding=1)
    return norm(m, jnp.concatenate([a, b], -1))


def summed(m, x):
    """CBAM: the same layers on two maps."""
    x, kernel = lifted(m, x), weight(m, "shared", (1, 1, 8, 4))
    low = ops.conv(ops.activation(ops.global_avg_pool(x), kind="relu"), kernel)
    return low + ops.conv(ops.activation(ops.global_max_pool(x), kind="relu"), kernel)


def doubled(m, x):
    return 2 * (lifted(m, x) + weight(m, "bias", (8,))) / 5


def pieces(m, x):
    x = ops.activation(lifted(m, x), kind="relu")
    return jnp.concatenate([x[..., 5:], x[..., :2], x[..., 2:5], x[..., :2]], -1)


def overlapping(m, x):
    x = ops.activation(lifted(m, x), kind="relu")
    return jnp.concatenate([x[..., 3:], x[..., :5]], -1)


def shuffle_before(m, x):
    """ShuffleNet's end of a stage: two dense convolutions read the shuffled map."""
    x = lifted(m, x) * ops.activation(lifted(m, x, name="gate"), kind="sigmoid")
    x = ops.channel_shuffle(x, groups=2)
    y = ops.depthwise_conv(x, weight(m, "dw", (3, 3, 1, 8)), padding=1) + weight(m, "b", (8,))
    y = ops.activation(norm(m, ops.activation(y, kind="relu")), kind="gelu")
    return lifted(m, y, 5, "end") + lifted(m, x, 5, "other")


def shuffle_after(m, x):
    x = ops.activation(norm(m, lifted(m, x)), kind="relu")
    return ops.channel_shuffle(ops.max_pool(x, window=2, stride=2), groups=4)


def shuffle_needed(m, x):
    """Between two grouped convolutions, neither can do it."""
    x = ops.grouped_conv(lifted(m, x), weight(m, "w", (1, 1, 2, 12)), groups=4)
    x = ops.channel_shuffle(x, groups=4)
    return ops.grouped_conv(x, weight(m, "w2", (1, 1, 3, 8)), groups=4)


def written_shuffle(m, x):
    """The same with reshapes and transposes, as networks of one's own may have it."""
    x = ops.grouped_conv(lifted(m, x), weight(m, "w", (1, 1, 2, 12)), groups=4)
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, 4, 3).transpose(0, 1, 2, 4, 3).reshape(b, h, w, c)
    return ops.grouped_conv(x, weight(m, "w2", (1, 1, 3, 8)), groups=4)


def means(m, x):
    x = lifted(m, x)
    gate = jnp.mean(x, (1, 2))[:, None, None] * 2
    return x * gate + jnp.mean(x, -1, keepdims=True) + jnp.sum(x, (1, 2), keepdims=True) / 7


def nothing(m, x):
    x = ops.resize(lifted(m, x), size=SIZE) + 0.0
    x = jnp.maximum(ops.adaptive_avg_pool(x, size=SIZE) / 1, -jnp.inf)
    return ops.activation(jnp.pad(x, ((0, 0),) * 4), kind="relu")


# The operators that must remain.
CASES = {
    "norm_before": (gated_norm, "conv activation binary conv conv binary"),
    "norm_before_padded": (
        lambda m, x: gated_norm(m, x, 3),
        "conv activation binary batch_norm conv conv binary",
    ),
    "norm_before_groups": (grouped_norm, "conv activation binary batch_norm conv"),
    "norm_of_parts": (half_norm, "conv conv binary concat"),
    "sum_of_one": (
        summed,
        "conv global_avg_pool activation global_max_pool activation binary conv",
    ),
    "factors": (doubled, "conv"),
    "slices": (pieces, "conv activation split concat"),
    "overlapping_slices": (overlapping, "conv activation slice slice concat"),
    "shuffle_before": (
        shuffle_before,
        "conv conv activation binary conv activation batch_norm activation conv conv binary",
    ),
    "shuffle_after": (shuffle_after, "conv activation max_pool"),
    "shuffle_needed": (shuffle_needed, "conv conv channel_shuffle conv"),
    "written_shuffle": (written_shuffle, "conv conv channel_shuffle conv"),
    "means": (
        means,
        "conv global_avg_pool reshape binary reshape binary channel_mean binary "
        "reduce binary binary",
    ),
    "nothing": (nothing, "conv activation"),
}


@pytest.mark.parametrize("case", CASES)
def test_fewer_nodes_give_the_same(case):
    pytest.importorskip("torch")
    body, remaining = CASES[case]
    model = Function(body)
    variables, x = initialized(model, SIZE), images(SIZE)
    nodes = export.build_graph(model, variables, SIZE).nodes
    assert Counter(n.op for n in nodes) == Counter(remaining.split())
    # Without folding, the graph is that of the jaxpr.
    expected = run_torch(model, variables, x, fold_bn=False)
    np.testing.assert_allclose(run_torch(model, variables, x), expected, rtol=1e-4, atol=1e-5)


def test_offsets_of_zero_are_left_out():
    model = Function(half_norm)
    variables = initialized(model, SIZE)
    variables["params"]["bn_bias"] = variables["batch_stats"]["bn_mean"] = jnp.zeros(16)
    nodes = export.build_graph(model, variables, SIZE).nodes
    assert Counter(n.op for n in nodes) == Counter(["conv", "conv", "concat"])


def chain(shape, *steps):
    """A graph of reshapes (to a shape without the batch) and transposes (a permutation)."""
    nodes, x = [], Tensor("image", (2, *shape))
    for i, (op, value) in enumerate(steps):
        new = (2, *value) if op == "reshape" else tuple(x.shape[p] for p in value)
        out = Tensor(f"t{i}", new)
        attrs = {} if op == "reshape" else {"perm": value}
        nodes.append(Node(op, (x,), (out,), attrs))
        x = out
    return Graph(Tensor("image", (2, *shape)), [("out", x)], nodes)


def run(graph, array):
    values = {graph.input.name: array}
    for node in graph.nodes:
        x = values[node.inputs[0].name]
        out = node.outputs[0]
        if node.op == "channel_shuffle":
            b, c, h, w = x.shape
            g = node.attrs["groups"]
            x = x.reshape(b, g, c // g, h, w).swapaxes(1, 2)
        x = x.transpose(node.attrs["perm"]) if node.op == "transpose" else x
        values[out.name] = x.reshape(out.shape)
    return values[graph.outputs[0][1].name]


CHAINS = {
    "swap_back": ((3, 4, 5), ("transpose", (0, 2, 3, 1)), ("transpose", (0, 3, 1, 2))),
    "one_transpose": ((3, 4, 5), ("transpose", (0, 2, 3, 1)), ("transpose", (0, 2, 1, 3))),
    "through_a_reshape": (
        (6, 4, 5),
        ("transpose", (0, 2, 3, 1)),
        ("reshape", (20, 2, 3)),
        ("transpose", (0, 2, 3, 1)),
        ("reshape", (6, 4, 5)),
    ),
    "shuffle": (
        (6, 4, 5),
        ("reshape", (2, 3, 4, 5)),
        ("transpose", (0, 2, 1, 3, 4)),
        ("reshape", (6, 4, 5)),
    ),
    "split_late": (
        (12, 4, 1),
        ("transpose", (0, 2, 1, 3)),
        ("reshape", (4, 3, 4, 1)),
        ("transpose", (0, 3, 2, 1, 4)),
        ("reshape", (2, 2, 3, 4)),
        ("transpose", (0, 2, 3, 1, 4)),
    ),
    "across": ((4, 3, 2), ("reshape", (2, 12)), ("transpose", (0, 2, 1)), ("reshape", (8, 3))),
}


@pytest.mark.parametrize("case", CHAINS)
def test_a_chain_of_views_moves_the_same_elements(case):
    before = chain(*CHAINS[case])
    after = merge_views(before)
    x = np.arange(2 * np.prod(before.input.shape[1:])).reshape(before.input.shape)
    np.testing.assert_array_equal(run(after, x), run(before, x))
    ops_after = Counter(node.op for node in after.nodes)
    assert ops_after["transpose"] + ops_after["channel_shuffle"] <= 1 or case == "across"
    assert len(after.nodes) <= len(before.nodes)
    assert ops_after["channel_shuffle"] == (case == "shuffle")
    short = ("swap_back", "one_transpose", "through_a_reshape", "shuffle")
    assert (len(optimize(before).nodes) == 1) == (case in short)


def test_a_tensor_between_two_views_with_another_reader_stays():
    graph = chain((3, 4, 5), ("transpose", (0, 2, 3, 1)), ("transpose", (0, 3, 1, 2)))
    middle = graph.nodes[0].outputs[0]
    graph = Graph(graph.input, [*graph.outputs, ("middle", middle)], graph.nodes)
    assert [node.op for node in merge_views(graph).nodes] == ["transpose", "transpose"]
