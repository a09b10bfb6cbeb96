"""EfficientHRNet: sizes of every part, scaling, padding and stochastic depth of its blocks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpose
from jaxpose import models, summary
from jaxpose.layers import BatchNorm, Conv
from jaxpose.models import efficient_hrnet
from jaxpose.models.efficientnet import B0, MBConv, PaddedConv, Row, scaled_width

# Parameters in 1e6, multiply-adds in 1e9, and both as the tool of the paper counts: the blocks of
# the backbone twice, the transposed convolution at its output.
SIZES = {
    "h0": (512, "19.7254 23.9583", "23.3198 25.6192"),
    "hm1": (480, "13.0044 13.1300", "16.0543 14.2083"),
    "hm2": (448, "8.2635 7.0300", "10.3887 7.7254"),
    "hm3": (416, "5.3604 3.7590", "6.9624 4.2091"),
    "hm4": (384, "2.7647 1.8075", "3.7572 2.1048"),
}
# The same of the parts, to a unit of the last digit.
PARTS = {
    "backbone": "3.5954/1.9015 3.0508/1.5015 2.1259/1.0454 1.6027/0.7242 0.9932/0.3816",
    "trans1": "0.0302/0.2076 0.0246/0.1483 0.0168/0.0948 0.0136/0.0662 0.0100/0.0365",
    "stage2": "0.2058/1.2918 0.1360/0.7495 0.0888/0.4260 0.0583/0.2407 0.0375/0.1342",
    "trans2": "0.1758/0.4341 0.1274/0.2621 0.0920/0.1558 0.0665/0.0921 0.0474/0.0538",
    "stage3": "3.7179/8.2376 1.8173/3.5625 0.7885/1.3477 0.2576/0.3801 0.1671/0.2115",
    "trans3": "0.9322/0.6417 0.6611/0.3812 0.4771/0.2255 0.3415/0.1321 0.2431/0.0765",
    "stage4": "10.9954/8.2208 7.1365/4.7256 4.6386/2.6795 2.9949/1.5047 1.2476/0.5412",
    "head": "0.0727/3.0231 0.0510/1.7994 0.0357/1.0553 0.0253/0.6190 0.0187/0.3724",
}


def billions(*values):
    return " ".join(f"{value:.4f}" for value in values)


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_sizes_of_the_network_and_of_its_parts(name):
    size, true, paper = SIZES[name]
    result = summary.count(f"efficient_hrnet_{name}", (size, size))
    assert billions(result.params / 1e6, result.macs / 1e9) == true
    assert billions(*result.printed("higher")) == paper
    assert models.info(f"efficient_hrnet_{name}").input_size == (size, size)
    column = list(SIZES).index(name)
    for part, columns in PARTS.items():
        rows = [row for row in result.stages if row.name.startswith(part)]
        sizes = sum(row.params for row in rows) / 1e6, sum(row.macs for row in rows) / 1e9
        expected = map(float, columns.split()[column].split("/"))
        assert sizes == pytest.approx(tuple(expected), abs=1.5e-4), part


@pytest.mark.parametrize(
    "scaling,stem,widths,branches",
    [
        (efficient_hrnet.H0, 32, (16, 24, 40, 80, 112, 192, 320), (32, 64, 128, 256)),
        (efficient_hrnet.HM1, 32, (16, 24, 40, 72, 104, 176, 288), (26, 52, 103, 206)),
        (efficient_hrnet.HM2, 24, (16, 24, 32, 64, 96, 160, 264), (21, 42, 83, 166)),
        (efficient_hrnet.HM3, 24, (16, 24, 32, 64, 88, 144, 240), (17, 34, 67, 133)),
        (efficient_hrnet.HM4, 24, (16, 16, 32, 56, 80, 128, 216), (14, 27, 54, 107)),
    ],
)
def test_widths(scaling, stem, widths, branches):
    assert scaled_width(32, scaling.width) == stem
    assert tuple(scaled_width(row.features, scaling.width) for row in B0) == widths
    assert efficient_hrnet.branch_widths(scaling.phi) == branches


@pytest.mark.slow
def test_outputs():
    model = jaxpose.create_model("efficient_hrnet_hm4", 5, dtype=jnp.bfloat16)
    images = jax.ShapeDtypeStruct((2, 64, 96, 3), jnp.float32)
    outputs, variables = jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=True), images
    )
    assert [y.shape for y in outputs] == [(2, 16, 24, 10), (2, 32, 48, 5)]
    assert {y.dtype for y in outputs} == {jnp.dtype("float32")}
    assert set(variables) == {"params", "batch_stats"}


def test_wrong_options_are_rejected():
    for option, message in (
        ({"conv_init": "he"}, "conv_init 'he' is unknown"),
        ({"drop_path": 1.0}, r"drop_path 1.0 is not in \[0, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            jaxpose.create_model("efficient_hrnet_h0", **option)


@pytest.mark.parametrize("kernel,stride", [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_padding_is_one_more_after_the_image(kernel, stride):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(1, 8, 6, 4)).astype(np.float32)
    layer = PaddedConv(4, kernel, stride, Conv, BatchNorm, groups=4)
    variables = layer.init(jax.random.key(0), x, False)
    weight = torch.tensor(np.array(variables["params"]["conv"]["kernel"])).permute(3, 2, 0, 1)
    total = kernel - stride
    image = torch.nn.functional.pad(
        torch.tensor(x).permute(0, 3, 1, 2), [total // 2, total - total // 2] * 2
    )
    y = torch.nn.functional.conv2d(image, weight, stride=stride, groups=4)
    expected = torch.nn.functional.silu(y / (1 + 1e-5) ** 0.5).permute(0, 2, 3, 1)
    np.testing.assert_allclose(layer.apply(variables, x, False), expected, atol=1e-5)


def test_stochastic_depth_skips_examples_only_in_training():
    x = np.random.default_rng(0).normal(size=(16, 2, 2, 8)).astype(np.float32)
    block = partial(MBConv, Row(1, 8, 1, 1, 3), 8, 1, conv=Conv, norm=BatchNorm)
    always, sometimes = block(drop_path=0.0), block(drop_path=0.25)
    variables = always.init(jax.random.key(0), x, False)
    run = dict(mutable=["batch_stats"])
    expected = np.asarray(always.apply(variables, x, True, **run)[0]) - x
    rngs = {"drop_path": jax.random.key(1)}
    change = np.asarray(sometimes.apply(variables, x, True, rngs=rngs, **run)[0]) - x
    skipped = np.abs(change).max((1, 2, 3)) < 1e-6
    assert 0 < skipped.sum() < 16
    np.testing.assert_allclose(change[~skipped], expected[~skipped] / 0.75, atol=1e-5)
    with pytest.raises(ValueError, match="drop_path=0.25 needs random numbers in training"):
        sometimes.apply(variables, x, True, **run)
    np.testing.assert_array_equal(
        sometimes.apply(variables, x, False), always.apply(variables, x, False)
    )
