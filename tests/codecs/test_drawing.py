"""Maps of many people against one person after another."""

import jax
import numpy as np
import pytest

from jaxpose.codecs.drawing import TOGETHER, draw_people


@pytest.mark.parametrize("people", [0, 1, TOGETHER - 1, TOGETHER, TOGETHER + 1, 3 * TOGETHER - 2])
def test_people_are_drawn_in_order_and_empty_slots_change_nothing(people):
    random = np.random.default_rng(people)
    points = random.uniform(0, 9, (2, people, 3, 2)).astype(np.float32)
    valid = random.uniform(size=(2, people, 3)) < 0.4
    valid[:, people // 2 : people // 2 + 2] = False  # an empty slot between people

    def draw(maps, position, drawn):
        """Sums, whose rounding shows the order, and the last person that was drawn."""
        total, last = maps
        total = total + np.float32(0.1) * position.sum(-1) * drawn
        return total, jax.numpy.where(drawn[..., None], position, last)

    empty = np.ones((2, 3), np.float32), np.full((2, 3, 2), -1, np.float32)
    expected = empty
    for person in range(people):
        expected = draw(expected, points[:, person], valid[:, person])
    results = jax.jit(lambda *arrays: draw_people(draw, empty, *arrays))(points, valid)
    np.testing.assert_allclose(results[0], expected[0], rtol=1e-6)
    np.testing.assert_array_equal(results[1], expected[1])
