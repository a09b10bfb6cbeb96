"""Convolution layers: parity with PyTorch, initial values, checks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose.layers import CBAM, ChannelGate, Conv, ConvNormAct, ConvTranspose, init


def data(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def randomized(layer, x, *args):
    """Variables of a layer with every parameter, biases too, drawn from N(0, 0.3)."""
    variables = layer.init(jax.random.key(0), x, *args)
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda v: rng.normal(0, 0.3, v.shape).astype(np.float32), variables)


@pytest.mark.parametrize(
    "kernel,stride,groups,features", [(1, 1, 1, 6), (3, 2, 1, 6), (5, 2, 8, 8), (3, 1, 4, 12)]
)
def test_convolution_equals_torch(kernel, stride, groups, features):
    torch = pytest.importorskip("torch")
    x = data(2, 7, 10, 8)
    layer = Conv(features, kernel, stride, groups=groups, use_bias=True)
    variables = randomized(layer, x)
    theirs = torch.nn.Conv2d(8, features, kernel, stride, kernel // 2, groups=groups)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(variables["params"]["kernel"]).permute(3, 2, 0, 1))
        theirs.bias.copy_(torch.tensor(variables["params"]["bias"]))
        expected = theirs(torch.tensor(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    np.testing.assert_allclose(layer.apply(variables, x), expected, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 8])
def test_dilated_convolution_equals_torch(groups):
    torch = pytest.importorskip("torch")
    x = data(2, 7, 10, 8)
    layer = Conv(8, 3, groups=groups, dilation=2)
    variables = randomized(layer, x)
    kernel = torch.tensor(variables["params"]["kernel"]).permute(3, 2, 0, 1)
    image = torch.tensor(x).permute(0, 3, 1, 2)
    expected = torch.nn.functional.conv2d(image, kernel, None, 1, 2, 2, groups)
    np.testing.assert_allclose(layer.apply(variables, x), expected.permute(0, 2, 3, 1), atol=1e-5)


def test_dilated_grouped_convolutions_are_rejected():
    with pytest.raises(ValueError, match="supports dilation 1 only, got 2"):
        Conv(8, 3, groups=2, dilation=2).init(jax.random.key(0), data(1, 7, 10, 8))


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("kernel,stride,padding", [(4, 2, 1), (3, 1, 1), (2, 2, 0)])
def test_transposed_convolution_equals_torch(depthwise, kernel, stride, padding):
    torch = pytest.importorskip("torch")
    x = data(2, 3, 5, 6)
    features = 6 if depthwise else 4
    layer = ConvTranspose(features, kernel, stride, padding, depthwise)
    variables = randomized(layer, x)
    weight = variables["params"]["transposed_kernel"][::-1, ::-1]
    groups = 6 if depthwise else 1
    theirs = torch.nn.ConvTranspose2d(
        6, features, kernel, stride, padding, groups=groups, bias=False
    )
    order = (3, 2, 0, 1) if depthwise else (2, 3, 0, 1)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(np.ascontiguousarray(weight.transpose(order))))
        expected = theirs(torch.tensor(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    np.testing.assert_allclose(layer.apply(variables, x), expected, atol=1e-5)


def test_squeeze_and_excitation_by_hand():
    x = data(2, 4, 5, 8)
    gate = ChannelGate(3)
    variables = randomized(gate, x)
    first, second = (variables["params"][name]["conv"] for name in ("conv1", "conv2"))
    hidden = np.maximum(x.mean((1, 2)) @ first["kernel"][0, 0] + first["bias"], 0)
    expected = np.clip((hidden @ second["kernel"][0, 0] + second["bias"] + 3) / 6, 0, 1)
    np.testing.assert_allclose(gate.apply(variables, x)[:, 0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("max_first", [False, True])
def test_cbam_equals_torch(max_first):
    torch = pytest.importorskip("torch")
    x = data(2, 9, 8, 8)
    layer = CBAM(4, spatial_bias=True, max_first=max_first)
    variables = randomized(layer, x)
    p = variables["params"]
    t = torch.tensor(x)
    mlp = [torch.tensor(p[name]["kernel"][0, 0]) for name in ("mlp1", "mlp2")]
    pooled = [torch.relu(v @ mlp[0]) @ mlp[1] for v in (t.mean((1, 2)), t.amax((1, 2)))]
    t = t * torch.sigmoid(sum(pooled))[:, None, None]
    maps = [t.mean(-1), t.amax(-1)]
    maps = torch.stack(maps[::-1] if max_first else maps, 1)
    kernel = torch.tensor(p["spatial"]["kernel"]).permute(3, 2, 0, 1)
    bias = torch.tensor(p["spatial"]["bias"])
    gate = torch.nn.functional.conv2d(maps, kernel, bias, padding=3).permute(0, 2, 3, 1)
    np.testing.assert_allclose(layer.apply(variables, x), t * torch.sigmoid(gate), atol=1e-5)


def test_a_block_without_norm_has_a_bias():
    x = data(1, 2, 2, 3)
    params = ConvNormAct(4).init(jax.random.key(0), x)["params"]
    assert set(params) == {"conv"} and set(params["conv"]) == {"kernel", "bias"}


def test_arithmetic_in_bfloat16_keeps_parameters_in_float32():
    x = data(1, 4, 4, 3)
    layer = Conv(4, 3, use_bias=True, dtype=jnp.bfloat16)
    y, variables = layer.init_with_output(jax.random.key(0), x)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("shape", [(3, 3, 5, 7), (1, 1, 33, 3), (7, 7, 1, 64)])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_initial_values_are_those_of_jax(shape, mode, distribution):
    ours = init.variance_scaling(0.7, mode, distribution)(jax.random.key(3), shape)
    theirs = jax.nn.initializers.variance_scaling(0.7, mode, distribution)(jax.random.key(3), shape)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize(
    "initializer,shape,std",
    [
        (init.kaiming_fan_out, (3, 3, 32, 64), (2 / (9 * 64)) ** 0.5),
        (init.kaiming_fan_out, (5, 5, 1, 960), (2 / (25 * 960)) ** 0.5),
        (init.normal_small, (4, 4, 1, 960), 0.001),
        (init.torch_default, (1, 1, 960, 256), (1 / 960 / 3) ** 0.5),
        (init.kaiming_transposed(2), (4, 4, 1, 960), (2 / 4) ** 0.5),
        (init.kaiming_transposed(2), (4, 4, 256, 64), (2 / (4 * 256)) ** 0.5),
    ],
)
def test_initial_spread(initializer, shape, std):
    values = initializer(jax.random.key(0), shape, jnp.float32)
    assert float(values.std()) == pytest.approx(std, rel=0.03)


def test_default_pointwise_bias_is_bounded_by_fan_in():
    values = init.torch_default_bias(64)(jax.random.key(0), (4096,), jnp.float32)
    assert 0.124 < float(np.abs(values).max()) <= 0.125


def test_channels_that_do_not_fit_are_rejected():
    with pytest.raises(ValueError, match=r"groups=3 must divide .*\(8\) .*\(6\)"):
        Conv(6, groups=3).init(jax.random.key(0), data(1, 2, 2, 8))
    with pytest.raises(ValueError, match="needs features=8, got 6"):
        ConvTranspose(6, depthwise=True).init(jax.random.key(0), data(1, 2, 2, 8))
