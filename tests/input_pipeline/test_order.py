"""The order of examples and the random numbers are functions of integers alone."""

import numpy as np
import pytest

from input_pipeline import order
from input_pipeline.topdown import augment


def test_each_epoch_is_a_permutation_of_its_own():
    first, second = order.permutation(0, 0, 50), order.permutation(0, 1, 50)
    assert sorted(first) == sorted(second) == list(range(50))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, order.permutation(1, 0, 50))
    with pytest.raises(ValueError):
        first[0] = 1


def test_order_never_changes_between_releases():
    # A run that is continued after an upgrade must go on where it was.
    assert order.permutation(7, 3, 10).tolist() == [2, 5, 9, 7, 3, 0, 6, 8, 4, 1]
    np.testing.assert_allclose(
        order.uniforms(7, 3, 5, 3), [0.7317353, 0.73089515, 0.47407625], atol=1e-8
    )


@pytest.mark.parametrize(
    ("seed", "epoch", "index"), [(0, 0, 0), (2**70 + 5, 3, 123456), (1, 2**40, 7)]
)
def test_numbers_are_those_of_a_new_generator(seed, epoch, index):
    order.uniforms(5, 5, 5, 3)  # leaves numbers in the buffer
    generator = np.random.Philox(key=seed % 2**64 | epoch << 64, counter=index << 64 | 1 << 192)
    expected = (generator.random_raw(10) >> np.uint64(11)) * 2.0**-53
    np.testing.assert_array_equal(order.uniforms(seed, epoch, index, 10), expected)


def test_stream_visits_everyone_once_per_epoch():
    visited = [order.example(n, 3, 7) for n in range(21)]
    assert [epoch for epoch, _ in visited] == [0] * 7 + [1] * 7 + [2] * 7
    for epoch in range(3):
        assert sorted(i for e, i in visited if e == epoch) == list(range(7))


@pytest.mark.parametrize("hosts", [1, 2, 4, 8])
def test_hosts_cut_the_same_stream(hosts):
    numbers = []
    for step in range(3):
        for host in range(hosts):
            first = order.first_example(step, 8, host, hosts)
            numbers += range(first, first + 8 // hosts)
    assert numbers == list(range(24))


def test_draws_depend_on_seed_epoch_and_index_only():
    base = augment.draw(1, 2, 3)
    assert base == augment.draw(1, 2, 3)
    others = [augment.draw(2, 2, 3), augment.draw(1, 3, 3), augment.draw(1, 2, 4)]
    assert all(other.flip != base.flip and other.angle != base.angle for other in others)


def test_draws_have_the_stated_distributions():
    draws = [augment.draw(0, epoch, index) for epoch in range(8) for index in range(500)]
    for name in ("shift", "shift_x", "shift_y", "flip", "half_body", "rotate"):
        values = np.array([getattr(draw, name) for draw in draws])
        assert values.min() >= 0 and values.max() < 1
        assert abs(values.mean() - 0.5) < 0.02 and abs(values.std() - 12**-0.5) < 0.02
    normals = np.array([[d.half_choice, d.scale, d.angle] for d in draws])
    assert np.abs(normals.mean(axis=0)).max() < 0.06
    np.testing.assert_allclose(np.cov(normals.T), np.eye(3), atol=0.1)
    assert abs((normals[:, 0] < 0.5).mean() - 0.6915) < 0.03
