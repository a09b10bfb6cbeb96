"""Lightweight OpenPose and ViPNAS: exact sizes, outputs, the input of the public weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpose
from jaxpose import geometry, summary
from jaxpose.models.lightweight_openpose import MEAN, STD, public_input


def outputs_of(name, height, width, **options):
    model = jaxpose.create_model(name, **options)
    images = jax.ShapeDtypeStruct((2, height, width, 3), jnp.float32)
    return jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=True), images
    )


def test_sizes_of_lightweight_openpose():
    result = summary.count("lightweight_openpose", (368, 368), 18)
    assert (result.params, result.macs) == (4_091_698, 8_881_647_616)
    for part, params, macs in (
        ("model", 1.6131, 3.6508),
        ("cpm", 0.2659, 0.5620),
        ("initial_stage", 0.6041, 1.2751),
        ("refinement_stages", 1.6086, 3.3937),
    ):
        rows = [row for row in result.stages if row.name.startswith(part)]
        sizes = sum(row.params for row in rows) / 1e6, sum(row.macs for row in rows) / 1e9
        assert sizes == pytest.approx((params, macs), abs=1e-4), part
    three = summary.count("lightweight_openpose", (368, 368), 18, refinement_stages=3)
    assert round((three.params - result.params) / 2e6, 4) == 1.6086
    assert round((three.macs - result.macs) / 2e9, 3) == 3.394


def test_outputs_of_lightweight_openpose():
    outputs, variables = outputs_of(
        "lightweight_openpose", 40, 56, num_keypoints=18, dtype=jnp.bfloat16, refinement_stages=2
    )
    assert [y.shape for y in outputs] == [(2, 5, 7, 19), (2, 5, 7, 38)] * 3
    assert {y.dtype for y in outputs} == {jnp.dtype("float32")}
    assert set(variables) == {"params", "batch_stats"}
    with pytest.raises(ValueError, match="multiples of 8; the nearest valid size is 40x56"):
        outputs_of("lightweight_openpose", 41, 56)
    with pytest.raises(ValueError, match="limbs must be at least 1"):
        jaxpose.create_model("lightweight_openpose", limbs=0)


def test_public_input_undoes_the_normalisation():
    np.testing.assert_allclose(MEAN, geometry.MEAN, rtol=1e-6)
    np.testing.assert_allclose(STD, geometry.STD, rtol=1e-6)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 5, 3)).astype(np.float32)
    expected = (pixels[..., ::-1] - 128) / 256
    np.testing.assert_allclose(public_input((pixels - MEAN) / STD), expected, atol=1e-6)


@pytest.mark.slow
def test_sizes_of_vipnas():
    result = summary.count("vipnas_mobilenetv3", (256, 192))
    assert (result.params, result.macs) == (5_895_725, 734_151_936)
    assert f"{result.mmcv / 1e9:.3f}" == "0.762"
    backbone = [row for row in result.stages if row.name.startswith("backbone")]
    assert sum(row.params for row in backbone) == 5_884_348
    assert f"{sum(row.macs for row in backbone) / 1e6:.3f}" == "723.216"


def test_outputs_of_vipnas():
    heatmaps, variables = outputs_of("vipnas_mobilenetv3", 64, 96, num_keypoints=5)
    assert (heatmaps.shape, heatmaps.dtype) == ((2, 16, 24, 5), jnp.float32)
    assert set(variables) == {"params", "batch_stats"}
    with pytest.raises(ValueError, match="did you mean 'hard_sigmoid"):
        jaxpose.create_model("vipnas_mobilenetv3", hard_sigmoid="hardsigmoid")
