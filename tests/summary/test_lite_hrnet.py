"""Counts of the networks on Lite-HRNet: totals at every published size, parts, printed figures."""

import functools
import re

import pytest

from jaxpose import models, summary

count = functools.cache(summary.count)  # tests share sizes

# model, (H, W), joints, options, parameters, multiply-adds in 1e6, what torchstat prints in 2^20
COUNTS = [
    ("lite_hrnet_18", (384, 288), 17, {}, 1_130_769, 446.78, 461.56),
    ("lite_hrnet_18", (256, 256), 17, {}, 1_130_769, 264.80, 273.59),
    ("lite_hrnet_18", (256, 256), 16, {}, 1_130_728, None, 273.43),
    ("lite_hrnet_30", (384, 288), 17, {}, 1_763_717, 696.05, 717.84),
    ("lite_hrnet_30", (256, 256), 17, {}, 1_763_717, 412.54, 425.50),
    ("lite_hrnet_30", (256, 256), 16, {}, 1_763_676, None, 425.34),
    ("lite_hrnet_30", (448, 448), 17, {}, 1_763_717, 1263.05, 1302.47),
    ("naive_lite_hrnet_18", (256, 256), 16, {}, 760_334, 247.23, 259.55),
    ("wider_naive_lite_hrnet_18", (256, 192), 17, {}, 1_318_625, 302.33, 311.05),
    ("wider_naive_lite_hrnet_18", (256, 256), 16, {}, 1_318_584, 402.95, 414.58),
    ("naive_lite_hrnet_18", (256, 192), 17, {"depth": 30}, 1_196_955, 294.58, 308.91),
    ("wider_naive_lite_hrnet_18", (256, 192), 17, {"depth": 30}, 2_077_145, 490.83, 504.33),
    ("dite_hrnet_18", (384, 288), 17, {}, 1_186_933, 448.65, 471.86),
    ("dite_hrnet_30", (256, 192), 17, {}, 1_862_549, 314.32, 329.82),
    ("dite_hrnet_30", (384, 288), 17, {}, 1_862_549, 707.06, 741.77),
    ("dite_hrnet_30", (256, 256), 17, {}, 1_862_549, 419.05, 439.67),
    ("dite_hrnet_30", (256, 256), 16, {}, 1_862_508, None, 439.51),
    ("dite_hrnet_30", (448, 448), 17, {}, 1_862_549, 1283.07, 1345.93),
    ("lite_csw_hrnet_18", (384, 288), 17, {}, 892_481, 430.00, 449.15),
    ("lite_csw_hrnet_30", (256, 192), 17, {}, 1_370_113, 296.19, 309.46),
    ("lite_csw_hrnet_30", (384, 288), 17, {}, 1_370_113, 666.37, 695.84),
]


@pytest.mark.slow
@pytest.mark.parametrize("name,size,keypoints,options,params,macs,torchstat", COUNTS)
def test_counts(name, size, keypoints, options, params, macs, torchstat):
    result = count(name, size, keypoints, **options)
    assert result.params == params
    assert macs is None or round(result.macs / 1e6, 2) == macs
    assert round(result.torchstat / 2**20, 2) == torchstat


# Parameters and multiply-adds in 1e6 at 256x192, for 17 joints.
HEAD = {"head_layer": (76_040, 14.36), "final_layer": (697, 2.09)}
TRANSITIONS = {
    "transition0": (4_784, 7.00),
    "transition1": (14_000, 2.60),
    "transition2": (53_600, 2.53),
}
STEM = {"stem": (2_864, 20.60)}
COMMON = STEM | TRANSITIONS | HEAD
LITE = {
    "stage0.*cross": (3_896, 2.58),
    "stage0.*depthwise_convs": (2_640, 3.32),
    "stage0.*spatial": (4_300, 0.00),
    "stage0.*fuse": (14_160, 10.38),
    "stage1.*cross": (40_592, 7.31),
    "stage1.*depthwise_convs": (12_320, 7.74),
    "stage1.*spatial": (35_000, 0.03),
    "stage1.*fuse": (199_200, 57.11),
    "stage2.*cross": (91_496, 4.26),
    "stage2.*depthwise_convs": (13_200, 4.15),
    "stage2.*spatial": (69_500, 0.07),
    "stage2.*fuse": (492_480, 52.50),
}
PARTS = {
    "lite_hrnet_18": (1_130_769, 198.63, 205.23, COMMON | LITE),
    "lite_hrnet_30": (
        1_763_717,
        309.45,
        319.20,
        COMMON
        | {
            part: (round(params * (2 if "stage1" in part else 1.5)), None)
            for part, (params, _) in LITE.items()
        },
    ),
    "lite_csw_hrnet_18": (
        892_481,
        191.12,
        199.74,
        COMMON
        | LITE
        | {
            "stage0.*cross": (404, 0.30),
            "stage0.*spatial": (808, 1.51),
            "stage1.*cross": (824, 0.16),
            "stage1.*spatial": (2_424, 3.16),
            "stage2.*cross": (412, 0.03),
            "stage2.*spatial": (1_624, 1.60),
        },
    ),
    "naive_lite_hrnet_18": (
        760_365,
        185.52,
        194.76,
        STEM
        | {
            "transition0": (3_764, 5.53),
            "transition1": (8_100, 1.49),
            "transition2": (30_600, 1.43),
            "stage0.*/layers": (11_700, 13.55),
            "stage0.*fuse": (8_220, 5.94),
            "stage1.*/layers": (88_200, 38.98),
            "stage1.*fuse": (114_600, 32.69),
            "stage2.*/layers": (166_500, 25.23),
            "stage2.*fuse": (281_160, 30.04),
            "head_layer": (44_130, 8.47),
            "final_layer": (527, 1.57),
        },
    ),
    "dite_hrnet_18": (
        1_186_933,
        199.44,
        209.80,
        TRANSITIONS
        | HEAD
        | {
            "stem": (5_236, 15.88),
            "stage0.*/layers": (20_504, 6.52),
            "stage0.*fuse": (14_160, 10.38),
            "stage1.*/layers": (119_456, 17.67),
            "stage1.*fuse": (199_200, 57.11),
            "stage2.*/layers": (186_776, 10.82),
            "stage2.*fuse": (492_480, 52.50),
        },
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_totals_and_parts_at_256x192(name):
    params, macs, torchstat, parts = PARTS[name]
    rows = summary.stages(name, (256, 192), depth=4)
    assert sum(row.params for row in rows) == params
    assert round(sum(row.macs for row in rows) / 1e6, 2) == macs
    assert round(sum(row.torchstat for row in rows) / 2**20, 2) == torchstat
    for part, (params, macs) in parts.items():
        matching = [row for row in rows if re.search(part, row.name)]
        assert sum(row.params for row in matching) == params, part
        cost = sum(row.macs for row in matching) / 1e6
        assert macs is None or cost == pytest.approx(macs, abs=0.011), part


NAMES = [name for name in models.list_models() if re.match("(wider_)?(naive_)?(lite|dite)_", name)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_printed_figures(name):
    """Every published row to its last digit; parameters that are cut off to the digit below."""
    for row in models.info(name).published:
        result = count(name, row.input_size, row.num_keypoints)
        params, giga = result.printed(row.convention)
        assert row.params in (round(params, 1), int(params * 10) / 10)
        assert row.params == round(params, 1) or "truncated" in row.note
        agrees = f"{giga:.2f}" == f"{row.gflops:.2f}"
        assert agrees or "no convention" in row.note or "1% less" in row.note
