"""Operators whose weights depend on the image, against their definitions and PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import ops

X = jax.random.normal(jax.random.key(0), (3, 6, 5, 4))
ATTENTION = jax.random.uniform(jax.random.key(1), (3, 1, 1, 2))
# name: bank [K,kh,kw,I,O], stride, padding
CASES = {
    "depthwise": ((2, 3, 3, 1, 4), 1, 1),
    "depthwise of stride 2": ((2, 5, 5, 1, 4), 2, 2),
    "pointwise": ((2, 1, 1, 4, 3), 1, 0),
    "dense": ((2, 3, 3, 4, 3), (2, 1), (1, 0)),
}


def bank_of(shape):
    return jax.random.normal(jax.random.key(2), shape)


def mixture(x, attention, bank, **window):
    """The mixture of K ordinary convolutions."""
    conv = ops.conv if bank.shape[3] == x.shape[-1] else ops.depthwise_conv
    return sum(attention[..., k, None] * conv(x, w, **window) for k, w in enumerate(bank))


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ops.IMPLEMENTATIONS)
@pytest.mark.parametrize("case", CASES)
def test_equals_the_mixture_of_convolutions_with_gradients(case, implementation):
    shape, stride, padding = CASES[case]

    def loss(op):
        def of(*arrays):
            y = op(*arrays, stride=stride, padding=padding)
            return jnp.sum(y * jnp.cos(jnp.arange(y.size)).reshape(y.shape))

        return jax.jit(jax.value_and_grad(of, (0, 1, 2)))

    arrays = X, ATTENTION, bank_of(shape)
    with ops.implementation("lax"):
        expected = loss(mixture)(*arrays)
    with ops.implementation(implementation):
        actual = loss(ops.dynamic_conv)(*arrays)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_pytorch_on_kernels_folded_into_groups(case):
    torch = pytest.importorskip("torch")
    shape, stride, padding = CASES[case]
    bank, images = bank_of(shape), len(X)
    kernel = np.einsum("bk,khwio->boihw", ATTENTION[:, 0, 0], bank)
    groups = images * (1 if shape[3] == X.shape[-1] else X.shape[-1])
    expected = torch.nn.functional.conv2d(
        torch.tensor(np.asarray(X)).permute(0, 3, 1, 2).reshape(1, -1, *X.shape[1:3]),
        torch.tensor(kernel.reshape(-1, *kernel.shape[2:])),
        stride=stride,
        padding=padding,
        groups=groups,
    )
    expected = expected.reshape(images, -1, *expected.shape[2:]).permute(0, 2, 3, 1)
    actual = ops.dynamic_conv(X, ATTENTION, bank, stride=stride, padding=padding)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_keeps_bfloat16():
    bank = bank_of(CASES["depthwise"][0])
    y = ops.dynamic_conv(X.astype(jnp.bfloat16), ATTENTION.astype(jnp.bfloat16), bank, padding=1)
    assert y.dtype == jnp.bfloat16
    expected = ops.dynamic_conv(X, ATTENTION, bank, padding=1)
    assert np.abs(y.astype(jnp.float32) - expected).max() < 0.1
    assert ops.spatial_softmax(X.astype(jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    "x,attention,bank",
    [
        (X, ATTENTION[:, 0], bank_of((2, 3, 3, 1, 4))),
        (X, ATTENTION, bank_of((3, 3, 3, 1, 4))),
        (X, ATTENTION[:2], bank_of((2, 3, 3, 1, 4))),
        (X, ATTENTION, bank_of((2, 3, 3, 1, 8))),
        (X, ATTENTION, bank_of((2, 3, 3, 2, 4))),
    ],
)
def test_shapes_that_do_not_fit_are_rejected(x, attention, bank):
    with pytest.raises(ValueError, match="dynamic_conv: x must be"):
        ops.dynamic_conv(x, attention, bank)


def test_spatial_softmax_agrees_with_pytorch_even_for_large_values():
    torch = pytest.importorskip("torch")
    x = X * 200
    expected = torch.tensor(np.asarray(x)).permute(0, 3, 1, 2)
    expected = expected.flatten(2).softmax(2).reshape(expected.shape).permute(0, 2, 3, 1)
    actual = ops.spatial_softmax(x)
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    np.testing.assert_allclose(actual.sum((1, 2)), 1, rtol=1e-6)
