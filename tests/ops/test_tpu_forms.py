"""The forms for TPU, run on CPU, against the native ones."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import ops
from jaxpose.ops import blocks, named, norm

CASES = [  # operator, kernel, stride, padding, channels
    ("depthwise_conv", (3, 3), 1, 1, 16),
    ("depthwise_conv", (3, 3), 2, 1, 20),
    ("depthwise_conv", (3, 3), 1, 1, 33),
    ("depthwise_conv", (5, 5), 2, 2, 24),
    ("depthwise_conv", (7, 3), (2, 1), (3, 0), 8),
    ("depthwise_conv_transpose", (4, 4), 2, 1, 16),
    ("depthwise_conv_transpose", (3, 4), (1, 2), (1, 1), 6),
]


@pytest.fixture
def as_on_tpu(monkeypatch):
    """Lets operators run their form for TPU."""
    monkeypatch.setattr(named.lax, "platform_dependent", lambda *args, tpu, **_: tpu(*args))
    named._jitted.cache_clear()  # operators are traced once
    yield
    named._jitted.cache_clear()


def _image(batch, channels, dtype=jnp.bfloat16):
    return jax.random.normal(jax.random.key(0), (batch, 9, 6, channels)).astype(dtype)


def _groups(op, x, w):
    """The group counts of the convolutions in an operator."""
    found = re.findall(r"feature_group_count=(\d+)", str(jax.make_jaxpr(op)(x, w)))
    return [int(count) for count in found]


def _results(op, x, w):
    """Value, and gradients for integer cotangents, which bfloat16 holds."""

    def weighted(x, w):
        y = op(x, w)
        weights = jnp.arange(y.size, dtype=jnp.float32).reshape(y.shape) % 7 - 3
        return jnp.sum(y.astype(jnp.float32) * weights), y

    (_, y), gradients = jax.jit(jax.value_and_grad(weighted, (0, 1), has_aux=True))(x, w)
    return (y, *gradients)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_depthwise_convolutions_in_blocks_equal_the_native_ones(as_on_tpu, case):
    name, kernel, stride, padding, channels = case
    x = _image(blocks.LANES, channels)
    # Of these values bfloat16 holds all products, and float32 all sums: the results are equal.
    x = jnp.round(x * 4)
    w = jnp.round(jax.random.normal(jax.random.key(1), (*kernel, 1, channels)) * 4)
    op = functools.partial(getattr(ops, name), stride=stride, padding=padding)
    with ops.implementation("lax"):
        expected = _results(op, x, w)
    with ops.implementation("auto"):
        assert _groups(op, x, w) == [channels // blocks.block_size(x, kernel)]
        actual = _results(op, x, w)
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape and a.dtype == e.dtype
        np.testing.assert_array_equal(a.astype(jnp.float32), e.astype(jnp.float32))


@pytest.mark.parametrize(
    "kernel,inputs,outputs,groups,left",
    [((1, 1), 33, 33, 3, 1), ((3, 3), 12, 6, 3, 1), ((3, 3), 192, 192, 6, 2)],
)
def test_merged_groups_equal_the_native_ones(as_on_tpu, kernel, inputs, outputs, groups, left):
    x = jnp.round(_image(2, inputs) * 4)
    w = jax.random.normal(jax.random.key(1), (*kernel, inputs // groups, outputs))
    w = jnp.round(w * 4)
    op = functools.partial(ops.grouped_conv, groups=groups, stride=2, padding=kernel[0] // 2)
    with ops.implementation("lax"):
        expected = _results(op, x, w)
    with ops.implementation("auto"):
        assert _groups(op, x, w) == [left]
        actual = _results(op, x, w)
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape and a.dtype == e.dtype
        np.testing.assert_array_equal(a.astype(jnp.float32), e.astype(jnp.float32))


@pytest.mark.parametrize(
    "groups,channels,merged", [(3, 33, 3), (2, 256, 1), (6, 192, 3), (1, 8, 1)]
)
def test_groups_merged(groups, channels, merged):
    assert blocks.merged_groups(jnp.zeros((1, 1, channels // groups, channels)), groups) == merged


@pytest.mark.parametrize(
    "batch,channels,dtype,kernel,size",
    [
        (128, 72, jnp.bfloat16, 5, 8),
        (128, 20, jnp.bfloat16, 3, 20),
        (128, 33, jnp.bfloat16, 3, 33),
        (128, 71, jnp.bfloat16, 3, 71),
        (128, 73, jnp.bfloat16, 3, None),
        (32, 33, jnp.bfloat16, 3, None),
        (256, 72, jnp.bfloat16, 7, 8),
        (128, 72, jnp.bfloat16, 9, None),
        (128, 248, jnp.bfloat16, 5, 8),
        (128, 256, jnp.bfloat16, 5, None),
        (128, 72, jnp.float32, 3, None),
        (32, 72, jnp.bfloat16, 3, None),
        (32, 16, jnp.bfloat16, 7, 8),
        (8, 16, jnp.bfloat16, 7, None),
    ],
)
def test_channels_per_block(batch, channels, dtype, kernel, size):
    assert blocks.block_size(_image(batch, channels, dtype), (kernel, kernel)) == size


def test_float32_keeps_the_native_form(as_on_tpu):
    x, w = _image(blocks.LANES, 16, jnp.float32), jnp.ones((3, 3, 1, 16))
    with ops.implementation("auto"):
        assert _groups(ops.depthwise_conv, x, w) == [16]


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_moments_around_a_given_shift(as_on_tpu, offset):
    x = _image(16, 4) + jnp.bfloat16(offset)
    arguments = x, jnp.full(4, 2.0), jnp.ones(4)
    exact = np.asarray(x, np.float64)

    def loss(x, *others):
        y, mean, var = ops.batch_norm_train(x, *others)
        return jnp.sum(jnp.sin(y.astype(jnp.float32))) + jnp.sum(mean * var)

    with ops.implementation("auto"):
        _, mean, var = ops.batch_norm_train(*arguments, jnp.full(4, offset + 0.1))
        gradients = jax.grad(loss, (0, 1, 2, 3))(*arguments, jnp.full(4, offset + 0.1))
    np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(var, exact.var((0, 1, 2)), rtol=1e-4)
    with ops.implementation("lax"):
        expected = jax.grad(loss, (0, 1, 2))(*arguments)
    for a, e in zip(gradients, expected, strict=False):
        a, e = a.astype(jnp.float32), e.astype(jnp.float32)
        np.testing.assert_allclose(a, e, atol=1e-2 * float(jnp.abs(e).max()))
    np.testing.assert_array_equal(gradients[3], 0)


def test_only_bfloat16_moments_use_the_shift(as_on_tpu):
    for dtype, uses in ((jnp.bfloat16, True), (jnp.float32, False)):
        function = functools.partial(norm._moments, impl="auto")
        traced = jax.make_jaxpr(function)(_image(2, 4, dtype), jnp.zeros(4))
        assert ("stop_gradient" not in str(traced)) == uses


@pytest.mark.parametrize(
    ("op", "statics"),
    [
        (ops.adaptive_avg_pool, {"size": (3, 2)}),
        (ops.adaptive_avg_pool, {"size": (1, 1)}),
        (ops.resize, {"size": (18, 24), "method": "nearest"}),
        (ops.resize, {"size": (9, 18), "method": "nearest"}),
        (ops.channel_shuffle, {"groups": 3}),
    ],
)
def test_linear_operators_keep_nothing_and_equal_the_native_ones(as_on_tpu, op, statics):
    x = _image(2, 6, jnp.float32)
    results = {}
    for implementation in ("auto", "lax"):
        with ops.implementation(implementation):
            y, vjp = jax.vjp(lambda x: op(x, **statics), x)
            results[implementation] = y, *vjp(jnp.cos(y))
            assert not [array for array in jax.tree.leaves(vjp) if array.size], "residuals"
    for a, e in zip(*results.values(), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("op", [ops.adaptive_avg_pool, ops.resize])
def test_only_tpus_pool_and_enlarge_by_sums_over_windows(op):
    statics = {"method": "nearest", "size": (18, 24)} if op is ops.resize else {"size": (3, 2)}

    def sums(platform):
        gradient = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(op(x, **statics)))))
        lowered = gradient.trace(_image(2, 6)).lower(lowering_platforms=(platform,))
        return lowered.as_text().count("reduce_window")

    assert sums("tpu") > 0 == sums("cpu")
