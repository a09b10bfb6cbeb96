"""Merged reshapes and transposes give what each of them gives, in few operators."""

import math

import numpy as np
import pytest

from jaxpose.export.litert.program import Program, physical
from jaxpose.export.litert.views import MAX_RANK, materialized, reshaped, transposed, view

TO_NHWC = (0, 2, 3, 1)


def evaluated(program, feed):
    """Runs RESHAPE and TRANSPOSE operators with numpy; returns the values by identity."""
    values = {id(program.inputs[0][1]): feed}
    for operator in program.operators:
        x, argument = values[id(operator.inputs[0])], operator.inputs[1].data
        assert x.ndim <= MAX_RANK
        y = x.reshape(argument) if operator.kind == "RESHAPE" else x.transpose(argument)
        assert y.shape == operator.outputs[0].shape and y.ndim <= MAX_RANK
        values[id(operator.outputs[0])] = y
    return values


def run(shape, steps):
    """(result, expected, program) of steps on a random NCHW array of one image."""
    x = np.random.default_rng(0).normal(size=(1, *shape[1:]))
    program = Program()
    value = program.value("image", physical(shape))
    program.inputs.append(("image", value))
    current, expected = view(value), x
    for kind, argument in steps:
        if kind == "reshape":
            current = reshaped(current, argument, program, "r")
            expected = expected.reshape(1, *argument[1:])
        else:
            current, expected = transposed(current, argument), expected.transpose(argument)
    result = materialized(current, program, "m")
    feed = x.transpose(TO_NHWC) if x.ndim == 4 else x
    expected = expected.transpose(TO_NHWC) if expected.ndim == 4 else expected
    values = evaluated(program, feed)
    return values[id(result)], expected, [operator.kind for operator in program.operators]


SHUFFLE = [("reshape", (2, 2, 4, 3, 5)), ("transpose", (0, 2, 1, 3, 4)), ("reshape", (2, 8, 3, 5))]


@pytest.mark.parametrize(
    "shape, steps, kinds",
    [
        ((2, 8, 3, 5), SHUFFLE, ["RESHAPE", "TRANSPOSE", "RESHAPE"]),
        ((2, 8, 3, 5), [("transpose", (0, 2, 3, 1)), ("transpose", (0, 3, 1, 2))], []),
        ((2, 8, 1, 1), [("reshape", (2, 8))], ["RESHAPE"]),
        ((2, 8, 3, 5), [("transpose", TO_NHWC), ("reshape", (2, 15, 8))], ["RESHAPE"]),
        ((2, 8, 3, 5), [("reshape", (2, 8, 15))], ["RESHAPE", "TRANSPOSE", "RESHAPE"]),
        ((2, 6), [("reshape", (2, 6, 1, 1))], ["RESHAPE"]),
    ],
)
def test_only_what_moves_in_memory_is_an_operator(shape, steps, kinds):
    actual, expected, operators = run(shape, steps)
    np.testing.assert_array_equal(actual, expected)
    assert operators == kinds


def test_two_shuffles_that_undo_each_other_are_nothing():
    back = [("reshape", (2, 4, 2, 3, 5)), *SHUFFLE[1:]]
    actual, expected, operators = run((2, 8, 3, 5), SHUFFLE + back)
    np.testing.assert_array_equal(actual, expected)
    assert operators == []


def test_memory_read_with_other_axes():
    """Axes whose sizes have no common factors, as in Dite-HRNet's pool."""
    actual, expected, _ = run((2, 6, 5, 7), [("reshape", (2, 7, 6, 5))])
    np.testing.assert_array_equal(actual, expected)


def test_random_chains(rng):
    for _ in range(200):
        shape = (2, *(int(n) for n in rng.choice([1, 2, 3, 4, 6], 3)))
        steps, size = [], math.prod(shape[1:])
        for _ in range(rng.integers(1, 5)):
            if rng.integers(2):
                rank = len(steps[-1][1]) if steps else len(shape)
                steps.append(("transpose", (0, *(1 + rng.permutation(rank - 1)).tolist())))
            else:
                factors, rest = [], size
                for _ in range(rng.integers(0, 4)):
                    divisors = [d for d in range(1, rest + 1) if rest % d == 0]
                    factors.append(int(rng.choice(divisors)))
                    rest //= factors[-1]
                steps.append(("reshape", (2, *factors, rest)))
        if len(steps[-1][1]) > MAX_RANK:
            steps.append(("reshape", (2, size)))
        actual, expected, _ = run(shape, steps)
        np.testing.assert_array_equal(actual, expected)
