"""Which models the tests that take long for each of them leave to `make test-zoo`."""

from collections.abc import Iterable
from typing import Any

import pytest

# A smaller model of the family has every kind of block of these: they differ in widths and repeats.
LARGE = {
    "hrnet_w48",
    "lite_hrnet_30",
    "wider_naive_lite_hrnet_18",
    "dite_hrnet_30",
    "lite_csw_hrnet_30",
    "litepose_s",
    "litepose_m",
    "litepose_l",
    "wlitepose_s",
    "higher_hrnet_w48",
    "efficient_hrnet_h0",
    "efficient_hrnet_hm1",
    "efficient_hrnet_hm2",
    "efficient_hrnet_hm3",
    "lightweight_hrnet_r0",
    "lightweight_hrnet_rm1",
    "lightweight_hrnet_rm2",
    "rtmpose_m",
    "rtmpose_l",
    "rtmpose_x",
}


# Quick enough for `make test-fast`.
SMALL = {"hwl_mobilenetv3", "simplebaseline_mobilenetv2"}


def every(names: Iterable[str]) -> list[Any]:
    """Parameters for `pytest.mark.parametrize`: all names, those that are not `SMALL` marked slow,
    and the large ones for `--zoo` alone."""
    return [name if name in SMALL else pytest.param(name, marks=_marks(name)) for name in names]


# These have hundreds of layers, which take seconds to trace.
DEEP = {
    "el_hrnet_w32",
    "dite_hrnet_18",
    "efficient_hrnet_hm4",
    "higher_hrnet_w32",
    "hrnet_w32",
    "lightweight_hrnet_rm3",
    "lite_csw_hrnet_18",
    "lite_hrnet_18",
    "naive_lite_hrnet_18",
    "rtmpose_s",
    "vipnas_mobilenetv3",
}


def traced(names: Iterable[str]) -> list[Any]:
    """For tests that trace networks without compiling them: those that take seconds are slow."""
    return [pytest.param(n, marks=pytest.mark.slow) if n in LARGE | DEEP else n for n in names]


def _marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow, pytest.mark.zoo] if name in LARGE else [pytest.mark.slow]
