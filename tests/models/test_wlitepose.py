"""WLitePose: parts against PyTorch, options, initial values."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpose
from jaxpose.models import wlitepose
from jaxpose.models.litepose import Backbone, FusionDeconv, S, policy

pytestmark = pytest.mark.usefixtures("native_operators")
LAYERS = policy(jnp.float32, None)
CONV, DECONV, NORM = LAYERS["conv"], LAYERS["deconv"], LAYERS["norm"]


@pytest.fixture(scope="module")
def native_operators():
    """The native forms compile faster; the tests of the operators compare both forms."""
    with jaxpose.ops.implementation("lax"):
        yield


def data(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def randomized(layer, *args):
    """Variables with every leaf drawn: biases and statistics differ, kernels are asymmetric."""
    shapes = jax.eval_shape(lambda: layer.init(jax.random.key(0), *args, False))
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        values = rng.normal(0, 0.3, leaf.shape)
        if path[-1].key in ("scale", "var"):
            values = 0.5 + np.abs(values)
        return values.astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


class Torch:
    """PyTorch functions on the variables of a Flax module, NCHW."""

    def __init__(self, variables):
        self.torch = pytest.importorskip("torch")
        self.F = self.torch.nn.functional
        self.variables = variables

    def leaf(self, path, name, collection="params"):
        tree = self.variables[collection]
        for key in (*path.split("/"), name):
            if key not in tree:
                return None
            tree = tree[key]
        return self.torch.tensor(np.asarray(tree))

    def conv(self, x, path, stride=1):
        weight = self.leaf(path, "kernel").permute(3, 2, 0, 1)
        padding = (weight.shape[2] // 2, weight.shape[3] // 2)
        groups = x.shape[1] // weight.shape[1]
        return self.F.conv2d(x, weight, self.leaf(path, "bias"), stride, padding, groups=groups)

    def norm(self, x, path):
        statistics = (self.leaf(path, name, "batch_stats") for name in ("mean", "var"))
        return self.F.batch_norm(x, *statistics, self.leaf(path, "scale"), self.leaf(path, "bias"))

    def deconv(self, x, path, depthwise=False):
        weight = self.leaf(path, "transposed_kernel").flip(0, 1)
        weight = weight.permute((3, 2, 0, 1) if depthwise else (2, 3, 0, 1))
        groups = x.shape[1] if depthwise else 1
        return self.F.conv_transpose2d(x, weight, stride=2, padding=1, groups=groups)


def block(reading, stride=1, features=16, attention="dfc", act="gelu", activations=1, norms=1):
    return wlitepose.DFCBottleneck(
        features, stride, attention, reading, act, activations, norms, CONV, NORM
    )


LITERAL, A, B, C = wlitepose.PRESETS.values()


@pytest.mark.slow
@pytest.mark.parametrize(
    "reading,stride,features,extra",
    [
        (LITERAL, 1, 16, {}),
        (LITERAL, 2, 16, {}),
        (LITERAL, 1, 24, {"attention": "none"}),
        (LITERAL, 1, 16, {"act": "relu6", "activations": 2, "norms": 3}),
        (A, 2, 24, {}),
        (B, 1, 16, {"norms": 3}),
        (C, 1, 16, {}),
    ],
)
def test_block_equals_torch(reading, stride, features, extra):
    """Table of section III-C, step by step: v, map A, eq. (11), batch norm, 1x1, GELU, 1x1."""
    x = data(2, 8, 12, 16)
    layer = block(reading, stride, features, **extra)
    variables = randomized(layer, x)
    t = Torch(variables)
    act = t.F.relu6 if "act" in extra else t.F.gelu
    three = extra.get("norms") == 3

    def attend(v, where, image):
        if extra.get("attention") == "none" or reading.gate != where:
            return v
        a = t.F.avg_pool2d(image, 2) if reading.pool else image
        for name in ("pointwise", "horizontal", "vertical"):
            a = t.conv(a, f"attention/dfc/{name}")
            a = t.norm(a, f"attention/dfc/{name}_bn") if reading.dfc_bn else a
        a = t.F.interpolate(a, v.shape[2:], mode="bilinear", align_corners=False)
        return t.torch.sigmoid(a) * v

    image = t.torch.tensor(x).permute(0, 3, 1, 2)
    y = t.norm(attend(t.conv(image, "depthwise", stride), "input", image), "bn")
    y = act(y) if "activations" in extra else y
    y = t.conv(y, "expand")
    y = t.norm(y, "expand_bn") if three else y
    y = t.conv(act(attend(y, "expanded", image)), "project")
    y = t.norm(y, "project_bn") if three else y
    y = image + y if image.shape == y.shape else y
    ours = layer.apply(variables, x, False)
    np.testing.assert_allclose(ours, y.permute(0, 2, 3, 1), atol=2e-4)


@pytest.mark.slow
def test_light_head_equals_torch():
    """Fusion, concatenation (features, then heatmaps and tags), eq. (6), figure 3 four times."""
    maps = [data(1, 4 * 2**n, 6 * 2**n, c) for n, c in ((3, 16), (2, 16), (1, 32), (0, 48), (0, 9))]
    layer = wlitepose.LightHead(2, S, 6, 3, **LAYERS)
    variables = randomized(layer, maps)
    t = Torch(variables)
    relu = t.F.relu
    _, quarter, eighth, sixteenth, x = (t.torch.tensor(m).permute(0, 3, 1, 2) for m in maps)
    for i, raw in enumerate((sixteenth, eighth)):
        x = t.deconv(x, f"fusion_{i}/refined") + t.deconv(raw, f"fusion_{i}/raw")
        x = relu(t.norm(x, f"fusion_{i}/bn"))
    assert x.shape[1] == 32

    def separable(x, path):
        x = relu(t.norm(t.conv(x, f"{path}/depthwise/conv"), f"{path}/depthwise/bn"))
        return t.conv(x, f"{path}/pointwise")

    low = separable(x, "final_0/refined") + separable(quarter, "final_0/raw")
    x = t.torch.cat([x, low], 1)
    x = t.conv(t.deconv(x, "light_deconv/depthwise", depthwise=True), "light_deconv/pointwise")
    x = relu(t.norm(x, "light_deconv/bn"))
    for i in range(4):
        path = f"light_residual_{i}"
        y = relu(t.norm(t.conv(x, f"{path}/conv1"), f"{path}/bn1"))
        y = t.F.channel_shuffle(y, 3)
        y = t.norm(t.conv(y, f"{path}/depthwise"), f"{path}/bn2")
        x = relu(x + t.norm(t.conv(y, f"{path}/conv2"), f"{path}/bn3"))
    high = t.conv(x, "final_1")
    for ours, theirs in zip(layer.apply(variables, maps, False), (low, high), strict=True):
        theirs = theirs.permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(ours, theirs, atol=1e-3 * np.abs(theirs).max())


@pytest.mark.parametrize("attention", ["se", "cbam", "ca"])
@pytest.mark.parametrize("gate", ["input", "expanded"])
def test_weights_of_other_attentions_are_between_zero_and_one(attention, gate):
    v = np.abs(data(1, 4, 6, 32))
    layer = wlitepose.Attention(attention, LITERAL._replace(gate=gate), CONV, NORM)
    variables = randomized(layer, v, v)
    ratio = layer.apply(variables, v, v, False) / v
    assert 0 < ratio.min() < ratio.max() < 1


def abstract(**options):
    model = jaxpose.create_model("wlitepose_xs", **options)
    images = jax.ShapeDtypeStruct((1, 64, 32, 3), jnp.float32)
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x), images)["params"]


def test_without_the_changes_it_is_litepose():
    model = jaxpose.create_model("litepose_xs")
    images = jax.ShapeDtypeStruct((1, 64, 32, 3), jnp.float32)
    theirs = jax.eval_shape(lambda x: model.init(jax.random.key(0), x), images)["params"]
    assert abstract(stages=(), light_deconv=False) == theirs


@pytest.fixture
def sizes():
    """Sizes of the backbone's maps and of the inputs of all fusion deconvolutions, by call."""
    calls = []

    def record(method, args, kwargs, context):
        result = method(*args, **kwargs)
        if isinstance(context.module, Backbone):
            calls.append([x.shape[1] for x in result])
        elif isinstance(context.module, FusionDeconv):
            refined, raw, _ = args
            calls.append((refined.shape[1:], None if raw is None else raw.shape[1:]))
        return result

    with nn.intercept_methods(record):
        yield calls


@pytest.mark.slow
def test_topology_of_the_text(sizes):
    """1/32 after stage 4, three fusion deconvolutions to 1/4, and 66 channels of S on COCO."""
    options = dict(topology="text", light_width=32, light_groups=4)
    model = jaxpose.create_model("wlitepose_s", **options)
    images = jax.ShapeDtypeStruct((1, 128, 64, 3), jnp.float32)
    (low, high), variables = jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x), images
    )
    assert low.shape == (1, 32, 16, 34) and high.shape == (1, 64, 32, 17)
    assert sizes == [
        [64, 32, 16, 8, 4],
        ((4, 2, 120), None),
        ((8, 4, 32), (8, 4, 48)),
        ((16, 8, 24), (16, 8, 32)),
    ]
    light = variables["params"]["head"]["light_deconv"]
    assert light["pointwise"]["kernel"].shape == (1, 1, 66, 32)


def test_fusion_without_a_raw_map_equals_torch():
    x = data(1, 3, 5, 9)
    layer = FusionDeconv(8, DECONV, NORM)
    shapes = jax.eval_shape(lambda: layer.init(jax.random.key(0), x, None, False))
    assert set(shapes["params"]) == {"refined", "bn"}
    variables = layer.init(jax.random.key(0), x, None, False)
    t = Torch(variables)
    y = t.deconv(t.torch.tensor(x).permute(0, 3, 1, 2), "refined")
    y = t.F.relu(t.norm(y, "bn")).permute(0, 2, 3, 1)
    np.testing.assert_allclose(layer.apply(variables, x, None, False), y, atol=1e-5)


def test_topology_of_the_text_needs_multiples_of_64():
    """The DFC branch halves the maps at 1/32; without pooling, 32 is enough."""
    for size, pool, step in ((96, True, 64), (80, False, 32)):
        model = jaxpose.create_model("wlitepose_xs", topology="text", pool=pool)
        images = jax.ShapeDtypeStruct((1, size, 64, 3), jnp.float32)
        with pytest.raises(ValueError, match=f"must be multiples of {step}"):
            jax.eval_shape(lambda x, m=model: m.init(jax.random.key(0), x), images)


@pytest.mark.slow
def test_stages_and_first_blocks():
    backbone = abstract(stages=[2, 4], keep_first=True)["backbone"]
    ours = {name for name, block in backbone.items() if "expand" in block}
    assert ours == {f"stage_1_{i}" for i in range(1, 8)} | {f"stage_3_{i}" for i in range(1, 10)}


def test_options_override_the_preset():
    model = jaxpose.create_model("wlitepose_s", preset="B", pool=True, expansion=4)
    assert model.reading == wlitepose.Reading("expanded", True, 7, True, 4, True)
    assert jaxpose.create_model("wlitepose_s").reading == LITERAL


def light_head(num_keypoints, **options):
    """The parameters of S's head, by shape."""
    options = {"light_width": 33, "light_groups": 3} | options
    layer = wlitepose.LightHead(num_keypoints, S, **options, **LAYERS)
    sizes = ((8, 16), (4, 16), (2, 32), (1, 48), (1, 120))  # of the backbone's maps
    maps = [jax.ShapeDtypeStruct((1, n, n, c), jnp.float32) for n, c in sizes]
    return jax.eval_shape(lambda m: layer.init(jax.random.key(0), m, False), maps)["params"]


@pytest.mark.parametrize("groups,width", [(3, 30), (3, 36), (2, 32), (4, 32)])
def test_widths_and_groups_of_the_light_module(groups, width):
    head = light_head(14, light_width=width, light_groups=groups)
    kernel = head["light_residual_3"]["conv1"]["kernel"]
    assert kernel.shape == (1, 1, width // groups, width)


@pytest.mark.parametrize("num_keypoints,channels", [(17, 66), (14, 60)])
def test_the_papers_66_channels_are_those_of_s_on_coco(num_keypoints, channels):
    head = light_head(num_keypoints)
    assert head["light_deconv"]["pointwise"]["kernel"].shape == (1, 1, channels, 33)


@pytest.mark.parametrize(
    "options,message",
    [
        ({"light_width": 32}, "light_width 32 is not a multiple of light_groups 3.*is 33"),
        ({"preset": "literl"}, "did you mean 'literal'"),
        ({"topology": "texts"}, "did you mean 'text'"),
        ({"topology": "text", "light_deconv": False}, "light_deconv=False needs topology"),
        ({"attention": "eca"}, "choose from dfc, se, cbam, ca, none|did you mean"),
        ({"gate": "inputs"}, "did you mean 'input'"),
        ({"stages": (0,)}, "stage 0 is unknown"),
        ({"stages": 3}, "stages must be a tuple"),
        ({"dfc_kernel": 4}, "dfc_kernel 4 must be odd"),
        ({"expansion": 0}, "expansion 0"),
        ({"norms": 2}, "norms 2"),
        ({"light_deconv": 0}, "option 'light_deconv' must be True or False, got 0"),
        ({"pool": "off"}, "option 'pool' must be True or False, got 'off'"),
        ({"dfc_kernal": 5}, "did you mean 'dfc_kernel'"),
    ],
)
def test_wrong_options_are_rejected(options, message):
    with pytest.raises(ValueError, match=message):
        jaxpose.create_model("wlitepose_xs", **options)


def test_initial_values_are_those_of_pytorch():
    """U(+-1/sqrt(fan_in)); a dense transposed convolution counts its output side, as PyTorch."""
    x = data(1, 2, 2, 36)
    layers = (
        (FusionDeconv(32, DECONV, NORM), (x, x)),
        (wlitepose.LightDeconv(33, CONV, DECONV, NORM), (x,)),
        (block(LITERAL), (x,)),
    )
    key = jax.random.key(0)
    fusion, light, ours = (
        jax.jit(partial(layer.init, train=False))(key, *maps)["params"] for layer, maps in layers
    )
    for values, fan in [
        (fusion["refined"]["transposed_kernel"], 32 * 16),
        (light["depthwise"]["transposed_kernel"], 16),
        (light["pointwise"]["kernel"], 36),
        (ours["depthwise"]["kernel"], 49),
        (ours["expand"]["bias"], 36),
        (ours["project"]["kernel"], 216),
    ]:
        assert 0.9 < float(np.abs(values).max()) * fan**0.5 <= 1.0
