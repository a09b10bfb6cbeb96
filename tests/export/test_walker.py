"""Every operator and primitive of the walker: JAX against ONNX Runtime, PyTorch and ncnn."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import export, ops
from jaxpose.export.folding import fold
from jaxpose.export.walker import trace
from jaxpose.models.dite_hrnet import reinterpreted_pool
from tests.helpers.networks import (
    ConvNorm,
    Function,
    images,
    initialized,
    norm,
    run_jax,
    run_ncnn,
    run_onnx,
    run_torch,
    weight,
)

SIZE = (12, 16)


def lifted(m, x, channels=8):
    """[B,H,W,3] -> [B,H,W,channels] by a 1x1 convolution."""
    return ops.conv(x, weight(m, "lift", (1, 1, 3, channels)))


def eca(m, x):
    x = lifted(m, x)
    return x * ops.activation(
        ops.channel_conv1d(ops.global_avg_pool(x), weight(m, "eca", (3,))), kind="sigmoid"
    )


def softmax(m, x):
    return jax.nn.softmax(lifted(m, x), axis=-1)


def flat_gate(m, x):
    x = lifted(m, x)
    gate = jnp.mean(x, (1, 2)) * weight(m, "gate", (8,))
    return x * gate[:, None, None, :]


def tokens(m, x):
    """Each map as a token: linear layer, attention without softmax, root mean square."""
    x = lifted(m, x).transpose(0, 3, 1, 2).reshape(len(x), 8, -1)
    x = jnp.dot(x, weight(m, "mix", (192, 24), 0.1)) * weight(m, "gain", (24,))
    query, key, value = jnp.split(jax.nn.silu(x), [6, 12], axis=-1)
    weights = jnp.square(jax.nn.relu(jnp.einsum("bqs,bks->bqk", query, key) * 0.4))
    x = jnp.einsum("bqk,bke->bqe", weights, value) + jnp.dot(x, weight(m, "short", (24, 12)))
    return x / jnp.sqrt(jnp.maximum(jnp.sum(x * x, axis=-1, keepdims=True) / 12, 1e-10))


def pieces(m, x):
    x = lifted(m, x)
    a, b, c = jnp.split(x, [2, 5], axis=-1)
    return jnp.concatenate([c * 2, a - 1, x[..., 3:5], b / 3], axis=-1)


def both_sides(m, x):
    return jnp.minimum(1 - x, 2.0) + 1 / (x * x + 1) - jnp.maximum(-x, 0.25) + jnp.square(x)


def plain_layers(m, x):
    x = nn.Conv(6, (3, 3), strides=2, padding=1, feature_group_count=3, name="conv")(x)
    return nn.relu(nn.Dense(4, name="dense")(x))


def rearranged(m, x):
    b, h, w, _ = x.shape
    blocks = lifted(m, x).reshape(b, h, w, 2, 4)
    return jnp.transpose(blocks, (0, 1, 2, 4, 3)).reshape(b, h, w, 8)


def constants(m, x):
    scale = jnp.exp(weight(m, "log_scale", (3,))) / jnp.sqrt(jnp.float32(2))
    return x * scale + jax.nn.softplus(weight(m, "shift", (1, 1, 1, 3)))


def dynamic(m, x, bank, **window):
    x = lifted(m, x)
    mix = ops.conv(ops.global_avg_pool(x), weight(m, "mix", (1, 1, 8, 3), 5.0))
    return ops.dynamic_conv(
        x, ops.activation(mix, kind="sigmoid"), weight(m, "bank", bank), **window
    )


def context(m, x):
    """A mean under a mask, and the memory of [C,H,W] read as [6*4,C,8]."""
    x = lifted(m, x)
    mask = ops.spatial_softmax(ops.conv(x, weight(m, "mask", (1, 1, 8, 1))))
    return reinterpreted_pool(x, mask, (6, 4)) + jnp.sum(x * mask, axis=(1, 2), keepdims=True)


def maps(m, x):
    return jnp.broadcast_to(ops.channel_mean(x), x.shape) + ops.channel_max(x)[..., 0][..., None]


def highest(m, x):
    """Where each map has its maximum, with another value where that is low."""
    x = lifted(m, x)
    rows = x.transpose(0, 3, 1, 2).reshape(len(x), 8, -1)
    column = jnp.argmax(rows, axis=-1).astype(jnp.float32)
    value = rows.max(axis=-1)
    pair = jnp.concatenate([column[..., None], value[..., None]], axis=-1)
    chosen = jnp.where((value <= 2.5)[..., None], -1.0, pair)
    channel = jnp.argmax(x, axis=-1).astype(jnp.float32).mean((1, 2))
    return chosen + channel[:, None, None]


CASES = {
    "conv": lambda m, x: ops.conv(x, weight(m, "w", (3, 5, 3, 6)), stride=(2, 1), padding=(1, 2)),
    "depthwise": lambda m, x: ops.depthwise_conv(
        lifted(m, x), weight(m, "w", (5, 5, 1, 8)), stride=2, padding=2
    ),
    "grouped": lambda m, x: ops.grouped_conv(lifted(m, x), weight(m, "w", (1, 1, 2, 12)), groups=4),
    "transposed": lambda m, x: ops.conv_transpose(x, weight(m, "w", (4, 4, 3, 5))),
    "transposed_odd": lambda m, x: ops.conv_transpose(
        x, weight(m, "w", (3, 3, 3, 5)), stride=2, padding=1
    ),
    "depthwise_transposed": lambda m, x: ops.depthwise_conv_transpose(
        lifted(m, x), weight(m, "w", (4, 4, 1, 8))
    ),
    "shuffle": lambda m, x: ops.channel_shuffle(lifted(m, x), groups=4),
    "max_pool": lambda m, x: ops.max_pool(x, window=3, stride=2, padding=1),
    "avg_pool": lambda m, x: ops.avg_pool(x, window=3, stride=2, padding=1),
    "avg_pool_inside": lambda m, x: ops.avg_pool(
        x, window=3, stride=2, padding=1, count_include_pad=False
    ),
    "adaptive_even": lambda m, x: ops.adaptive_avg_pool(x, size=(3, 4)),
    "adaptive_uneven": lambda m, x: ops.adaptive_avg_pool(x, size=(5, 7)),
    "global_max": lambda m, x: x * ops.global_max_pool(x),
    "channel_maps": maps,
    "eca": eca,
    "dynamic_depthwise": lambda m, x: dynamic(m, x, (3, 5, 5, 1, 8), stride=2, padding=2),
    "dynamic_pointwise": lambda m, x: dynamic(m, x, (3, 1, 1, 8, 5)),
    "spatial_softmax": lambda m, x: ops.spatial_softmax(x * 9),
    "context": context,
    "norm": lambda m, x: norm(m, ops.activation(x, kind="relu")),
    "softmax": softmax,
    "flat_gate": flat_gate,
    "tokens": tokens,
    "pieces": pieces,
    "highest": highest,
    "both_sides": both_sides,
    "slice": lambda m, x: x[:, 1::2, 3:-2],
    "pad": lambda m, x: jnp.pad(x, ((0, 0), (1, 0), (2, 3), (0, 4))),
    "plain_layers": plain_layers,
    "rearranged": rearranged,
    "constants": constants,
    "unary": lambda m, x: jnp.tanh(x) + jnp.exp(-jnp.abs(x)) + jax.lax.erf(jnp.sqrt(x * x + 1)),
    **{
        f"activation_{kind}": lambda m, x, kind=kind: ops.activation(x * 4, kind=kind)
        for kind in (
            "relu relu6 hard_swish hard_sigmoid hard_sigmoid_v1 sigmoid silu gelu elu".split()
        )
    },
    **{
        f"resize_{method}_{size[0]}": lambda m, x, method=method, size=size: ops.resize(
            x, size=size, method=method
        )
        for method in ops.RESIZE_METHODS
        for size in ((24, 32), (18, 20), (6, 8))
    },
}


def network(case):
    model = Function(CASES[case])
    return model, initialized(model, SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_onnx_gives_what_jax_gives(case, tmp_path):
    pytest.importorskip("onnxruntime")
    model, variables = network(case)
    x = images(SIZE, batch=3)
    got = run_onnx(model, variables, x, tmp_path / "m.onnx")
    np.testing.assert_allclose(got, run_jax(model, variables, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_torch_gives_what_jax_gives(case):
    pytest.importorskip("torch")
    model, variables = network(case)
    x = images(SIZE, batch=3)
    got = run_torch(model, variables, x)
    np.testing.assert_allclose(got, run_jax(model, variables, x), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case != "highest"])
def test_ncnn_gives_what_jax_gives(case, tmp_path):
    pytest.importorskip("ncnn")
    model, variables = network(case)
    x = images(SIZE)
    got = run_ncnn(model, variables, x, tmp_path / "m.param")
    np.testing.assert_allclose(got, run_jax(model, variables, x), rtol=1e-5, atol=1e-5)


def body_with_norms(m, x):
    x = ops.activation(ConvNorm(8, name="stem")(x), kind="relu")
    x = norm(m, ops.depthwise_conv_transpose(x, weight(m, "up", (4, 4, 1, 8))), "up_bn")
    return norm(m, ops.conv_transpose(x, weight(m, "up2", (4, 4, 8, 5))), "up2_bn")


@pytest.mark.parametrize("fold_bn", [True, False])
def test_folded_and_unfolded_norms(fold_bn):
    torch = pytest.importorskip("torch")
    model = Function(body_with_norms)
    variables = initialized(model, SIZE)
    x = images(SIZE)
    got = run_torch(model, variables, x, fold_bn=fold_bn)
    np.testing.assert_allclose(got, run_jax(model, variables, x), rtol=1e-5, atol=1e-5)
    kinds = [type(m) for m in export.to_torch(model, variables, SIZE, fold_bn=fold_bn).modules()]
    assert kinds.count(torch.nn.BatchNorm2d) == (0 if fold_bn else 3)


def test_a_result_with_two_readers_keeps_its_norm_apart():
    def body(m, x):
        x = lifted(m, x)
        return norm(m, x) + ops.global_avg_pool(x)

    model = Function(body)
    nodes = fold(trace(model, initialized(model, SIZE), SIZE)).nodes
    assert [n.op for n in nodes] == ["conv", "batch_norm", "global_avg_pool", "binary"]


def summed(m, x):
    """Two convolutions, one with a bias, whose sum is normalized."""
    left = ops.conv_transpose(x, weight(m, "left", (4, 4, 3, 5)))
    right = ops.conv_transpose(x + 1, weight(m, "right", (4, 4, 3, 5))) + weight(m, "bias", (5,))
    return norm(m, left + right)


def test_the_norm_of_a_sum_goes_into_both_convolutions():
    pytest.importorskip("torch")
    model = Function(summed)
    variables = initialized(model, SIZE)
    nodes = fold(trace(model, variables, SIZE)).nodes
    assert sorted(n.op for n in nodes) == ["binary", "binary", "conv_transpose", "conv_transpose"]
    x = images(SIZE)
    for fold_bn in (True, False):
        got = run_torch(model, variables, x, fold_bn=fold_bn)
        np.testing.assert_allclose(got, run_jax(model, variables, x), rtol=1e-5, atol=1e-5)


def test_a_shared_module_stays_shared():
    torch = pytest.importorskip("torch")

    def body(m, x):
        block = nn.Dense(3, name="mlp")
        return block(ops.activation(block(x), kind="relu"))

    model = Function(body)
    variables = initialized(model, SIZE)
    module = export.to_torch(model, variables, SIZE)
    assert sorted(module.state_dict()) == ["mlp.bias", "mlp.weight"]
    assert sum(isinstance(m, torch.nn.Conv2d) for m in module.modules()) == 1


def test_several_outputs(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("torch")
    model = Function(lambda m, x: (lifted(m, x), ops.resize(x, size=(24, 32))))
    variables = initialized(model, SIZE)
    x = images(SIZE)
    expected = run_jax(model, variables, x)
    for outs in (
        run_onnx(model, variables, x, tmp_path / "m.onnx"),
        run_torch(model, variables, x),
    ):
        assert isinstance(outs, tuple)
        for out, reference in zip(outs, expected, strict=True):
            np.testing.assert_allclose(out, reference, rtol=1e-5, atol=1e-5)


class Outer(nn.Module):
    body: object

    @nn.compact
    def __call__(self, x, train=False):
        return Function(self.body, name="head")(x)


@pytest.mark.parametrize(
    "body, named",
    [
        (lambda m, x: jnp.cumsum(x, axis=1), "cumsum"),
        (lambda m, x: jax.nn.relu(jnp.sin(x)), "sin"),
        (lambda m, x: nn.Conv(3, (3, 3), padding="SAME", strides=2)(x), "conv_general_dilated"),
        (lambda m, x: x[:1], "batch"),
        (lambda m, x: x.reshape(1, -1, 4, 3), "batch"),
        (lambda m, x: jnp.argmin(x, -1)[..., None] * x, "argmin"),
        (lambda m, x: jnp.argmax(x, 0)[None, ...] * x, "argmax over the batch"),
        (lambda m, x: jnp.where(x <= np.arange(3.0), x, 0), "a comparison with several constants"),
    ],
)
def test_unsupported_primitives_are_named_with_their_module(body, named):
    model = Outer(body)
    variables = initialized(model, SIZE)
    with pytest.raises(export.ExportError, match=named) as error:
        trace(model, variables, SIZE)
    assert "head" in str(error.value)
    assert isinstance(error.value, NotImplementedError)


@pytest.mark.parametrize("target", ["litert", "ncnn"])
def test_formats_without_argmax_name_it(target, tmp_path):
    pytest.importorskip({"litert": "ai_edge_litert", "ncnn": "ncnn"}[target])
    model, variables = network("highest")
    write = getattr(export, f"to_{target}")
    with pytest.raises(export.ExportError, match="argmax.*cannot be exported"):
        write(model, variables, SIZE, tmp_path / "m", metadata={"jaxpose": "test"})


def test_an_output_that_ignores_the_image_is_refused():
    model = Function(lambda m, x: weight(m, "w", (1, 4, 4, 3)))
    with pytest.raises(export.ExportError, match="does not depend on the image"):
        trace(model, initialized(model, SIZE), SIZE)
