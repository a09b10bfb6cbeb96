"""All models: construction, shapes, gradients, error messages."""

import re
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpose
from jaxpose import models
from jaxpose.layers import BatchNorm, Conv, ConvNormAct, init
from tests.helpers import recipe
from tests.helpers.zoo import every, traced

NAMES = jaxpose.list_models()
TOPDOWN = [name for name in NAMES if models.info(name).task == "topdown"]
SIMCC = [name for name in NAMES if models.info(name).task == "simcc"]
BOTTOMUP = [name for name in NAMES if models.info(name).task == "associative_embedding"]


def shapes_of(model, height=64, width=64):
    images = jax.ShapeDtypeStruct((2, height, width, 3), jnp.float32)
    return jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=False), images
    )


@pytest.mark.parametrize("name", traced(NAMES))
def test_shapes_types_and_collections(name):
    model = jaxpose.create_model(name, num_keypoints=5, dtype=jnp.bfloat16, bn_axis="data")
    norms = []

    def check(method, args, kwargs, context):
        """All layers return bfloat16; only the network itself returns float32."""
        result, module = method(*args, **kwargs), context.module
        if module.path:
            assert {y.dtype for y in jax.tree.leaves(result)} <= {jnp.dtype("bfloat16")}, module
        if isinstance(module, BatchNorm):
            norms.append(module.axis_name)
        return result

    with nn.intercept_methods(check):
        outputs, variables = shapes_of(model, 64, 96)
    assert set(norms) == {"data"}
    if name in TOPDOWN:
        assert (outputs.shape, outputs.dtype) == ((2, 16, 24, 5), jnp.float32)
    else:
        expected = [(2, 8, 12, 6), (2, 8, 12, 38)] * 2
        if name in BOTTOMUP:
            expected = [(2, 16, 24, 10), (2, 32, 48, 5)]
        elif name in SIMCC:
            expected = [(2, 5, 192), (2, 5, 128)]
        assert [y.shape for y in outputs] == expected
        assert {y.dtype for y in outputs} == {jnp.dtype("float32")}
    assert set(variables) == {"params", "batch_stats"}
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert models.info(name).name == name


@pytest.mark.slow
@pytest.mark.parametrize("name", TOPDOWN)
def test_topdown_models_have_256x192_as_input_size(name):
    size = models.info(name).input_size
    assert shapes_of(jaxpose.create_model(name), *size)[0].shape[1:3] == (64, 48)


class Small(nn.Module):
    """Layers with every kind of initial value; like a user's network, not hashable."""

    widths: list[int]

    @nn.compact
    def __call__(self, x, train):
        for width in self.widths:
            x = ConvNormAct(width, 3, 2)(x, train)
        return Conv(5, use_bias=True, bias_init=init.torch_default_bias(4))(x)


def test_initial_variables_are_those_of_init():
    network = Small([3, 4])
    wanted = network.init(jax.random.key(3), jnp.ones((1, 8, 8, 3)), train=False)
    got = models.initial_variables(network, (8, 8), 3)
    jax.tree.map(np.testing.assert_array_equal, got, wanted)
    traced = jax.jit(lambda seed: models.initial_variables(network, (8, 8), seed))(3)
    jax.tree.map(np.testing.assert_array_equal, traced, wanted)


def drawn(model, images):
    """Variables from numpy (compiling an initializer per shape takes longer than the network)."""
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        name = path[-1].key
        if name.endswith("kernel"):
            std = (2 / np.prod(leaf.shape[:-1] if leaf.ndim == 2 else leaf.shape[:3])) ** 0.5
            return rng.normal(0, std, leaf.shape).astype(np.float32)
        constant = {
            "scale": 1.0, "bias": 0.1, "mean": 0.0, "var": 1.0,
            "gain": 1.0, "factor": 1.0, "gamma": 1.0, "beta": 0.1,
        }[name]  # fmt: skip
        return np.full(leaf.shape, constant, np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


# By default, some attention of EL-HRNet has two hidden units; with random weights both may be dead.
OPTIONS = {"el_hrnet_w32": {"reduction": 2}}
# Their gradient is zero up to rounding: batch norm cancels the bias before it, a softmax that of
# its logits; and each block of Dite-HRNet has a mask for the lowest resolution that nothing uses
# (checkpoints have it).
CANCELLED = re.compile(
    r"pointwise/bias$|trans\d_branch\d/conv/bias$|trunk_\d/trunk_\d/conv/bias$"
    r"|conv_mask(_\d)?/bias$"
    r"|stage0_.*/dcm/conv_mask_1|stage1_.*/dcm/conv_mask_2|stage2_.*/dcm/conv_mask_3"
)


@pytest.mark.slow
@pytest.mark.parametrize("name", every(NAMES))
def test_every_parameter_gets_a_gradient(name):
    model = jaxpose.create_model(name, **OPTIONS.get(name, {}))
    images = recipe.images(2, 64, 64)
    variables = drawn(model, images)
    rng = np.random.default_rng(0)
    outputs = jax.tree.leaves(shapes_of(model)[0])
    targets = [rng.normal(size=y.shape).astype(np.float32) for y in outputs]

    @jax.jit
    def differentiate(variables):
        def loss(params):
            y, changes = model.apply(
                variables | {"params": params}, images, train=True, mutable=["batch_stats"]
            )
            y = jax.tree.leaves(y)
            return sum(jnp.mean((a - b) ** 2) for a, b in zip(y, targets, strict=True)), (
                y,
                changes,
            )

        return jax.value_and_grad(loss, has_aux=True)(variables["params"])

    # Run once, in the operators' forms of this platform; without LLVM's optimizations it compiles
    # faster and gives the same result.
    program = differentiate.lower(variables).compile({"xla_backend_optimization_level": 0})
    (loss, (y, changes)), gradient = program(variables)
    assert np.isfinite(loss) and all(np.isfinite(heatmaps).all() for heatmaps in y)
    for path, g in jax.tree_util.tree_leaves_with_path(gradient):
        path = jax.tree_util.keystr(path, simple=True, separator="/")
        assert np.isfinite(g).all(), path
        assert np.abs(g).max() > 0 or CANCELLED.search(path), path
    for before, after in zip(
        jax.tree.leaves(variables["batch_stats"]),
        jax.tree.leaves(changes["batch_stats"]),
        strict=True,
    ):
        assert np.isfinite(after).all() and not np.array_equal(before, after)


@pytest.mark.parametrize(
    "build,message",
    [
        (lambda: jaxpose.create_model("hwl_mobilenet"), "did you mean 'hwl_mobilenetv3'"),
        (
            lambda: jaxpose.create_model("hwl_mobilenetv3", attenton="se"),
            "option 'attenton' is unknown; did you mean 'attention'",
        ),
        (lambda: jaxpose.create_model("hwl_mobilenetv3", attention="cban"), "did you mean 'cbam'"),
        (lambda: jaxpose.create_model("hwl_mobilenetv3", hard_sigmoid="v1"), "hard_sigmoid_v1"),
        (lambda: jaxpose.create_model("hwl_mobilenetv3", backbone="resnet"), "mobilenetv3"),
        (lambda: jaxpose.create_model("hwl_mobilenetv3", parent=None), "'parent' is unknown"),
        (lambda: jaxpose.create_model("simplebaseline_resnet50", 0), "positive integer"),
        (lambda: jaxpose.create_model("simplebaseline_resnet50", 17.0), "positive integer"),
        (lambda: jaxpose.create_model("simplebaseline_resnet50", deconv_init="x"), "kaiming"),
        (lambda: jaxpose.create_model("simplebaseline_shufflenetv2", width=0.7), "0.5, 1.0, 1.5"),
        (lambda: models.info("resnet50"), "simplebaseline_resnet50"),
        (lambda: jaxpose.create_model("litepose"), "did you mean 'litepose_"),
        (lambda: jaxpose.create_model("litepose_xs", widths=None), "'widths' is unknown"),
    ],
)
def test_wrong_names_and_options_are_rejected(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("name", [*TOPDOWN, *SIMCC, *BOTTOMUP])
@pytest.mark.parametrize(
    "size,nearest",
    [((250, 192), "256x192"), ((256, 200), "256x192"), ((10, 49), "32x64")],
)
def test_sizes_must_be_multiples_of_32(name, size, nearest):
    with pytest.raises(ValueError, match=f"nearest valid size is {nearest}"):
        shapes_of(jaxpose.create_model(name), *size)


def test_images_must_have_three_channels():
    model = jaxpose.create_model("hwl_mobilenetv3")
    with pytest.raises(ValueError, match=r"\[B,H,W,3\]"):
        jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 1))))


@pytest.mark.parametrize("width,channels", [(0.5, 1024), (1.5, 1024), (2.0, 2048)])
def test_shufflenet_widths(width, channels):
    model = jaxpose.create_model("simplebaseline_shufflenetv2", width=width)
    _, variables = shapes_of(model)
    assert variables["params"]["backbone"]["layers3"]["conv"]["kernel"].shape[-1] == channels


def test_import_is_light_and_submodules_are_reachable():
    code = """
import sys, jaxpose
heavy = {"jax", "flax", "numpy", "tensorflow"} & set(sys.modules)
assert not heavy, heavy
from jaxpose import create_model
assert create_model is jaxpose.create_model and "hwl_mobilenetv3" in jaxpose.list_models()
heavy = {"tensorflow", "torch", "onnx", "orbax.checkpoint", "cv2"} & set(sys.modules)
assert not heavy, heavy
jaxpose.summary.count, jaxpose.convert.from_torch, jaxpose.losses, jaxpose.geometry
jaxpose.codecs.topdown, jaxpose.metrics
try:
    jaxpose.nothing
except AttributeError:
    print(jaxpose.__version__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == jaxpose.__version__
