"""Losses against formulas written out here, stored values and gradients."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose.losses import (
    associative_embedding_loss,
    heatmap_weighting_loss,
    masked_mse,
    simcc_kl,
    soft_boundary_loss,
)

SHAPE = (2, 8, 6, 4)
FACTORS = {
    "none": lambda g: 1 + 0 * g,
    "x": lambda g: 1 + g,
    "2x": lambda g: 1 + 2 * g,
    "x2": lambda g: 1 + g * g,
    "exp": lambda g: 1 + np.exp(g),
}


def _uniform(seed, shape):
    """Reproducible numbers in [0, 1), the inputs of the stored value."""
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


def test_by_hand():
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


def test_masked_mse():
    pred, target, _ = _tensors()
    mask = (_uniform(5, SHAPE[:3]) > 0.4).astype(np.float32)
    expected = np.mean(mask[..., None] * (pred - target) ** 2)
    np.testing.assert_allclose(masked_mse(pred, target, mask), expected, rtol=1e-5)
    gradient = np.asarray(jax.grad(masked_mse)(pred.astype(np.float32), target, mask))
    assert not gradient[mask == 0].any()
    with pytest.raises(ValueError, match="mask has shape"):
        masked_mse(pred, target, mask[..., None])


def _soft_boundary_numpy(p, h, tau, detach):
    """Value and derivative in float64, from the formula; d|x| / dx at 0 is 1, as in JAX."""
    power = h**tau if h > 0 else 0.0
    weight = abs(p) * (1 - power) + abs(1 - p) * power
    slope = (1 if p >= 0 else -1) * (1 - power) - (1 if p <= 1 else -1) * power
    slope *= not detach
    return weight * (p - h) ** 2, slope * (p - h) ** 2 + 2 * weight * (p - h)


def _soft_boundary(p, h, tau, detach):
    """Value and derivative of one pixel."""

    def loss(pred):
        target = jnp.full((1, 1, 1, 1), h, jnp.float32)
        return soft_boundary_loss(pred, target, tau=tau, detach_weight=detach)

    value, gradient = jax.value_and_grad(loss)(jnp.full((1, 1, 1, 1), p, jnp.float32))
    return float(value), float(gradient[0, 0, 0, 0])


# (P, H): loss, derivative, derivative with the weight detached, at tau = 0.01.
@pytest.mark.parametrize(
    "pred, target, value, gradient, detached",
    [
        (0.1, 0, 0.001, 0.03, 0.02),
        (0, 1, 1, -3, -2),
        (0.3, 0.6, 0.0628, -0.5079, -0.4188),
        (1, 0.6, 0.0008, -0.1543, 0.0041),
        (0.9, 0.3, 0.0394, -0.2199, 0.1315),
    ],
)
def test_soft_boundary_table(pred, target, value, gradient, detached):
    for detach, expected in ((False, gradient), (True, detached)):
        actual = _soft_boundary(pred, target, 0.01, detach)
        np.testing.assert_allclose(actual, (value, expected), atol=6e-5)


def test_soft_boundary_second_basin():
    """With H = 0.6, the gradient at P = 0.9 points away from the target unless detached."""
    assert _soft_boundary(0.9, 0.6, 0.01, False)[1] == pytest.approx(-0.027, abs=5e-4)
    assert _soft_boundary(0.9, 0.6, 0.01, True)[1] == pytest.approx(0.062, abs=5e-4)
    ridge = (2 + 0.6) / 3
    assert _soft_boundary(ridge - 0.01, 0.6, 0.01, False)[1] > 0
    assert _soft_boundary(ridge + 0.01, 0.6, 0.01, False)[1] < 0


@pytest.mark.parametrize("tau", [1, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("detach", [False, True])
def test_soft_boundary_written_out(tau, detach):
    """Values and gradients on a grid with 0, 1 and the smallest value of a truncated Gaussian."""
    preds = np.array([-0.5, 0, 1e-6, 0.1, 0.3, 0.6, 0.9, 1, 1.2, 3])
    targets = np.array([0, 4.8e-6, 1e-3, 0.01, 0.1, 0.5, 0.6, 0.99, 1])
    p, h = (grid.reshape(1, 10, 9, 1) for grid in np.meshgrid(preds, targets, indexing="ij"))
    loss = jax.value_and_grad(
        lambda pred: soft_boundary_loss(pred, h, tau=tau, detach_weight=detach) * p.size
    )
    value, gradient = jax.jit(loss)(jnp.asarray(p, jnp.float32))
    # numpy's float32 grid, so that P = 1 and P = H fall where they should.
    expected = [
        _soft_boundary_numpy(float(a), float(b), tau, detach)
        for a, b in zip(p.astype("f").ravel(), h.astype("f").ravel(), strict=True)
    ]
    np.testing.assert_allclose(value, sum(pair[0] for pair in expected), rtol=2e-6)
    np.testing.assert_allclose(
        np.ravel(gradient), [pair[1] for pair in expected], rtol=2e-5, atol=2e-6
    )


def test_soft_boundary_powers():
    """H^tau, from P = 0 where the loss is H^tau H^2; and the threshold where it is 1/2."""
    powers = {1: 1.0, 0.5: 0.993, 0.1: 0.977, 0.01: 0.955, 1e-3: 0.933, 4.8e-6: 0.885}
    for target, power in powers.items():
        value, _ = _soft_boundary(0.0, target, 0.01, False)
        assert value / target**2 == pytest.approx(power, abs=6e-4)
    assert 0.5 ** (1 / 0.01) == pytest.approx(7.9e-31, rel=1e-2)
    value, gradient = _soft_boundary(0.3, 7.9e-31, 0.01, True)
    assert value == pytest.approx(0.5 * 0.3**2, rel=1e-3) and np.isfinite(gradient)


@pytest.mark.parametrize("tau", [1, 0.1, 0.01, 0.001])
def test_soft_boundary_is_finite_everywhere_without_a_gradient_of_the_target(tau):
    target = np.zeros((1, 5, 4, 2), np.float32)
    target[0, 2, 1, 0] = 1
    target[0, 2, 2, 0] = 1e-38
    for pred in (np.zeros_like(target), np.ones_like(target), -target, 1e6 * (1 - target)):
        loss = jax.value_and_grad(soft_boundary_loss, argnums=(0, 1))
        value, (gradient, of_target) = loss(jnp.asarray(pred), jnp.asarray(target), tau=tau)
        assert np.isfinite(value) and np.isfinite(gradient).all()
        assert not np.asarray(of_target).any()


def test_soft_boundary_mask_and_dtype():
    pred, target, _ = _tensors()
    mask = (_uniform(5, SHAPE[:3]) > 0.4).astype(np.float32)
    each = [
        _soft_boundary_numpy(float(a), float(b), 0.01, False)[0]
        for a, b in zip(pred.ravel(), target.ravel(), strict=True)
    ]
    expected = np.mean(mask[..., None] * np.reshape(each, SHAPE))
    actual = soft_boundary_loss(pred, target, mask)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    gradient = np.asarray(jax.grad(soft_boundary_loss)(pred.astype(np.float32), target, mask))
    assert not gradient[mask == 0].any()
    low = soft_boundary_loss(jnp.full((1, 8, 8, 2), 0.5, jnp.bfloat16), jnp.ones((1, 8, 8, 2)))
    assert low.dtype == jnp.float32 and low == 0.125
    with pytest.raises(ValueError, match="mask has shape"):
        soft_boundary_loss(pred, target, mask[..., None])
    with pytest.raises(ValueError, match="must both be heatmaps"):
        soft_boundary_loss(pred, target[:1])


def _embedding_numpy(tags, joints):
    """(pull, push), person by person, in float64."""
    pulls, pushes = [], []
    for maps, people in zip(np.asarray(tags, np.float64), joints, strict=True):
        means, spreads = [], []
        for person in people:
            own = [maps[y, x, k] for k, (x, y, valid) in enumerate(person) if valid]
            if own:
                means.append(np.mean(own))
                spreads.append(np.mean((own - means[-1]) ** 2))
        count = len(means)
        pulls.append(sum(spreads) / max(count, 1))
        near = [np.exp(-((a - b) ** 2)) for a in means for b in means]
        pushes.append(0.5 * (sum(near) - count) / (count * (count - 1)) if count > 1 else 0)
    return np.mean(pulls), np.mean(pushes)


def _people(random, size, people, joints, slots=30, share=0.7):
    """joints [slots, K, 3] of `people` people in slots other than the first."""
    result = np.zeros((slots, joints, 3), np.int32)
    for slot in random.choice(slots, people, replace=False):
        valid = random.random(joints) < share
        valid[random.integers(joints)] = True
        x, y = random.integers(size[1], size=joints), random.integers(size[0], size=joints)
        result[slot] = np.stack([x, y, valid], -1) * valid[:, None]
    return result


@pytest.mark.slow
def test_associative_embedding_twin_and_finite_differences(rng):
    size, joints = (10, 7), 5
    batch = [_people(rng, size, count, joints) for count in (0, 1, 2, 5, 30)]
    people = np.stack(batch)
    tags = rng.standard_normal((len(batch), *size, joints)).astype(np.float32)
    loss = jax.jit(associative_embedding_loss)
    np.testing.assert_allclose(loss(tags, people), _embedding_numpy(tags, people), rtol=1e-5)

    step = 1e-5
    places = [(i, 3, 4, 2) for i in range(len(batch))]
    places += [(i, y, x, k) for i in (1, 2, 4) for k in range(2) for n in range(30)
               for x, y, valid in people[i, n, k:k + 1] if valid]  # fmt: skip
    for part in (0, 1):
        gradient = np.asarray(jax.grad(lambda t, part=part: loss(t, people)[part])(tags))
        assert np.isfinite(gradient).all()
        for place in places[:40]:
            up, down = (tags.astype(np.float64) for _ in range(2))
            up[place] += step
            down[place] -= step
            slope = _embedding_numpy(up, people)[part] - _embedding_numpy(down, people)[part]
            np.testing.assert_allclose(gradient[place], slope / (2 * step), atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 30])
def test_associative_embedding_of_zero_one_and_thirty_people(count):
    random = np.random.default_rng(count)
    people = _people(random, (9, 12), count, 4, share=1.0)[None]
    tags = random.standard_normal((1, 9, 12, 4)).astype(np.float32)
    tags[0, 0, 0] = 50  # where unused entries point
    value_and_grad = jax.value_and_grad(lambda t: sum(associative_embedding_loss(t, people)))
    value, gradient = value_and_grad(jnp.asarray(tags))
    pull, push = associative_embedding_loss(tags, people)
    assert np.isfinite(gradient).all() and np.isfinite(value)
    if count == 0:
        assert pull == push == 0 and not np.asarray(gradient).any()
    if count == 1:
        own = np.array([tags[0, y, x, k] for k, (x, y, _) in enumerate(people[0].max(0))])
        np.testing.assert_allclose(pull, own.var(), rtol=1e-5)
        assert push == 0 and np.asarray(gradient).any()
    # The same value at all joints: no pull, and the greatest push, without its own diagonal.
    same = associative_embedding_loss(np.full_like(tags, 3), people)
    np.testing.assert_allclose(same, (0, 0.5 if count > 1 else 0), atol=1e-6)


@pytest.mark.slow
def test_associative_embedding_ignores_what_lies_outside_or_is_not_a_number():
    people = np.zeros((1, 3, 2, 3), np.int32)
    people[0, 0] = (1, 1, 1), (2, 1, 1)
    people[0, 1] = (3, 3, 1), (9, 3, 1)  # the second joint is outside a 6 x 5 map
    tags = np.full((1, 6, 5, 2), np.nan, np.float32)
    tags[0, 1, 1, 0], tags[0, 1, 2, 1], tags[0, 3, 3, 0] = 1.0, 2.0, 0.5
    loss = jax.value_and_grad(lambda t: jnp.stack(associative_embedding_loss(t, people)).sum())
    value, gradient = loss(jnp.asarray(tags))
    np.testing.assert_allclose(value, (0.25 + 0) / 2 + 0.5 * np.exp(-1), rtol=1e-6)
    assert np.isfinite(gradient).all()
    with pytest.raises(
        ValueError, match=r"joints have shape \(1, 3, 4, 3\), expected \(1, P, 2, 3\)"
    ):
        associative_embedding_loss(tags, np.zeros((1, 3, 4, 3), int))
    with pytest.raises(ValueError, match="expected .B, h, w, K."):
        associative_embedding_loss(tags[0], people)


def _simcc_case(case):
    """The tensors of the golden file, as it says: pred_x, pred_y, target_x, target_y, weight."""
    shape, seed = (case["batch"], case["joints"]), case["seed"]
    preds = [
        1.2 * _uniform(seed + axis, (*shape, count)) - 0.4
        for axis, count in enumerate(case["bins"])
    ]
    places = _uniform(seed + 2, (*shape, 2))
    targets = [
        np.exp(-((np.arange(count) - np.floor(places[..., axis : axis + 1] * count)) ** 2) / width)
        for axis, (count, width) in enumerate(zip(case["bins"], (48, 64), strict=True))
    ]
    weight = (_uniform(seed + 3, shape) > 0.3).astype(np.float64)
    for array in (*targets, weight):
        array[0, 0] = 0
    return *preds, *targets, weight


SIMCC_LOSS = jax.jit(simcc_kl)
SIMCC_GRADIENT = jax.jit(jax.value_and_grad(simcc_kl, (0, 1)))


def test_simcc_golden(golden):
    case = json.loads((golden / "simcc.json").read_text())["loss"]
    *axes, weight = _simcc_case(case)
    value, grads = SIMCC_GRADIENT(*axes, weight, case["beta"])
    np.testing.assert_allclose(value, case["value"], rtol=1e-5)
    norms = [np.linalg.norm(grad) for grad in grads]
    np.testing.assert_allclose(norms, case["grad_l2"], rtol=1e-5)
    at_x = grads[0].ravel()[np.array(case["grad_at"])]
    np.testing.assert_allclose(at_x, case["grad"], rtol=1e-5)


# One axis: logits, target, loss and gradient by mmpose's KLDiscretLoss.
SIMCC = [
    ([0, 0, 0, 0], [0, 1, 0, 0], 0.34619909, [0.624887, -1.874660, 0.624887, 0.624887]),
    ([0, 0.5, 0, 0], [0, 1, 0, 0], 0.00479879, [0.016398, -0.049193, 0.016398, 0.016398]),
    ([0, 1, 0, 0], [0, 1, 0, 0], 0, [0, 0, 0, 0]),
    ([1, 0, 0, 0], [0, 1, 0, 0], 2.49954606, [2.499546, -2.499546, 0, 0]),
    (
        [0, 0.5, 0.25, -0.5],
        [0.1, 1, 0.6, 0.2],
        0.00993634,
        [0.015167, -0.157967, 0.143519, -0.000719],
    ),
    ([0, 0.5, 0.25, -0.5], [0, 0, 0, 0], 0.76846115, [-0.609530, 1.670962, -0.436536, -0.624896]),
]


@pytest.mark.parametrize("logits, target, value, gradient", SIMCC)
def test_simcc_of_one_axis(logits, target, value, gradient):
    same = np.zeros((1, 1, 6), np.float32)  # nothing to learn on the other axis
    logits, target = (np.float32([[vector]]) for vector in (logits, target))
    loss, (grad, _) = SIMCC_GRADIENT(logits, same, target, same)
    np.testing.assert_allclose(loss, value, atol=1e-7)
    np.testing.assert_allclose(grad.ravel(), gradient, atol=1e-6)
    assert SIMCC_LOSS(same, logits, same, target) == pytest.approx(float(loss), abs=1e-7)


def test_simcc_is_a_sum_over_the_batch_and_a_mean_over_keypoints(golden):
    *axes, weight = _simcc_case(json.loads((golden / "simcc.json").read_text())["loss"])
    people = [SIMCC_LOSS(*(array[row : row + 1] for array in (*axes, weight))) for row in (0, 1)]
    np.testing.assert_allclose(SIMCC_LOSS(*axes, weight), sum(people), rtol=1e-6)
    without = SIMCC_LOSS(*axes, np.zeros_like(weight))
    grads = SIMCC_GRADIENT(*axes, np.zeros_like(weight))[1]
    assert without == 0 and not any(grad.any() for grad in grads)
    one = np.array([[0.0, 1, 0], [0, 0, 0]])
    alone = [array[:1, 1:2] for array in axes]
    np.testing.assert_allclose(SIMCC_LOSS(*axes, one), SIMCC_LOSS(*alone) / 3, rtol=1e-6)


def test_simcc_without_softmax_of_the_labels():
    logits, same = np.float32([[[0.1, -0.2, 0.3]]]), np.zeros((1, 1, 2), np.float32)
    target = np.float32([[[0, 0.25, 1]]])  # 0 log 0 = 0, and the sum is not 1
    log_p = 10 * logits[0, 0] - np.log(np.exp(10 * logits).sum())
    expected = (0.25 * (np.log(0.25) - log_p[1]) - log_p[2]) / 3
    function = jax.jit(lambda z: simcc_kl(z, same, target, same, label_softmax=False))
    loss, grad = jax.jit(jax.value_and_grad(function))(logits)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    slope = 10 * (1.25 * np.exp(log_p) - target[0, 0]) / 3
    np.testing.assert_allclose(grad[0, 0], slope, rtol=1e-5)


def test_simcc_checks_shapes():
    x, y = np.zeros((2, 3, 8)), np.zeros((2, 3, 6))
    with pytest.raises(ValueError, match=r"pred_y \(2, 3, 6\) and target_y \(2, 3, 8\)"):
        jax.eval_shape(simcc_kl, x, y, x, x)
    with pytest.raises(ValueError, match=r"target_weight has shape \(3,\), expected \(2, 3\)"):
        jax.eval_shape(simcc_kl, x, y, x, y, np.ones(3))
    with pytest.raises(ValueError, match=r"batch and keypoints \(2, 3\), \(2, 1\)"):
        jax.eval_shape(simcc_kl, x, y[:, :1], x, y[:, :1])
