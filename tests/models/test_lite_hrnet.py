"""The networks on Lite-HRNet: released outputs, fusion, weightings, ablations."""

import json
import lzma

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpose
from jaxpose import convert, ops
from jaxpose.models.dite_hrnet import DynamicLayer, reinterpreted_pool
from jaxpose.models.hrnet_stages import fuse_sum
from jaxpose.models.lite_csw_hrnet import ChannelSpatialWeights, SpatialMap, kernel_size
from jaxpose.models.lite_hrnet import fuse_doubled
from tests.helpers import recipe

# Heatmaps of the released code in float64 at (row, column, keypoint) (0,0,0), (2,3,1), (32,24,8)
# and (63,47,16), their standard deviation, and the tolerance in units of it. Lite CSW-HRNet has no
# released code: these are of an independent implementation with our choices.
RELEASED = {
    "lite_hrnet_18": (-0.700394, 4.447763, -3.064882, 1.833840, 2.629369, 2e-5),
    "lite_hrnet_30": (-39.003651, 114.011506, 53.426466, 87.458405, 70.859255, 2e-5),
    "naive_lite_hrnet_18": (0.194329, -1.067627, 1.808397, -0.167442, 0.907074, 2e-5),
    "dite_hrnet_18": (-0.551083, 4.401619, -2.437810, 1.803903, 2.669025, 2e-5),
    "dite_hrnet_30": (-37.628831, 112.301153, 48.374232, 67.290059, 61.676969, 1e-4),
    "lite_csw_hrnet_18": (-0.666370, 4.613428, -3.004529, 1.831915, 2.755895, 2e-5),
    "lite_csw_hrnet_30": (-38.223473, 105.663102, 62.402924, 80.229055, 63.365639, 2e-5),
}


def data(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def abstract(name, **options):
    model = jaxpose.create_model(name, **options)
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)


def size_of(name, **options):
    return sum(leaf.size for leaf in jax.tree.leaves(abstract(name, **options)["params"]))


@pytest.mark.slow
@pytest.mark.parametrize("name", RELEASED)
def test_heatmaps_of_the_released_networks(name, golden):
    keys = json.loads(lzma.open(golden / "torch_keys_lite_hrnet.json.xz").read()).get(name)
    if keys is None:  # the deeper Lite CSW-HRNet has no key list: it differs only in the repeats
        zeros = jax.tree.map(
            lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), abstract(name)
        )
        state = convert.to_torch_state_dict(name, zeros)
        keys = {
            key.replace("head.final", "keypoint_head.final"): v.shape for key, v in state.items()
        }
    variables = convert.from_torch(name, recipe.state_dict(keys, 0.5))
    model, images = jaxpose.create_model(name), recipe.images(2, 256, 192)
    with ops.implementation("lax"):  # compiles faster; the operators' own tests compare both
        both = jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, images)
    both = np.asarray(both)
    y = both[0]
    *samples, std, tolerance = RELEASED[name]
    ours = [y[0, 0, 0], y[2, 3, 1], y[32, 24, 8], y[63, 47, 16]]
    assert np.abs(np.subtract(ours, samples)).max() / std < tolerance
    assert y.std() == pytest.approx(std, rel=tolerance)
    if name == "lite_hrnet_18":  # for this one both images are known
        case = json.loads((golden / "forward_lite_hrnet_18.json").read_text())
        assert list(both.shape) == case["shape"]
        ours = both.reshape(-1)[recipe.sample_index(both.size)]
        assert np.abs(ours - case["samples"]).max() / case["std"] < case["tol"]
        gap = np.abs(both[0] - both[1]).max() / case["std"]
        assert gap == pytest.approx(case["batch_gap"], rel=1e-3)


def released_fusion(xs, outputs, term, relu_in_place):
    """The released loop on arrays that are changed in place."""
    xs, fused = [x.copy() for x in xs], []
    for i in range(outputs):
        y = xs[0] if i == 0 else term(i, 0, xs[0])
        for j, x in enumerate(xs):
            y += x if i == j else term(i, j, x)
        if relu_in_place:
            np.maximum(y, 0, out=y)
        fused.append(np.maximum(y, 0))
    return fused


@pytest.mark.parametrize("after_relu", [False, True])
def test_fusion_equals_the_released_loop(after_relu):
    xs = [data(2, 3, seed=i) for i in range(4)]
    matrices = data(4, 4, 3, 3, seed=9)

    def term(i, j, x):
        return x if i == j else x @ matrices[i, j]

    expected = released_fusion(xs, 4, term, relu_in_place=after_relu)
    actual = fuse_doubled(xs, 4, term, after_relu=after_relu)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)
    other = fuse_doubled(xs, 4, term, after_relu=not after_relu)
    assert np.abs(np.subtract(other[1:], expected[1:])).max() > 0.1
    assert np.abs(np.subtract(fuse_sum(xs, 4, term), expected)).max() > 0.1


def test_dense_context_reads_memory_as_the_released_code_does():
    x, mask = data(2, 8, 4, 6), data(2, 8, 4, 1, seed=1)
    memory = np.ascontiguousarray(x.transpose(0, 3, 1, 2)).reshape(2, 8, 6, 4)
    expected = np.einsum("bpcn,bpn->bpc", memory, mask.reshape(2, 8, 4)).reshape(2, 4, 2, 6)
    np.testing.assert_allclose(reinterpreted_pool(x, mask, (4, 2)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_each_image_has_its_own_mixture_of_kernels():
    """The results of a batch are those of its images one by one."""
    x = data(3, 8, 8, 4)
    x[1] += 3
    layer = DynamicLayer(4, 3, depthwise=True, kernels=2)
    variables = layer.init(jax.random.key(0), x, False)
    together = layer.apply(variables, x, False)
    for i in range(3):
        np.testing.assert_allclose(
            together[i], layer.apply(variables, x[i : i + 1], False)[0], atol=1e-5
        )
    attention = variables["params"]["conv"]["attention"]
    assert attention["conv1"]["kernel"].shape == (1, 1, 4, 1)
    assert variables["params"]["conv"]["aggregation"]["kernel"].shape == (2, 3, 3, 1, 4)


WIDTHS = (20, 40, 80, 160, 60, 140, 300)


@pytest.mark.parametrize(
    "gamma,b,sizes", [(2, 1, (3, 3, 3, 5, 3, 5, 5)), (1, 2, (7, 7, 9, 9, 7, 9, 11))]
)
def test_adaptive_kernel_size(gamma, b, sizes):
    assert tuple(kernel_size(c, gamma, b) for c in WIDTHS) == sizes


def test_channel_spatial_weights_equal_the_formula():
    x = data(2, 6, 5, 20)
    make = dict(gamma=2, b=1, pooling="both", shared=True)
    block = ChannelSpatialWeights(20, serial=False, **make)
    variables = jax.tree.map(
        lambda leaf: data(*leaf.shape, seed=leaf.size), block.init(jax.random.key(0), x)
    )
    params = variables["params"]
    assert jax.tree.map(jnp.shape, params) == {
        "channel": {"conv": {"kernel": (3,)}},
        "spatial": {"conv": {"kernel": (7, 7, 2, 1)}},
    }

    def sigma(v):
        return 1 / (1 + np.exp(-v))

    def along_channels(v):
        return np.stack(
            [np.convolve(row, params["channel"]["conv"]["kernel"][::-1], "same") for row in v]
        )

    def maps(x):
        channel = sigma(along_channels(x.mean((1, 2))) + along_channels(x.max((1, 2))))
        planes = np.stack([x.mean(3), x.max(3)], -1)
        spatial = ops.conv(planes, params["spatial"]["conv"]["kernel"], padding=3)
        return channel[:, None, None], sigma(np.asarray(spatial))

    channel, spatial = maps(x)
    np.testing.assert_allclose(block.apply(variables, x), channel * spatial, atol=1e-5)
    serial = ChannelSpatialWeights(20, serial=True, **make).apply(variables, x)
    np.testing.assert_allclose(serial, channel * maps(x * channel)[1], atol=1e-5)
    assert np.abs(serial - channel * spatial).max() > 0.01


# Parameters with one option changed. Lite-HRNet's weightings have 135,984 and 108,800, those of
# Lite CSW-HRNet 1,640 and 4,856.
ABLATIONS = {
    "weighting=both": 892_481,
    "weighting=cross": 1_130_769 - 135_984 + 1_640,
    "weighting=single": 1_130_769 - 108_800 + 4_856,
    "weighting=none": 1_130_769,
    "arrangement=serial": 892_481,
    "shared=False": 892_481 + 224,
    "fusion=sum": 892_481,
    "pooling=avg": 892_481 - 64 * 49,
    "pooling=max": 892_481 - 64 * 49,
}


@pytest.mark.slow
@pytest.mark.parametrize("case", ABLATIONS)
def test_ablations_are_one_override(case):
    option, value = case.split("=")
    value = {"False": False}.get(value, value)
    assert size_of("lite_csw_hrnet_18", **{option: value}) == ABLATIONS[case]


@pytest.mark.slow
def test_ablations_of_two_options():
    assert size_of("lite_csw_hrnet_18", gamma=1, b=2) == 892_481 + 288
    bare = {"weighting": "none", "instead": "none"}
    assert size_of("lite_csw_hrnet_18", **bare) == 1_130_769 - 135_984 - 108_800
    assert size_of("naive_lite_hrnet_18", depth=30) == 1_196_955
    assert size_of("wider_naive_lite_hrnet_18", depth=30) == 2_077_145


def test_one_pooling_has_one_input_plane():
    x = data(1, 4, 4, 8)
    for pooling, plane in (("avg", x.mean(-1, keepdims=True)), ("max", x.max(-1, keepdims=True))):
        gate = SpatialMap(pooling)
        variables = gate.init(jax.random.key(0), x)
        kernel = variables["params"]["conv"]["kernel"]
        assert kernel.shape == (7, 7, 1, 1)
        expected = jax.nn.sigmoid(ops.conv(plane, kernel, padding=3))
        np.testing.assert_allclose(gate.apply(variables, x), expected, atol=1e-6)


@pytest.mark.parametrize(
    "name,options,message",
    [
        ("lite_hrnet_18", {"fusion": "summ"}, "did you mean 'sum'"),
        ("dite_hrnet_18", {"conv_init": "kaimming"}, "did you mean 'kaiming'"),
        ("naive_lite_hrnet_18", {"depth": 50}, "choose from 18, 30"),
        ("lite_csw_hrnet_18", {"weighting": "crosss"}, "did you mean 'cross'"),
        ("lite_csw_hrnet_18", {"arrangement": "seriel"}, "did you mean 'serial'"),
        ("lite_csw_hrnet_18", {"gamma": 0}, "gamma must be positive"),
        ("lite_csw_hrnet_18", {"gamma": "two"}, "option 'gamma' must be a number, got 'two'"),
        ("lite_csw_hrnet_18", {"b": True}, "option 'b' must be a number, got True"),
        ("el_hrnet_w32", {"reduction": 16.0}, "'reduction' must be a whole number, got 16.0"),
        ("el_hrnet_w32", {"groups": True}, "'groups' must be a whole number or None, got True"),
        ("lite_csw_hrnet_18", {"layout": None}, "'layout' is unknown"),
    ],
)
def test_wrong_options_are_rejected(name, options, message):
    with pytest.raises(ValueError, match=message):
        jaxpose.create_model(name, **options)


@pytest.mark.slow
def test_initial_values():
    """Lite-HRNet's rule, N(0, 0.001), is for 2-D convolutions; others have PyTorch's defaults."""
    x = np.zeros((1, 8, 8, 300), np.float32)
    block = ChannelSpatialWeights(300, 1, 2, "both", shared=True, serial=False)
    draw = jax.vmap(lambda key: block.init(key, x)["params"]["channel"]["conv"]["kernel"])
    kernels = draw(jax.random.split(jax.random.key(0), 64))
    assert kernels.shape == (64, 11)
    assert 0.9 * 11**-0.5 < float(np.abs(kernels).max()) <= 11**-0.5
