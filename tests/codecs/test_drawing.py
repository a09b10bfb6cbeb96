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
        """Each person takes half of the weight, so the sum shows the order."""
        return jax.numpy.where(drawn[..., None], (maps + position) / 2, maps)

    empty = np.full((2, 3, 2), -1, np.float32)
    expected = empty
    for person in range(people):
        expected = draw(expected, points[:, person], valid[:, person])
    results = jax.jit(lambda *arrays: draw_people(draw, empty, *arrays))(points, valid)
    np.testing.assert_array_equal(results, expected)
