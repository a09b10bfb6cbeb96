"""Losses against formulas written out here, stored facts and gradients."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose.losses import heatmap_weighting_loss, masked_mse

SHAPE = (2, 8, 6, 4)
FACTORS = {
    "none": lambda g: 1 + 0 * g,
    "x": lambda g: 1 + g,
    "2x": lambda g: 1 + 2 * g,
    "x2": lambda g: 1 + g * g,
    "exp": lambda g: 1 + np.exp(g),
}


def _uniform(seed, shape):
    """Reproducible numbers in [0, 1) that the stored value was made from."""
    wave = 43758.5453 * np.sin(2 * np.pi * seed / 1000 + 12.9898 * np.arange(1, np.prod(shape) + 1))
    return (wave - np.floor(wave)).reshape(shape)


def _tensors():
    pred = 1.4 * _uniform(211, SHAPE) - 0.3
    target = _uniform(212, SHAPE) ** 3
    weight = (_uniform(213, (SHAPE[0], SHAPE[3])) > 0.35).astype(np.float64)
    return pred, target, weight


def test_golden(golden):
    case = json.loads((golden / "heatmap_weighting_loss.json").read_text())
    assert tuple(case["shape"]) == SHAPE
    loss = heatmap_weighting_loss(*_tensors(), fn=case["fn"])
    np.testing.assert_allclose(loss, case["value"], rtol=2e-6)
    assert loss.shape == () and loss.dtype == jnp.float32


@pytest.mark.parametrize("fn", FACTORS)
def test_written_out(fn):
    pred, target, weight = _tensors()
    t = weight[:, None, None, :]
    expected = (FACTORS[fn](target) * (t * pred - t * target) ** 2).mean()
    loss = jax.jit(heatmap_weighting_loss, static_argnames="fn")
    np.testing.assert_allclose(loss(pred, target, weight, fn=fn), expected, rtol=1e-5)
    unweighted = (FACTORS[fn](target) * (pred - target) ** 2).mean()
    np.testing.assert_allclose(loss(pred, target, fn=fn), unweighted, rtol=1e-5)


def test_worked_by_hand():
    """Two pixels, one joint: peak missed by 0.5, background by 0.2."""
    pred = np.array([0.5, 0.2]).reshape(1, 1, 2, 1)
    target = np.array([1.0, 0.0]).reshape(1, 1, 2, 1)
    expected = {"none": 0.145, "x": 0.27, "2x": 0.395, "x2": 0.27, "exp": 0.5048}
    for fn, value in expected.items():
        np.testing.assert_allclose(heatmap_weighting_loss(pred, target, fn=fn), value, atol=5e-5)


def test_default_function_is_x_and_masked_joints_stay_in_the_mean():
    pred, target, weight = _tensors()
    assert heatmap_weighting_loss(pred, target) == heatmap_weighting_loss(pred, target, fn="x")
    one = np.zeros_like(weight)
    one[0, 1] = 1
    alone = heatmap_weighting_loss(pred[:1, ..., 1:2], target[:1, ..., 1:2])
    np.testing.assert_allclose(heatmap_weighting_loss(pred, target, one), alone / 8, rtol=1e-5)


def test_gradient_at_the_peak_is_twice_that_of_mse():
    target = np.zeros((1, 5, 4, 2), np.float32)
    target[0, 2, 1, 0] = 1
    pred = np.full_like(target, 0.4)
    weighted = jax.grad(heatmap_weighting_loss)(pred, target)
    plain = jax.grad(lambda p: heatmap_weighting_loss(p, target, fn="none"))(pred)
    ratio = np.array(weighted / plain)
    np.testing.assert_allclose(ratio[0, 2, 1, 0], 2, rtol=1e-6)
    ratio[0, 2, 1, 0] = 1
    np.testing.assert_allclose(ratio, 1, rtol=1e-6)
    np.testing.assert_allclose(plain[0, 2, 1, 0], 2 * (0.4 - 1) / 40, rtol=1e-6)


def test_valid_examples_alone_decide():
    pred, target, weight = _tensors()
    padded = [np.concatenate([a, np.full_like(a[:1], np.nan)]) for a in (pred, target, weight)]
    valid = np.array([True, True, False])
    for fn in FACTORS:
        expected = heatmap_weighting_loss(pred, target, weight, fn=fn)
        found = heatmap_weighting_loss(*padded, fn=fn, valid=valid)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    gradient = jax.grad(heatmap_weighting_loss)(padded[0], *padded[1:], valid=valid)
    assert np.isfinite(gradient).all()
    assert not np.asarray(gradient[2]).any()
    np.testing.assert_allclose(
        gradient[:2], jax.grad(heatmap_weighting_loss)(pred, target, weight), rtol=1e-5, atol=1e-9
    )
    assert heatmap_weighting_loss(*padded, valid=np.zeros(3, bool)) == 0


def test_bfloat16_maps_are_summed_in_float32():
    pred = jnp.full((1, 64, 48, 17), 0.25, jnp.bfloat16)
    loss = heatmap_weighting_loss(pred, jnp.zeros_like(pred))
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, 0.0625, rtol=1e-5)


def test_bad_arguments():
    maps = np.zeros((2, 4, 3, 5))
    with pytest.raises(ValueError, match="unknown weight function 'x3'.*did you mean 'x"):
        heatmap_weighting_loss(maps, maps, fn="x3")
    with pytest.raises(ValueError, match=r"target_weight has shape \(2, 5, 1\), expected \(2, 5\)"):
        heatmap_weighting_loss(maps, maps, np.ones((2, 5, 1)))
    with pytest.raises(ValueError, match="must both be heatmaps"):
        heatmap_weighting_loss(maps, maps[..., :1])
    with pytest.raises(ValueError, match="valid has shape"):
        heatmap_weighting_loss(maps, maps, valid=np.ones(5))


def test_masked_mse():
    pred, target, _ = _tensors()
    mask = (_uniform(5, SHAPE[:3]) > 0.4).astype(np.float32)
    expected = np.mean(mask[..., None] * (pred - target) ** 2)
    np.testing.assert_allclose(masked_mse(pred, target, mask), expected, rtol=1e-5)
    gradient = np.asarray(jax.grad(masked_mse)(pred.astype(np.float32), target, mask))
    assert not gradient[mask == 0].any()
    with pytest.raises(ValueError, match="mask has shape"):
        masked_mse(pred, target, mask[..., None])
