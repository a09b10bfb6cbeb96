"""The compiler's estimates per operator."""

import importlib.util

import pytest

from jaxpose.plan import operators
from jaxpose.plan.topology import find_target


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="libtpu is not installed")
def test_few_channels_are_faster_in_blocks():
    line = operators.row(find_target("v5e:1x1"), "depthwise_conv:128x16x16x16:3:1")
    name, *numbers = line.split()
    assert name == "depthwise_conv:128x16x16x16:3:1"
    native, native_dx, native_dw, value, dx, dw, hbm = map(float, numbers)
    assert 0 < value < 0.5 * native and 0 < dx < 0.5 * native_dx
    assert dw == native_dw > 0
    # The compiler gives all bytes, of an image read and one written, to the HBM.
    assert hbm == pytest.approx(1e6 * 2 * 2 * 128 * 16**3 / 819e9, rel=0.05)
