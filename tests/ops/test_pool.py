"""Pooling, resizing, activations and channel operators, against PyTorch and against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import ops
from jaxpose.ops import pointwise

IMAGE = jax.random.normal(jax.random.key(3), (2, 9, 7, 6))


def _torch(x=IMAGE):
    torch = pytest.importorskip("torch")
    return torch, torch.tensor(np.asarray(x)).permute(0, 3, 1, 2)


def _same(actual, expected, tolerance=1e-5):
    expected = expected.permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def _loss(op, **statics):
    def loss(x):
        y = op(x, **statics).astype(jnp.float32)
        return jnp.sum(y * jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape))

    return loss


POOLS = [
    (ops.avg_pool, {"window": 3, "stride": 2, "padding": 1}),
    (ops.avg_pool, {"window": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
    (ops.avg_pool, {"window": 2, "stride": 2}),
    (ops.avg_pool, {"window": (3, 2), "stride": (1, 2), "padding": (1, 0)}),
    (ops.max_pool, {"window": 3, "stride": 2, "padding": 1}),
    (ops.max_pool, {"window": 2, "stride": 2}),
]


@pytest.mark.parametrize(("op", "statics"), POOLS)
def test_pools_have_the_same_value_and_gradient_in_both_forms(op, statics):
    results = {}
    for implementation in ops.IMPLEMENTATIONS:
        with ops.implementation(implementation):
            results[implementation] = jax.jit(jax.value_and_grad(_loss(op, **statics)))(IMAGE)
    for implementation in ("fast", "auto"):
        for a, e in zip(results[implementation], results["lax"], strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("op", "statics"), POOLS)
def test_pools_agree_with_pytorch(op, statics):
    torch, image = _torch()
    image.requires_grad_()
    if op is ops.avg_pool:
        expected = torch.nn.functional.avg_pool2d(
            image,
            statics["window"],
            statics["stride"],
            statics.get("padding", 0),
            count_include_pad=statics.get("count_include_pad", True),
        )
    else:
        expected = torch.nn.functional.max_pool2d(
            image, statics["window"], statics["stride"], statics.get("padding", 0)
        )
    _same(op(IMAGE, **statics), expected.detach())
    weights = torch.cos(torch.arange(expected.numel(), dtype=torch.float32))
    (expected.permute(0, 2, 3, 1).reshape(-1) * weights).sum().backward()
    _same(jax.grad(_loss(op, **statics))(IMAGE), image.grad)


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (4, 3), (9, 7), (5, 2)])
def test_adaptive_average_pool_agrees_with_pytorch(size):
    torch, image = _torch()
    _same(
        ops.adaptive_avg_pool(IMAGE, size=size),
        torch.nn.functional.adaptive_avg_pool2d(image, size),
    )


@pytest.mark.parametrize("size", [(18, 14), (4, 5), (13, 7), (1, 1), (27, 3)])
@pytest.mark.parametrize("method", ops.RESIZE_METHODS)
def test_resize_agrees_with_pytorch(method, size):
    torch, image = _torch()
    if method == "nearest":
        expected = torch.nn.functional.interpolate(image, size)
    else:
        align = method.endswith("corners")
        expected = torch.nn.functional.interpolate(
            image, size, mode="bilinear", align_corners=align
        )
    _same(ops.resize(IMAGE, size=size, method=method), expected)


def test_global_pools_and_channel_statistics():
    np.testing.assert_allclose(
        ops.global_avg_pool(IMAGE), jnp.mean(IMAGE, (1, 2), keepdims=True), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(ops.global_max_pool(IMAGE), jnp.max(IMAGE, (1, 2), keepdims=True))
    np.testing.assert_allclose(
        ops.channel_mean(IMAGE), jnp.mean(IMAGE, -1, keepdims=True), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(ops.channel_max(IMAGE), jnp.max(IMAGE, -1, keepdims=True))


@pytest.mark.parametrize(
    "op,axis", [(ops.global_max_pool, (1, 2)), (ops.channel_max, -1)], ids=["image", "channels"]
)
def test_the_gradient_of_a_maximum(op, axis):
    weights = jnp.arange(op(IMAGE).size, dtype=jnp.float32).reshape(op(IMAGE).shape) + 1
    expected = weights * (IMAGE == IMAGE.max(axis, keepdims=True))
    gradient = jax.grad(lambda x: jnp.sum(weights * op(x)))(IMAGE)
    np.testing.assert_array_equal(gradient, expected)
    # The first of equal values gets the gradient; it is not divided.
    gradient = jax.grad(lambda x: jnp.sum(op(x)))(jnp.zeros_like(IMAGE))
    assert gradient.sum() == op(IMAGE).size and set(np.unique(gradient)) == {0, 1}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("relu", "relu"),
        ("relu6", "relu6"),
        ("hard_swish", "hardswish"),
        ("hard_sigmoid", "hardsigmoid"),
        ("sigmoid", "sigmoid"),
        ("silu", "silu"),
        ("gelu", "gelu"),
        ("elu", "elu"),
    ],
)
def test_activations_agree_with_pytorch_in_value_and_gradient(kind, name):
    torch = pytest.importorskip("torch")
    x = np.concatenate([np.linspace(-8, 8, 49), [0.0]]).astype(np.float32) + np.float32(1e-3)
    x[-1] = 0
    t = torch.tensor(x).requires_grad_()
    y = getattr(torch.nn.functional, name)(t)
    y.sum().backward()
    np.testing.assert_allclose(ops.activation(x, kind=kind), y.detach(), rtol=1e-5, atol=1e-6)
    gradient = jax.grad(lambda x: jnp.sum(ops.activation(x, kind=kind)))(x)
    np.testing.assert_allclose(gradient, t.grad, rtol=1e-4, atol=1e-5)


def test_older_hard_sigmoid():
    x = jnp.array([-2.0, -1.0, 0.0, 0.5, 3.0])
    np.testing.assert_allclose(ops.activation(x, kind="hard_sigmoid_v1"), [0, 0, 0.5, 0.75, 1])


def test_channel_shuffle_interleaves_groups():
    x = jnp.arange(6.0).reshape(1, 1, 1, 6)
    np.testing.assert_array_equal(ops.channel_shuffle(x, groups=2)[0, 0, 0], [0, 3, 1, 4, 2, 5])
    torch, image = _torch()
    _same(ops.channel_shuffle(IMAGE, groups=3), torch.nn.functional.channel_shuffle(image, 3))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_channel_shuffle_as_a_product_on_tpu_is_exact(dtype):
    x = IMAGE.astype(dtype)
    results = [
        jax.vjp(lambda x, form=form: form(x, 3), x)
        for form in (pointwise._permuted, pointwise._transposed)
    ]
    (y, vjp), (expected, expected_vjp) = results
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(vjp(x)[0], expected_vjp(x)[0])

    def text(platform):
        lowered = jax.jit(lambda x: ops.channel_shuffle(x, groups=3)).trace(x)
        return lowered.lower(lowering_platforms=(platform,)).as_text()

    assert ("dot_general" in text("tpu"), "dot_general" in text("cpu")) == (True, False)


def test_channel_conv1d_is_a_padded_correlation():
    x = jnp.array([1.0, 2, 3, 4]).reshape(1, 1, 1, 4)
    expected = np.correlate(np.pad(np.arange(1.0, 5), 1), [1, 10, 100], "valid")
    actual = ops.channel_conv1d(x, jnp.array([1.0, 10, 100]))
    np.testing.assert_allclose(actual[0, 0, 0], expected)
    with pytest.raises(ValueError, match="odd length"):
        ops.channel_conv1d(x, jnp.ones(4))


@pytest.mark.parametrize(
    "op",
    [
        lambda x: ops.avg_pool(x, window=3, stride=2, padding=1),
        lambda x: ops.max_pool(x, window=3, stride=2, padding=1),
        lambda x: ops.adaptive_avg_pool(x, size=(4, 3)),
        lambda x: ops.resize(x, size=(18, 14)),
        lambda x: ops.resize(x, size=(5, 5), method="nearest"),
        lambda x: ops.activation(x, kind="hard_swish"),
        ops.global_avg_pool,
        ops.channel_mean,
    ],
)
def test_bfloat16_stays_bfloat16_and_close(op):
    x = IMAGE.astype(jnp.bfloat16)
    y = op(x)
    assert y.dtype == jnp.bfloat16
    exact = op(x.astype(jnp.float32))
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=1e-2, atol=2e-2)


def test_unknown_names_are_rejected_with_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'hard_swish'"):
        ops.activation(IMAGE, kind="hardswish")
    with pytest.raises(ValueError, match="did you mean 'bilinear'"):
        ops.resize(IMAGE, size=(4, 4), method="bilinea")
    with pytest.raises(ValueError, match="4 groups do not divide 6"):
        ops.channel_shuffle(IMAGE, groups=4)
