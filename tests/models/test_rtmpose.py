"""RTMPose: counts of the public networks, values of the released one, conversion, input sizes.

`golden/forward_rtmpose_t.json` has outputs of mmpose's network (version 1.3.2) with weights and
images made from a formula (tests/helpers/recipe.py); `golden/torch_keys_rtmpose.json.gz` has the
keys and shapes of its state_dicts at several sizes and numbers of keypoints.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

import jaxpose
from jaxpose import convert, models, summary
from jaxpose.convert import command
from jaxpose.models import cspnext
from jaxpose.models.rtmpose import ScaleNorm
from tests.helpers import recipe, rtmpose
from tests.helpers.checkpoints import assert_equal, save_torch

# Size, K, H, W, parameters, multiply-adds of convolutions, of linear layers and of attention, cost
# by mmpose's tool: read off the public classes.
COUNTS = """
t  17 256x192  3337007   343261440 11350016   184960   358796160
s  17 256x192  5473251   664870912 11350016   184960   682181248
m  17 256x192 13587611  1906136064 11350016   184960  1928656512
l  17 256x192 27660339  4130775040 11350016   184960  4160053888
x  17 256x192 49304235  7621903360 11350016   184960  7659488896
m  17 384x288 13717659  4287826944 13560832   184960  4326290048
l  17 384x288 27790387  9292503040 13560832   184960  9346172544
x  17 384x288 49434283 17146562560 13560832   184960 17218922112
m  21 256x256 13775007  2550887424 14794752   282240  2580611712
t 106 256x256  5048584   564792576 74678272  7191040   651994880
s 106 256x256  7743036  1029279744 74678272  7191040  1118849536
m 106 256x256 16973812  2755605504 74678272  7191040  2852122112
m 133 256x192 17953039  2115671040 88797184 11320960  2226774656
m  17 256x256 13624475  2541253632 11976704   184960  2568062592
"""
BACKBONES = {"t": 2348700, "s": 4378320, "m": 12279432, "l": 26138912, "x": 47569560}


@pytest.fixture(scope="module")
def shapes(golden):
    return rtmpose.shapes(golden)


@pytest.fixture(scope="module")
def released(golden):
    return rtmpose.released(golden)


@pytest.mark.slow
@pytest.mark.parametrize("line", COUNTS.strip().split("\n"))
def test_counts_are_those_of_the_public_networks(line):
    size, keypoints, pixels, *numbers = line.split()
    height, width = map(int, pixels.split("x"))
    params, convolutions, linear, attention, mmengine = map(int, numbers)
    count = summary.count(f"rtmpose_{size}", (height, width), int(keypoints))
    assert count.params == params
    assert count.macs == convolutions + linear + attention
    assert count.mmengine == mmengine
    stages = {stage.name: stage for stage in count.stages}
    backbone = [stage.params for name, stage in stages.items() if name.startswith("backbone/")]
    assert sum(backbone) == BACKBONES[size]
    assert stages["head/gau"].macs == int(keypoints) * (256 * 1152 + 512 * 256) + attention


@pytest.mark.slow
def test_stages_are_those_of_the_public_network():
    """Parameters and multiply-adds in M at 256x192."""
    stages = {stage.name: stage for stage in summary.count("rtmpose_t").stages}
    for name, params, millions, output in (
        ("backbone/stem", 4_308, 51.757, (128, 96, 24)),
        ("backbone/stage1", 10_464 + 13_656, 31.850 + 33.696, (64, 48, 48)),
        ("backbone/stage3", 166_272 + 206_688, 31.850 + 32.348, (16, 12, 192)),
        ("backbone/stage4", 664_320 + 369_792 + 818_880, 31.850 + 17.695 + 32.228, (8, 6, 384)),
        ("head/final_layer", 319_889, 15.354, (8, 6, 17)),
    ):
        assert stages[name].params == params
        assert stages[name].macs / 1e6 == pytest.approx(millions, abs=0.002)
        assert stages[name].output == output


def test_outputs_equal_those_of_the_released_network(released):
    case, variables = released
    model = jaxpose.create_model("rtmpose_t")
    images = recipe.images(*case["input"][:3])
    outputs = jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, images)
    for output, wanted in zip(outputs, case["outputs"], strict=True):
        output = np.asarray(output)
        assert list(output.shape) == wanted["shape"]
        samples = output.reshape(-1)[recipe.sample_index(output.size)]
        assert np.abs(samples - wanted["samples"]).max() / wanted["std"] < case["tol"]
        gap = np.abs(output[0] - output[1]).max() / wanted["std"]
        assert gap == pytest.approx(wanted["batch_gap"], rel=1e-3)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == case["params"]


CASES = [
    "rtmpose_t", "rtmpose_s", "rtmpose_m", "rtmpose_l", "rtmpose_x", "rtmpose_m@384x288",
    "rtmpose_m_hand@256x256", "rtmpose_m_face@256x256", "rtmpose_m_wholebody@256x192",
    "rtmpose_m_halpe26@256x192", "rtmpose_t@128x96",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_round_trip_keeps_every_key_and_bit(case, shapes):
    """The input size is that of the weights; the variables are those of `init` at that size."""
    name, keys = case[: len("rtmpose_t")], shapes[case]
    keypoints = keys["head.final_layer.weight"][0]
    size = tuple(keys[f"head.cls_{axis}.weight"][0] // 2 for axis in "yx")
    state = recipe.state_dict(keys, 1.0)
    variables = convert.from_torch(name, state, keypoints)
    model = jaxpose.create_model(name, keypoints)
    images = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    wanted = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)
    assert jax.tree.structure(variables) == jax.tree.structure(wanted)
    for array, leaf in zip(jax.tree.leaves(variables), jax.tree.leaves(wanted), strict=True):
        assert (array.shape, array.dtype) == (leaf.shape, leaf.dtype)
    assert_equal(convert.to_torch_state_dict(name, variables), state)


@pytest.mark.parametrize(
    "change,message",
    [
        ({"head.cls_x.weight": None}, "missing 'head.cls_x.weight'"),
        ({"head.gau.res_scale.scale": None}, "missing 'head.gau.res_scale.scale'"),
        ({"head.gau.w": [33]}, "unexpected 'head.gau.w'"),
        ({"head.mlp.1.weight": [256, 48]}, r"'head.mlp.1.weight' has shape \[256, 48\]"),
        ({"head.cls_y.weight": [250, 256]}, "input size 125x96 .* multiples of 32"),
        ({"head.final_layer.weight": [17, 384, 1, 1]}, "'head.final_layer.weight' has shape"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, message, shapes):
    keys = {k: v for k, v in (shapes["rtmpose_t@128x96"] | change).items() if v is not None}
    with pytest.raises(ValueError, match=message):
        convert.from_torch("rtmpose_t", recipe.state_dict(keys, 1.0))


@pytest.mark.parametrize("size", [(96, 128), (256, 192)])
def test_images_of_another_size_are_refused(released, size):
    _, variables = released
    model = jaxpose.create_model("rtmpose_t")
    images = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    with pytest.raises(ValueError, match=f"images are {size[0]}x{size[1]} .* are for 128x96"):
        jax.eval_shape(lambda x: model.apply(variables, x, train=False), images)


@pytest.mark.slow
def test_initial_values_are_those_of_the_public_code():
    model = jaxpose.create_model("rtmpose_t")
    variables = models.initial_variables(model, (64, 64))
    params = traverse_util.flatten_dict(variables["params"], sep="/")
    spread = {name: float(np.std(array)) for name, array in params.items()}
    assert spread["head/final_layer/kernel"] == pytest.approx(0.001, rel=0.02)
    for name in ("mlp_1", "gau/uv", "gau/o", "cls_x", "cls_y"):
        kernel = np.asarray(params[f"head/{name}/kernel"])
        assert kernel.std() == pytest.approx(0.01, rel=4 / (2 * kernel.size) ** 0.5)
    bound = (9 * 24) ** -0.5  # U(+-1/sqrt(fan-in)), PyTorch's default
    kernel = np.asarray(params["backbone/stage1_0/conv/kernel"])
    assert np.abs(kernel).max() <= bound and kernel.std() == pytest.approx(bound / 3**0.5, rel=0.02)
    for name in ("gamma", "beta"):  # U(0, 1)
        values = np.asarray(params[f"head/gau/{name}"])
        assert values.shape == (2, 128) and 0 <= values.min() < 0.05 and 0.95 < values.max() <= 1
        assert values.mean() == pytest.approx(0.5, abs=0.06)
    for name in ("mlp_0/gain", "gau/ln/gain", "gau/res_scale/factor"):
        assert np.all(params[f"head/{name}"] == 1)


def test_scale_norm_and_its_gradient():
    """x / RMS; the RMS is at least 1e-5, also where x is zero."""
    x = jnp.array([[3.0, 4.0], [3e-6, 4e-6], [0.0, 0.0]])
    norm = ScaleNorm()
    variables = {"params": {"gain": jnp.array([2.0])}}
    y = norm.apply(variables, x)
    rms = np.array([(25 / 2) ** 0.5, 1e-5, 1e-5])[:, None]
    np.testing.assert_allclose(y, 2 * np.asarray(x) / rms, rtol=1e-6)
    gradient = jax.grad(lambda x: jnp.sum(norm.apply(variables, x) ** 2))(x)
    assert np.isfinite(gradient).all()


def test_layouts_have_the_public_widths_and_repeats():
    assert cspnext.TINY.widths() == (24, 48, 96, 192, 384)
    assert cspnext.MEDIUM.widths() == (48, 96, 192, 384, 768)
    assert cspnext.EXTRA_LARGE.widths() == (80, 160, 320, 640, 1280)
    repeats = {
        cspnext.TINY: (1, 1, 1, 1), cspnext.SMALL: (1, 2, 2, 1), cspnext.MEDIUM: (2, 4, 4, 2),
        cspnext.LARGE: (3, 6, 6, 3), cspnext.EXTRA_LARGE: (4, 8, 8, 4),
    }  # fmt: skip
    assert {layout: layout.repeats() for layout in repeats} == repeats


@pytest.mark.slow
def test_import_reads_the_input_size_from_the_weights(tmp_path, shapes):
    from jaxpose import runs

    state = recipe.state_dict(shapes["rtmpose_t@128x96"], 1.0)
    file, folder = tmp_path / "weights.pth", tmp_path / "run"
    save_torch({"state_dict": state, "ema_state_dict": {"steps": np.zeros((), np.int64)}}, file)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    words = ["rtmpose_t", str(file), "-o", str(folder)]
    with pytest.raises(ValueError, match="--size 256x192: the weights are of .* 128x96"):
        command.run(parser.parse_args([*words, "--size", "256x192"]))
    assert command.run(parser.parse_args(words)) == 0
    run = runs.read_run(folder)
    assert (run.config.model, tuple(run.config.input_size)) == ("rtmpose_t", (128, 96))
    assert (run.config.task, run.skeleton.name) == ("simcc", "coco")
    jax.tree.map(
        np.testing.assert_array_equal, run.variables, convert.from_torch("rtmpose_t", state)
    )
