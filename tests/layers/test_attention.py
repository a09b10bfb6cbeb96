"""Attention layers against PyTorch, with kernels that are not square."""

import jax
import numpy as np
import pytest

from jaxpose import ops
from jaxpose.layers import Conv, CoordinateAttention, DFCAttention

torch = pytest.importorskip("torch")
F = torch.nn.functional


def data(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def randomized(layer, *args):
    shapes = jax.eval_shape(lambda: layer.init(jax.random.key(0), *args))
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda v: np.abs(rng.normal(0, 0.3, v.shape)).astype(np.float32), shapes)


def conv(x, p, padding=0, groups=1):
    bias = torch.tensor(p["bias"]) if "bias" in p else None
    weight = torch.tensor(p["kernel"]).permute(3, 2, 0, 1)
    return F.conv2d(x, weight, bias, 1, padding, groups=groups)


def norm(x, variables, name):
    p, s = (variables[key][name] for key in ("params", "batch_stats"))
    statistics = (torch.tensor(s[key]) for key in ("mean", "var"))
    return F.batch_norm(x, *statistics, torch.tensor(p["scale"]), torch.tensor(p["bias"]))


def test_coordinate_attention_equals_torch():
    x = data(2, 4, 6, 16)
    layer = CoordinateAttention(reduction=4)
    variables = randomized(layer, x, False)
    p = variables["params"]
    assert p["squeeze"]["kernel"].shape[-1] == 8  # never fewer
    t = torch.tensor(x).permute(0, 3, 1, 2)
    rows, columns = t.mean(3, keepdim=True), t.mean(2, keepdim=True).transpose(2, 3)
    y = norm(conv(torch.cat([rows, columns], 2), p["squeeze"]), variables, "bn")
    rows, columns = F.hardswish(y).split([4, 6], 2)
    rows = torch.sigmoid(conv(rows, p["rows"]["conv"]))
    columns = torch.sigmoid(conv(columns.transpose(2, 3), p["columns"]["conv"]))
    expected = (t * rows * columns).permute(0, 2, 3, 1)
    np.testing.assert_allclose(layer.apply(variables, x, False), expected, atol=1e-5)


@pytest.mark.parametrize("pool", [True, False])
def test_dfc_aggregates_along_the_width_then_the_height(pool):
    x = data(2, 8, 12, 3)
    layer = DFCAttention(5, kernel_size=7, pool=pool)
    variables = randomized(layer, x, False)
    p = variables["params"]
    assert p["horizontal"]["kernel"].shape == (1, 7, 1, 5)
    assert p["vertical"]["kernel"].shape == (7, 1, 1, 5)
    t = torch.tensor(x).permute(0, 3, 1, 2)
    t = norm(conv(F.avg_pool2d(t, 2) if pool else t, p["pointwise"]), variables, "pointwise_bn")
    t = norm(conv(t, p["horizontal"], (0, 3), 5), variables, "horizontal_bn")
    t = norm(conv(t, p["vertical"], (3, 0), 5), variables, "vertical_bn")
    ours = layer.apply(variables, x, False)
    np.testing.assert_allclose(ours, t.permute(0, 2, 3, 1), atol=1e-4)


@pytest.mark.parametrize("implementation", ["fast", "lax"])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_kernel_stride_and_padding_by_axis(implementation, groups):
    x = data(1, 9, 10, 4)
    layer = Conv(4, (1, 5), (2, 1), (0, 2), groups=groups)
    variables = randomized(layer, x)
    expected = F.conv2d(
        torch.tensor(x).permute(0, 3, 1, 2),
        torch.tensor(variables["params"]["kernel"]).permute(3, 2, 0, 1),
        stride=(2, 1),
        padding=(0, 2),
        groups=groups,
    )
    with ops.implementation(implementation):
        ours = layer.apply(variables, x)
    np.testing.assert_allclose(ours, expected.permute(0, 2, 3, 1), atol=1e-5)
