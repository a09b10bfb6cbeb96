"""The parts of large depthwise kernels."""

import itertools

import numpy as np
import pytest

from jaxpose import export
from jaxpose.export.litert import translate
from jaxpose.export.litert.depthwise import Taps, parts
from tests.export.litert.test_operators import window
from tests.helpers.networks import Function, initialized

SIZES = list(itertools.product((1, 3, 5, 7, 9, 13, 31), repeat=2))


def whole(height, width):
    return parts(Taps(0, 1, height), Taps(0, 1, width))


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
def test_parts_have_each_weight_once(size):
    count = np.zeros(size, int)
    for rows, columns in whole(*size):
        assert rows.count * columns.count <= 25
        assert count[rows.slice, columns.slice].shape == (rows.count, columns.count)
        count[rows.slice, columns.slice] += 1
    assert (count == 1).all()


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
def test_parts_have_the_center_of_the_kernel(size):
    """So that each is computed with the padding SAME where the kernel is."""
    for part in whole(*size):
        for taps, n in zip(part, size, strict=True):
            assert taps.start + taps.start + taps.step * (taps.count - 1) == n - 1


def test_a_kernel_that_is_fast_is_one_part():
    for size in ((5, 5), (3, 7), (1, 25)):
        assert whole(*size) == [(Taps(0, 1, size[0]), Taps(0, 1, size[1]))]


def test_a_7x7_kernel_is_two_parts_of_up_to_25_weights_and_one_of_8():
    every, between = Taps(0, 2, 4), Taps(1, 2, 3)
    expected = [(every, Taps(1, 1, 5)), (every, Taps(0, 6, 2)), (between, Taps(0, 1, 7))]
    assert whole(7, 7) == expected


def test_the_parts_of_a_kernel_in_a_program():
    size = (12, 16)
    model = Function(window("depthwise_conv", (7, 7), stride=1, padding=3))
    program = translate(export.build_graph(model, initialized(model, size), size))
    found = [
        (operator.inputs[1].shape, operator.options["padding"])
        for operator in program.operators
        if operator.kind == "DEPTHWISE_CONV_2D"
    ]
    assert found == [((1, h, w, 8), "SAME") for h, w in ((4, 5), (4, 2), (3, 7))]
    dilations = [
        (operator.options["dilationHFactor"], operator.options["dilationWFactor"])
        for operator in program.operators
        if operator.kind == "DEPTHWISE_CONV_2D"
    ]
    assert dilations == [(2, 1), (2, 6), (2, 1)]
