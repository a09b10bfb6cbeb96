"""The text and the bytes of ncnn files, and what cannot be written."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import export, ops
from jaxpose.export import ncnn_builder
from tests.helpers.networks import Function, images, initialized, run_jax, run_ncnn, weight

SIZE = (8, 16)


def gated(m, x):
    """Two outputs, of which the first is read inside the network too."""
    stem = ops.conv(x, weight(m, "stem", (3, 3, 3, 4)), stride=2, padding=1)
    x = ops.activation(stem + weight(m, "stem_bias", (4,)), kind="relu6")
    gate = ops.conv(ops.global_avg_pool(x), weight(m, "gate", (1, 1, 4, 4)))
    x = x * ops.activation(gate, kind="hard_sigmoid") + weight(m, "shift", (1, 1, 1, 4))
    x = ops.conv_transpose(x, weight(m, "up", (4, 4, 4, 2)))
    return x, jnp.pad(1 - x / 3, ((0, 0), (1, 2), (3, 4), (0, 0)))


# kind, name, number of inputs and outputs, their blobs, and parameters.
GATED = """\
7767517
15 17
Input image 0 1 image 0=16 1=8 2=3
Convolution activation 1 1 image activation 0=4 1=3 2=1 3=2 4=1 5=1 6=108 9=3 \
-23310=2,0.00000000e+00,6.00000000e+00 11=3 12=1 13=2 14=1
Split activation:split 1 2 activation activation:0 activation:1
Pooling global_avg_pool/pooling 1 1 activation:0 global_avg_pool/pooling 0=1 4=1
Reshape global_avg_pool 1 1 global_avg_pool/pooling global_avg_pool 0=1 1=1 2=4
Convolution conv_1 1 1 global_avg_pool conv_1 0=4 1=1 2=1 3=1 4=0 5=0 6=16 11=1 12=1 13=1 14=0
HardSigmoid activation_1 1 1 conv_1 activation_1 0=1.66666667e-01 1=5.00000000e-01
BinaryOp binary_1 2 1 activation:1 activation_1 binary_1 0=2
MemoryData shift 0 1 shift 0=1 1=1 2=4
BinaryOp binary_2 2 1 binary_1 shift binary_2 0=0
Deconvolution conv_transpose 1 1 binary_2 conv_transpose 0=2 1=4 2=1 3=2 4=1 5=0 6=128 \
11=4 12=1 13=2 14=1
Split conv_transpose:split 1 2 conv_transpose conv_transpose:0 heatmaps
BinaryOp binary_3 1 1 conv_transpose:0 binary_3 0=3 1=1 2=3.00000000e+00
BinaryOp binary_4 1 1 binary_3 binary_4 0=7 1=1 2=1.00000000e+00
Padding heatmaps_1 1 1 binary_4 heatmaps_1 0=1 1=2 2=3 3=4 4=0 5=0.00000000e+00 7=0 8=0
"""


def built(body, size=SIZE, precision="fp32"):
    model = Function(body)
    variables = initialized(model, size)
    return ncnn_builder.build(export.build_graph(model, variables, size), precision), variables


def test_the_layers_of_a_small_network():
    (text, _), _ = built(gated)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "\n".join(lines) + "\n" == GATED


def test_the_bytes_of_its_weights():
    (_, data), variables = built(gated)
    params = variables["params"]

    def kernel(array):
        return np.zeros(1, "<u4").tobytes() + np.ascontiguousarray(array, "<f4").tobytes()

    up = params["up"][::-1, ::-1]  # of a convolution of the dilated input: mirrored
    expected = (
        kernel(params["stem"].transpose(3, 2, 0, 1)),  # OIHW
        params["stem_bias"].tobytes(),
        kernel(params["gate"].transpose(3, 2, 0, 1)),
        params["shift"].tobytes(),
        kernel(up.transpose(3, 2, 0, 1)),
    )
    assert data == b"".join(expected)


def test_half_precision_halves_the_kernels():
    (text, single), variables = built(gated)
    (same, half), _ = built(gated, precision="fp16")
    assert same == text
    size = [variables["params"][name].size for name in ("stem", "gate", "up")]
    assert len(single) - len(half) == 2 * sum(size)
    start = np.frombuffer(half, "<u4", 1)[0], np.frombuffer(half, "<f2", 108, 4)
    stem = variables["params"]["stem"].transpose(3, 2, 0, 1)
    assert start[0] == 0x01306B47
    np.testing.assert_array_equal(start[1], stem.astype(np.float16).ravel())


def test_kernels_of_odd_length_are_padded(tmp_path):
    def body(m, x):
        return ops.conv(ops.conv(x, weight(m, "a", (3, 3, 3, 1))), weight(m, "b", (1, 1, 1, 2)))

    (_, half), _ = built(body, precision="fp16")
    assert len(half) == 4 + 2 * 27 + 2 + 4 + 2 * 2
    pytest.importorskip("ncnn")
    model = Function(body)
    variables, x = initialized(model, SIZE), images(SIZE)
    got = run_ncnn(model, variables, x, tmp_path / "m.param", precision="fp16")
    np.testing.assert_allclose(got, run_jax(model, variables, x), rtol=0, atol=1e-2)


def test_outputs_keep_their_order_and_names(tmp_path):
    pytest.importorskip("ncnn")
    model = Function(gated)
    variables, x = initialized(model, SIZE), images(SIZE, batch=3)
    expected = run_jax(model, variables, x)
    for names in ((), ("tags", "maps")):
        metadata = {"jaxpose": "test"}
        if names:
            metadata["outputs"] = [{"name": name} for name in names]
        got = run_ncnn(model, variables, x, tmp_path / "m.param", metadata=metadata)
        for ours, theirs in zip(got, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_results_that_nothing_reads(tmp_path):
    pytest.importorskip("ncnn")

    def body(m, x):
        left, _, right = jnp.split(x, 3, axis=-1)
        return left * right + x[..., :1] * x[..., :1]

    model = Function(body)
    variables, x = initialized(model, SIZE), images(SIZE)
    got = run_ncnn(model, variables, x, tmp_path / "m.param")
    np.testing.assert_allclose(got, run_jax(model, variables, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "body, message",
    [
        (lambda m, x: x[..., ::2], "slice with steps"),
        (lambda m, x: x.reshape(len(x), 2, 2, 2, 4, 4, 3).max((2, 4)), "rank 7: ncnn has"),
        (lambda m, x: ops.conv(x, 1e6 * weight(m, "w", (1, 1, 3, 3))), "range of float16"),
    ],
)
def test_what_ncnn_does_not_have_is_named_with_its_module(body, message):
    with pytest.raises(export.ExportError, match=f"^head: .*{message}") as error:
        built(lambda m, x: Function(body, name="head")(x), precision="fp16")
    assert "\n" not in str(error.value)
