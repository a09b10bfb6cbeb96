"""Every operator of the export graph: JAX against LiteRT, and what the GPU delegate takes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import export, ops
from jaxpose.export.litert import translate
from jaxpose.export.litert.gate import violations
from tests.export.test_walker import CASES, SIZE, lifted
from tests.helpers.networks import Function, images, initialized, run_jax, weight

# `unary` has an `erf`, for which LiteRT has no operator; the GPU delegate takes no `argmax`.
WITHOUT = {"unary", "highest"}


def window(kind, kernel, **options):
    """A depthwise convolution of 8 channels or its transpose."""
    return lambda m, x: getattr(ops, kind)(lifted(m, x), weight(m, "w", (*kernel, 1, 8)), **options)


def relu_of_a_view(m, x):
    """The reshaped map and the map itself are both read: the ReLU must not change the map."""
    y = lifted(m, x)
    return jax.nn.relu(y.reshape(y.shape).transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3) + y


MORE = {
    "depthwise_7x7": window("depthwise_conv", (7, 7), stride=1, padding=3),
    "depthwise_7x7_strided": window("depthwise_conv", (7, 7), stride=2, padding=3),
    "depthwise_7x7_unpadded": window("depthwise_conv", (7, 7), stride=1, padding=0),
    "depthwise_9x3": window("depthwise_conv", (9, 3), stride=1, padding=(4, 1)),
    "depthwise_9x9": window("depthwise_conv", (9, 9), stride=1, padding=4),
    "depthwise_dilated": window("depthwise_conv", (3, 3), stride=1, padding=2, dilation=2),
    "transposed_2x2": window("depthwise_conv_transpose", (2, 2), stride=2, padding=0),
    "transposed_3x3": window("depthwise_conv_transpose", (3, 3), stride=2, padding=1),
    "transposed_6x6": window("depthwise_conv_transpose", (6, 6), stride=2, padding=2),
    "transposed_by_3": window("depthwise_conv_transpose", (5, 5), stride=3, padding=1),
    "max_pool_after_relu": lambda m, x: ops.max_pool(
        jax.nn.relu(lifted(m, x)), window=3, stride=2, padding=1
    ),
    "avg_pool_same": lambda m, x: ops.avg_pool(
        x, window=3, stride=1, padding=1, count_include_pad=False
    ),
    "shuffled_twice": lambda m, x: ops.channel_shuffle(
        jax.nn.relu(ops.channel_shuffle(lifted(m, x), groups=2)), groups=4
    ),
    "relu_of_a_view": relu_of_a_view,
    "small_first": lambda m, x: ops.global_avg_pool(x) * x - ops.channel_mean(x) + x,
    "both_small": lambda m, x: ops.global_avg_pool(x) + ops.channel_mean(x),
    "outer_product": lambda m, x: ops.global_avg_pool(x) * ops.channel_mean(x),
    "larger_constant": lambda m, x: ops.global_avg_pool(x) + weight(m, "map", (1, 12, 16, 3)),
}


def built(case):
    model = Function((CASES | MORE)[case])
    variables = initialized(model, SIZE)
    return model, variables, export.build_graph(model, variables, SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("case", [name for name in CASES | MORE if name not in WITHOUT])
def test_litert_gives_what_jax_gives(case, tmp_path):
    pytest.importorskip("ai_edge_litert")
    model, variables, graph = built(case)
    assert violations(translate(graph)) == []
    path = tmp_path / "m.tflite"
    export.to_litert(model, variables, SIZE, path, metadata={"jaxpose": "test"})
    x = images(SIZE)
    actual, expected = export.run_file(path)(x), np.asarray(run_jax(model, variables, x))
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("case, operator", [("unary", "erf"), ("highest", "argmax")])
def test_an_operator_that_litert_lacks_is_refused(case, operator):
    with pytest.raises(export.ExportError, match=f"'{operator}' cannot be exported to LiteRT"):
        translate(built(case)[2])


def kinds(case):
    return [operator.kind for operator in translate(built(case)[2]).operators]


def test_a_large_depthwise_kernel_is_a_sum():
    convolutions = ["DEPTHWISE_CONV_2D"] * 2 + ["ADD"] + ["DEPTHWISE_CONV_2D"] + ["ADD"]
    assert kinds("depthwise_7x7") == ["CONV_2D", *convolutions]
    assert kinds("depthwise") == ["CONV_2D", "PAD", "DEPTHWISE_CONV_2D"]


def test_a_depthwise_transposed_convolution_is_four_ordinary_ones():
    expected = ["CONV_2D", *["DEPTHWISE_CONV_2D"] * 4, "CONCATENATION", "DEPTH_TO_SPACE"]
    assert kinds("depthwise_transposed") == expected


def test_activations_are_fused():
    def body(m, x):
        x = jax.nn.relu(lifted(m, x))
        return ops.activation(x + ops.channel_mean(x), kind="relu6")

    model = Function(body)
    program = translate(export.build_graph(model, initialized(model, SIZE), SIZE))
    fused = [(op.kind, op.options.get("fusedActivationFunction")) for op in program.operators]
    assert fused == [("CONV_2D", "RELU"), ("MEAN", None), ("ADD", "RELU6")]


def test_a_concatenation_fuses_nothing():
    """The CPU's kernel ignores an activation of CONCATENATION."""
    model = Function(lambda m, x: jax.nn.relu(jnp.concatenate([x, -x], axis=-1)))
    program = translate(export.build_graph(model, initialized(model, SIZE), SIZE))
    assert [op.kind for op in program.operators] == ["NEG", "CONCATENATION", "RELU"]


def test_max_pools_of_positive_values_pad_with_zeros():
    assert "PADV2" in kinds("max_pool") and "PADV2" not in kinds("max_pool_after_relu")
