"""HWL-MobileNetV3: attention, ablations, initial values."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpose
from jaxpose.layers import BatchNorm, ChannelGate, Conv, ConvTranspose, init
from jaxpose.models.hwl import Attention, LightDeconv, LightHead, SpatialGate


def data(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("gate", ["hard_sigmoid", "hard_sigmoid_v1"])
def test_attention_with_zero_weights_doubles(gate):
    f = data(2, 6, 4, 256)
    block = Attention(gate, Conv)
    variables = jax.tree.map(jnp.zeros_like, block.init(jax.random.key(0), f))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 33_355
    np.testing.assert_array_equal(block.apply(variables, f), 2 * f)


@pytest.mark.parametrize("act", ["relu", None])
@pytest.mark.parametrize("gate,offset,slope", [("hard_sigmoid", 3, 6), ("hard_sigmoid_v1", 1, 2)])
def test_attention_equals_the_formula(gate, offset, slope, act):
    """Of the released code, and without its ReLU that of eqs. (5) to (7)."""
    torch = pytest.importorskip("torch")
    f = data(2, 6, 4, 16)
    block = Attention(gate, Conv, act)
    inner = torch.relu if act else torch.nn.Identity()
    rng = np.random.default_rng(1)
    variables = jax.tree.map(
        lambda v: rng.normal(0, 0.3, v.shape).astype(np.float32),
        block.init(jax.random.key(0), f),
    )

    def conv(x, branch, name):
        p = variables["params"][branch][name]["conv"]
        weight = torch.tensor(p["kernel"]).permute(3, 2, 0, 1)
        bias = torch.tensor(p["bias"])
        return torch.nn.functional.conv2d(x, weight, bias, padding=weight.shape[2] // 2)

    def sigma(x):
        return ((x + offset) / slope).clamp(0, 1)

    x = torch.tensor(f).permute(0, 3, 1, 2)
    pooled = x.mean((2, 3), keepdim=True)
    c = sigma(conv(inner(conv(pooled, "se", "conv1")), "se", "conv2"))
    s = sigma(conv(inner(conv(x, "sse", "conv1")), "sse", "conv2"))
    expected = (x + x * c + x * s).permute(0, 2, 3, 1)
    np.testing.assert_allclose(block.apply(variables, f), expected, atol=1e-5)


def test_attention_is_after_the_third_deconvolution_only():
    model = jaxpose.create_model("hwl_mobilenetv3")
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    head = jax.eval_shape(lambda x: model.init(jax.random.key(0), x), images)["params"]["head"]
    assert list(head) == ["attention", "deconv1", "deconv2", "deconv3", "final_layer"]


def test_inner_relu_changes_the_attention_alone():
    """The option reaches both branches, and no other kind of attention."""
    maps = jax.ShapeDtypeStruct((1, 2, 2, 960), jnp.float32)
    for inner_relu, act in ((True, "relu"), (False, None)):
        acts = {}

        def record(method, args, kwargs, context, acts=acts):
            if isinstance(context.module, ChannelGate | SpatialGate):
                acts[context.module.name] = context.module.act
            return method(*args, **kwargs)

        head = LightHead(17, "own", "hard_sigmoid", "paper", jnp.float32, None, inner_relu)
        with nn.intercept_methods(record):
            jax.eval_shape(lambda x, h=head: h.init(jax.random.key(0), x, train=False), maps)
        assert acts == {"se": act, "sse": act}
    with pytest.raises(ValueError, match="inner_relu=False needs attention='own', not 'se'"):
        jaxpose.create_model("hwl_mobilenetv3", attention="se", inner_relu=False)


def test_released_initial_values_start_below_one():
    """With N(0, 0.001), four terms are below batch norm's eps; "kaiming" starts at std 1."""
    x = np.abs(data(8, 8, 6, 960))
    spread = {}
    for name, kernel in [("paper", init.normal_small), ("kaiming", init.kaiming_transposed(2))]:
        deconv = partial(ConvTranspose, kernel_init=kernel)
        block = LightDeconv(256, Conv, deconv, BatchNorm)

        def first_norm(x, block=block):
            _, state = block.init_with_output(jax.random.key(0), x, train=False)
            _, state = block.apply(state, x, train=True, mutable=True, capture_intermediates=True)
            return state["intermediates"]["bn1"]["__call__"][0].std()

        spread[name] = float(jax.jit(first_norm)(x))
    assert 0.3 < spread["paper"] < 0.5
    assert spread["kaiming"] == pytest.approx(1.0, abs=0.01)


@pytest.mark.slow
def test_initial_values_of_the_head():
    block = LightHead(17, "own", "hard_sigmoid", "paper", jnp.float32, None)
    head = block.init(jax.random.key(0), jnp.zeros((1, 1, 1, 960)), train=False)["params"]
    for deconv, fan_in in (("deconv1", 960), ("deconv2", 256), ("deconv3", 256)):
        assert float(head[deconv]["depthwise"]["transposed_kernel"].std()) == pytest.approx(
            0.001, rel=0.1
        )
        for leaf in head[deconv]["pointwise"].values():
            assert float(np.abs(leaf).max()) <= fan_in**-0.5
            assert float(np.abs(leaf).max()) > 0.9 * fan_in**-0.5
    assert float(head["final_layer"]["kernel"].std()) == pytest.approx(0.001, rel=0.1)
    assert not np.any(head["final_layer"]["bias"])
    squeeze = head["attention"]["se"]["conv1"]["conv"]
    assert float(squeeze["kernel"].std()) == pytest.approx((2 / 64) ** 0.5, rel=0.05)
    assert not np.any(squeeze["bias"])


def test_textbook_backbone_has_the_layers_of_the_paper():
    model = jaxpose.create_model("hwl_mobilenetv3", backbone="mobilenetv3_large_std")
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    backbone = jax.eval_shape(lambda x: model.init(jax.random.key(0), x), images)["params"][
        "backbone"
    ]
    assert "expand_conv" not in backbone["layer1"]
    assert backbone["layer14"]["expand_conv"]["conv"]["kernel"].shape[-1] == 960
    assert backbone["layer4"]["se"]["conv1"]["conv"]["kernel"].shape[-1] == 24
