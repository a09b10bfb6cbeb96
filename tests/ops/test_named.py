"""Names of operators in a jaxpr, and the switch between implementations."""

import jax
import jax.numpy as jnp
import pytest

from jaxpose import jax_api, ops

IMAGE = jnp.zeros((2, 8, 6, 8))
DENSE, DEPTHWISE = jnp.zeros((4, 4, 8, 8)), jnp.zeros((4, 4, 1, 8))
VECTOR, MIX = jnp.ones((8,)), jnp.ones((2, 1, 1, 2))
CALLS = {
    "conv": lambda: ops.conv(IMAGE, DENSE, stride=2, padding=(1, 2)),
    "depthwise_conv": lambda: ops.depthwise_conv(IMAGE, DEPTHWISE, stride=2, padding=1),
    "grouped_conv": lambda: ops.grouped_conv(IMAGE, jnp.zeros((3, 3, 4, 8)), groups=2, padding=1),
    "conv_transpose": lambda: ops.conv_transpose(IMAGE, DENSE),
    "depthwise_conv_transpose": lambda: ops.depthwise_conv_transpose(IMAGE, DEPTHWISE),
    "batch_norm": lambda: ops.batch_norm(IMAGE, VECTOR, VECTOR, VECTOR, VECTOR, eps=1e-3),
    "batch_norm_train": lambda: ops.batch_norm_train(IMAGE, VECTOR, VECTOR),
    "activation": lambda: ops.activation(IMAGE, kind="hard_swish"),
    "channel_shuffle": lambda: ops.channel_shuffle(IMAGE, groups=2),
    "max_pool": lambda: ops.max_pool(IMAGE, window=3, stride=2, padding=1),
    "avg_pool": lambda: ops.avg_pool(IMAGE, window=3, stride=2, padding=1, count_include_pad=False),
    "adaptive_avg_pool": lambda: ops.adaptive_avg_pool(IMAGE, size=(3, 2)),
    "resize": lambda: ops.resize(IMAGE, size=(16, 12), method="nearest"),
    "global_avg_pool": lambda: ops.global_avg_pool(IMAGE),
    "global_max_pool": lambda: ops.global_max_pool(IMAGE),
    "channel_mean": lambda: ops.channel_mean(IMAGE),
    "channel_max": lambda: ops.channel_max(IMAGE),
    "channel_conv1d": lambda: ops.channel_conv1d(IMAGE[:, :1, :1], jnp.ones((3,))),
    "dynamic_conv": lambda: ops.dynamic_conv(IMAGE, MIX, jnp.zeros((2, 3, 3, 1, 8)), padding=1),
    "spatial_softmax": lambda: ops.spatial_softmax(IMAGE),
}


def _names(function, *args):
    equations = jax_api.equations(jax.make_jaxpr(function)(*args))
    return [e.params["name"] for e in equations if "name" in e.params]


def test_every_operator_is_listed():
    assert set(CALLS) == set(ops.NAMES)


@pytest.mark.parametrize("implementation", ops.IMPLEMENTATIONS)
@pytest.mark.parametrize("op", sorted(CALLS))
def test_name_in_the_jaxpr_gives_operator_and_static_arguments(op, implementation):
    with ops.implementation(implementation):
        (name,) = _names(lambda: CALLS[op]())
    parsed_op, statics = ops.parse(name)
    assert parsed_op == op
    assert statics["impl"] == implementation


def test_statics_are_decoded_as_written():
    (name,) = _names(lambda: CALLS["conv"]())
    assert name == 'op:conv|{"impl":"auto","padding":[1,2],"stride":[2,2]}'
    assert ops.parse(name) == ("conv", {"impl": "auto", "padding": [1, 2], "stride": [2, 2]})
    (name,) = _names(lambda: CALLS["avg_pool"]())
    assert ops.parse(name)[1]["count_include_pad"] is False
    (name,) = _names(lambda: CALLS["batch_norm"]())
    assert ops.parse(name)[1]["eps"] == 1e-3


def test_other_names_are_not_operators():
    assert ops.parse("relu") is None
    assert ops.parse("op:unknown|{}") is None


def test_names_survive_an_outer_jit_and_a_gradient():
    def loss(w):
        return jnp.sum(ops.depthwise_conv(IMAGE, w, padding=1) ** 2)

    forward = str(jax.make_jaxpr(jax.jit(loss))(DEPTHWISE))
    assert "op:depthwise_conv|" in forward
    assert jax.grad(loss)(DEPTHWISE).shape == DEPTHWISE.shape


def test_switch_is_read_at_trace_time_and_restored():
    before = ops.get_implementation()
    with pytest.raises(RuntimeError), ops.implementation("lax"):
        assert ops.get_implementation() == "lax"
        raise RuntimeError
    assert ops.get_implementation() == before
    for name in ("fast", "lax", "fast"):
        with ops.implementation(name):
            traced = str(jax.make_jaxpr(lambda w: ops.depthwise_conv(IMAGE, w))(DEPTHWISE))
        assert ("conv_general_dilated" in traced) == (name == "lax")


def test_unknown_implementation_is_rejected():
    with pytest.raises(ValueError, match="choose one of auto, fast, lax"):
        ops.set_implementation("fastest")
