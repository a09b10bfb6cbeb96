"""Values and gradients of the convolution operators against XLA's convolution."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import ops
from jaxpose.ops import taps

BATCH, HEIGHT, WIDTH = 2, 9, 6

# operator, kernel, stride, padding, input channels, output channels, extra static arguments
CASES = [
    ("conv", 1, 1, 0, 5, 7, {}),
    ("conv", 1, 2, 0, 5, 7, {}),
    ("conv", 3, 1, 1, 5, 7, {}),
    ("conv", 3, 2, 1, 3, 8, {}),
    ("conv", 7, 2, 3, 3, 4, {}),
    ("conv", (3, 5), (2, 1), (1, 2), 3, 4, {}),
    ("conv", 7, 1, 3, 2, 1, {}),
    ("conv", 3, 4, 1, 3, 4, {}),
    ("conv", 3, (3, 8), 0, 3, 4, {}),
    ("depthwise_conv", 3, 1, 1, 6, 6, {}),
    ("depthwise_conv", 3, 2, 1, 6, 6, {}),
    ("depthwise_conv", 5, 1, 2, 6, 6, {}),
    ("depthwise_conv", 5, 2, 2, 6, 6, {}),
    ("depthwise_conv", 7, 1, 3, 6, 6, {}),
    ("depthwise_conv", 7, 2, 3, 6, 6, {}),
    ("depthwise_conv", (5, 1), (2, 3), (1, 0), 6, 6, {}),
    ("depthwise_conv", 1, 2, 0, 6, 6, {}),
    ("grouped_conv", 1, 1, 0, 8, 8, {"groups": 4}),
    ("grouped_conv", 3, 1, 1, 8, 4, {"groups": 4}),
    ("grouped_conv", 3, 1, 1, 8, 8, {"groups": 2}),
    ("grouped_conv", 5, 2, 2, 6, 6, {"groups": 3}),
    ("conv_transpose", 4, 2, 1, 5, 6, {}),
    ("conv_transpose", 2, 2, 0, 5, 6, {}),
    ("conv_transpose", 3, 2, 1, 5, 6, {}),
    ("conv_transpose", 3, 1, 1, 5, 6, {}),
    ("depthwise_conv_transpose", 4, 2, 1, 6, 6, {}),
    ("depthwise_conv_transpose", 2, 2, 0, 6, 6, {}),
    ("depthwise_conv_transpose", 3, 2, 1, 6, 6, {}),
    ("depthwise_conv_transpose", 3, 1, 1, 6, 6, {}),
    ("depthwise_conv_transpose", (4, 3), (2, 1), (1, 1), 6, 6, {}),
    ("conv", 3, 1, 2, 5, 7, {"dilation": 2}),
    ("depthwise_conv", 3, 1, 2, 6, 6, {"dilation": 2}),
    ("depthwise_conv", (3, 5), (2, 1), (2, 4), 6, 6, {"dilation": (3, 2)}),
]


def _name(case):
    return "-".join(str(value) for value in case[:4])


def _pair(value):
    return value if isinstance(value, tuple) else (value, value)


def _arguments(case, dtype=jnp.float32, size=(HEIGHT, WIDTH)):
    name, kernel, stride, padding, channels, outputs, extra = case
    if name.startswith("depthwise"):
        shape = (*_pair(kernel), 1, channels)
    else:
        shape = (*_pair(kernel), channels // extra.get("groups", 1), outputs)
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(keys[0], (BATCH, *size, channels)).astype(dtype)
    w = jax.random.normal(keys[1], shape)
    return getattr(ops, name), x, w, {"stride": stride, "padding": padding, **extra}


def _value_and_gradients(op, x, w, statics, implementation):
    with ops.implementation(implementation):

        def weighted(x, w):
            y = op(x, w, **statics)
            weights = jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)
            return jnp.sum(y.astype(jnp.float32) * weights), y

        (_, y), grads = jax.jit(jax.value_and_grad(weighted, (0, 1), has_aux=True))(x, w)
    return (y, *grads)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=_name)
def test_equals_the_native_convolution(case):
    op, x, w, statics = _arguments(case)
    expected = _value_and_gradients(op, x, w, statics, "lax")
    # The last case of each operator uses the automatic choice, the others choose the form.
    last = case is [c for c in CASES if c[0] == case[0]][-1]
    actual = _value_and_gradients(op, x, w, statics, "auto" if last else "fast")
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape and a.dtype == e.dtype
        np.testing.assert_allclose(a, e, rtol=2e-5, atol=2e-5 * float(jnp.abs(e).max()))


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [CASES[i] for i in (0, 3, 8, 15, 19, 23)],
    ids=_name,
)
def test_bfloat16_is_the_rounded_float32_result(case):
    op, x, w, statics = _arguments(case, jnp.bfloat16)
    w = w.astype(jnp.bfloat16).astype(jnp.float32)
    exact = _value_and_gradients(op, x.astype(jnp.float32), w, statics, "lax")
    for implementation in ("fast", "lax"):
        actual = _value_and_gradients(op, x, w, statics, implementation)
        assert [a.dtype for a in actual] == [jnp.bfloat16, jnp.bfloat16, jnp.float32]
        for a, e in zip(actual, exact, strict=True):
            tolerance = 2e-2 * float(jnp.abs(e).max())
            np.testing.assert_allclose(a.astype(jnp.float32), e, atol=tolerance)


@pytest.mark.parametrize("name", ["depthwise_conv", "depthwise_conv_transpose"])
def test_automatic_choice_has_no_native_convolution_on_cpu_and_has_one_elsewhere(name):
    case = next(c for c in CASES if c[0] == name)
    op, x, w, statics = _arguments(case)

    def loss(x, w):
        return jnp.sum(jnp.sin(op(x, w, **statics)))

    with ops.implementation("auto"):
        traced = jax.jit(jax.grad(loss, (0, 1))).trace(x, w)
    on_cpu = traced.lower(lowering_platforms=("cpu",)).as_text()
    on_gpu = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "convolution" not in on_cpu
    assert "stablehlo.convolution" in on_gpu


@pytest.mark.parametrize("name", ["conv", "conv_transpose"])
def test_strided_convolutions_have_no_inserted_zeros_on_cpu(name):
    case = next(c for c in CASES if c[0] == name and c[1:3] in {(3, 2), (4, 2)})
    op, x, w, statics = _arguments(case)
    with ops.implementation("auto"):
        gradients = jax.jit(jax.grad(lambda x, w: jnp.sum(jnp.sin(op(x, w, **statics))), (0, 1)))
        traced = gradients.trace(x, w)
    inserted = re.compile(r"lhs_dilate = \[2, 2\]")
    assert not inserted.search(traced.lower(lowering_platforms=("cpu",)).as_text())
    assert inserted.search(traced.lower(lowering_platforms=("cuda",)).as_text())


# kernel, stride, padding, dilation, image, input channels, output channels; the strips of the third
# are two images, those of the others some rows of one
STRIPS = [
    (3, 1, 1, 1, (128, 96), 32, 32),
    (4, 2, 1, 1, (256, 256), 8, 16),
    (3, 2, 1, 1, (64, 96), 16, 24),
    (3, 1, 2, 2, (64, 192), 48, 48),
]


@pytest.mark.parametrize("case", STRIPS, ids=str)
def test_gradient_of_the_kernel_in_strips_equals_float64(case):
    kernel, stride, padding, dilation, size, channels, outputs = case
    window = {"stride": (stride,) * 2, "padding": (padding,) * 2, "dilation": (dilation,) * 2}
    generator = np.random.default_rng(0)
    x = generator.standard_normal((6, *size, channels))
    after = taps.output_size(
        size, taps.reach((kernel,) * 2, window["dilation"]), window["stride"], window["padding"]
    )
    g = generator.standard_normal((6, *after, outputs))
    correlate = functools.partial(taps.correlate, kernel=(kernel,) * 2, dense=True, **window)
    assert "while" in jax.jit(correlate).lower(x, g).as_text()
    actual = correlate(jnp.float32(x), jnp.float32(g))
    tolerance = 1e-5 * np.sqrt(g.size / outputs)  # of a sum of so many products of size 1
    padded = np.pad(x, [(0, 0), (padding,) * 2, (padding,) * 2, (0, 0)])
    for i, j in np.ndindex(kernel, kernel):
        top, left = i * dilation, j * dilation
        rows, columns = (
            slice(a, a + (n - 1) * stride + 1, stride)
            for a, n in zip((top, left), after, strict=True)
        )
        expected = np.tensordot(padded[:, rows, columns], g, ((0, 1, 2), (0, 1, 2)))
        np.testing.assert_allclose(actual[i, j], expected, rtol=0, atol=tolerance)


def test_convolutions_in_loops_keep_the_axis_order_that_is_fast_on_cpu():
    def blocks(x, kernels):
        x, _ = jax.lax.scan(lambda x, w: (ops.conv(x, w, padding=1), None), x, kernels)
        return jnp.sum(x**2)

    x, kernels = jnp.ones((2, 8, 6, 4)), jnp.ones((3, 3, 3, 4, 4))
    text = jax.jit(jax.grad(blocks, (0, 1))).lower(x, kernels).compile().as_text()
    orders = set(re.findall(r"convolution\(.*dim_labels=([^,]*)", text))
    assert orders == {"b01f_01io->b01f"}


def test_kernel_that_does_not_fit_is_rejected():
    x = jnp.zeros((1, 4, 4, 6))
    with pytest.raises(ValueError, match="6 input channels"):
        ops.conv(x, jnp.zeros((1, 1, 5, 3)))
    with pytest.raises(ValueError, match="6 input channels"):
        ops.depthwise_conv(x, jnp.zeros((3, 3, 1, 5)), padding=1)
    with pytest.raises(ValueError, match="4 groups"):
        ops.grouped_conv(x, jnp.zeros((1, 1, 2, 8)), groups=4)


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if "transpose" in c[0] or c[0] == "grouped_conv"],
    ids=_name,
)
def test_orientation_agrees_with_pytorch(case):
    torch = pytest.importorskip("torch")
    op, x, w, statics = _arguments(case)
    image = torch.tensor(np.asarray(x)).permute(0, 3, 1, 2)
    groups = statics.get("groups", x.shape[-1] if case[0].startswith("depthwise") else 1)
    stride, padding = statics["stride"], statics["padding"]
    if "transpose" in case[0]:
        kernel = torch.tensor(np.asarray(w)[::-1, ::-1].copy())
        kernel = kernel.permute(3, 2, 0, 1) if groups > 1 else kernel.permute(2, 3, 0, 1)
        expected = torch.nn.functional.conv_transpose2d(
            image, kernel, None, stride, padding, groups=groups
        )
    else:
        kernel = torch.tensor(np.asarray(w)).permute(3, 2, 0, 1)
        expected = torch.nn.functional.conv2d(image, kernel, None, stride, padding, groups=groups)
    actual = op(x, w, **statics)
    np.testing.assert_allclose(actual, expected.permute(0, 2, 3, 1).numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("cached", [1, 120, 400])
@pytest.mark.parametrize("stride", [1, 2])
def test_strips_do_not_change_the_kernel_gradient(monkeypatch, cached, stride):
    x = jax.random.normal(jax.random.key(0), (4, 9, 6, 6))
    g = jax.random.normal(jax.random.key(1), (4, *(-(-n // stride) for n in (9, 6)), 6))
    arguments = (x, g, (5, 3), (stride, stride), (2, 1), False)
    expected = taps.correlate(*arguments)
    monkeypatch.setattr(taps, "CACHED", cached)
    np.testing.assert_allclose(taps.correlate(*arguments), expected, rtol=1e-5, atol=1e-5)
