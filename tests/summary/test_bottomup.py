"""Exact counts of the bottom-up models, and the generated table of printed and computed sizes."""

import fnmatch
import functools
import itertools

import pytest

from jaxpose import summary
from jaxpose.models.wlitepose_ablations import TABLES
from jaxpose.summary import wlitepose, zoo

# model, side, joints, parameters, true multiply-adds, those of ptflops in 1e9
EXACT = [
    ("litepose_s", 448, 14, 2_731_240, 3_614_139_648, "4.981"),
    ("litepose_s", 448, 17, 2_731_624, 3_624_375_552, "4.992"),
    ("litepose_xs", 256, 14, 1_675_552, 882_892_800, "1.202"),
    ("litepose_xs", 256, 17, 1_675_912, 885_841_920, "1.205"),
    ("litepose_m", 448, 14, 3_533_808, 5_263_675_648, "7.842"),
    ("litepose_l", 512, 14, 5_738_120, 9_961_996_288, "13.713"),
    ("litepose_l", 512, 17, 5_738_672, 9_979_297_792, "13.730"),
    ("wlitepose_s", 448, 14, 2_413_974, 2_816_733_248, "3.475"),
    ("wlitepose_s", 448, 17, 2_414_658, 2_836_452_416, "3.498"),
    ("wlitepose_xs", 256, 14, 1_371_310, 651_364_352, "0.778"),
    ("wlitepose_xs", 256, 17, 1_371_946, 657_606_656, "0.786"),
]


@functools.cache
def stages(name, side, keypoints):
    return summary.stages(name, (side, side), keypoints, depth=3)


def total(rows, kind):
    return sum(getattr(row, kind) for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("name,side,keypoints,params,macs,ptflops", EXACT)
def test_exact_counts(name, side, keypoints, params, macs, ptflops):
    rows = stages(name, side, keypoints)
    assert (total(rows, "params"), total(rows, "macs")) == (params, macs)
    assert f"{total(rows, 'ptflops') / 1e9:.3f}" == ptflops


# Modules -> parameters and multiply-adds in 1e6 of S at 448x448 and XS at 256x256, 14 joints.
LITEPOSE = {
    "backbone/first/*": (1_824, 83.5, 1_824, 27.3),
    "backbone/stage_0_*": (49_152, 643.1, 49_152, 210.0),
    "backbone/stage_1_*": (167_456, 519.9, 167_456, 169.8),
    "backbone/stage_2_*": (412_704, 328.5, 412_704, 107.3),
    "backbone/stage_3_*": (1_964_688, 1517.2, 973_888, 244.2),
    "head/fusion_*/refined": (86_016, 240.8, 35_840, 49.3),
    "head/fusion_*/raw": (45_056, 160.6, 30_720, 40.9),
    "head/fusion_*/bn": (176, 0, 128, 0),
    "head/final_*/refined": (2_632, 78.6, 2_304, 20.5),
    "head/final_*/raw": (1_536, 41.9, 1_536, 13.7),
}
WLITEPOSE = {
    "backbone/first/*": (1_824, 83.5, 1_824, 27.3),
    "backbone/stage_0_*": (27_072, 302.0, 27_072, 98.6),
    "backbone/stage_1_*": (115_824, 329.8, 115_824, 107.7),
    "backbone/stage_2_*": (320_304, 230.9, 320_304, 75.4),
    "backbone/stage_3_*": (1_819_032, 1328.6, 844_832, 200.3),
    "head/fusion_*/refined": (77_824, 99.5, 26_624, 11.5),
    "head/fusion_*/raw": (40_960, 70.6, 24_576, 15.7),
    "head/fusion_*/bn": (128, 0, 80, 0),
    "head/final_0/refined": (1_760, 21.3, 1_320, 5.2),
    "head/final_0/raw": (880, 10.6, 880, 3.5),
    "head/light_deconv/depthwise": (960, 12.0, 832, 3.4),
    "head/light_deconv/pointwise": (1_980, 99.3, 1_716, 28.1),
    "head/light_deconv/bn": (66, 0, 66, 0),
    "head/light_residual_*": (4_884, 205.3, 4_884, 67.0),
    "head/final_1": (476, 23.2, 476, 7.6),
}


@pytest.mark.slow
@pytest.mark.parametrize("family,table", [("litepose", LITEPOSE), ("wlitepose", WLITEPOSE)])
@pytest.mark.parametrize("size,side,column", [("s", 448, 0), ("xs", 256, 2)])
def test_modules(family, table, size, side, column):
    rows = stages(f"{family}_{size}", side, 14)
    for pattern, expected in table.items():
        matching = [row for row in rows if fnmatch.fnmatch(row.name, pattern)]
        numbers = (total(matching, "params"), round(total(matching, "macs") / 1e6, 1))
        assert numbers == expected[column : column + 2], pattern
    assert sum(row[column] for row in table.values()) == total(rows, "params")


# What the rows of the tables count, in millions and 1e9; None: nothing to compare with.
S, BASELINE, BLOCK = (2.414, 3.475), (2.731, 4.981), (2.419, 4.066)
SIZES = {
    "VI": [BASELINE, BLOCK, S, (2.726, 4.390), BASELINE, S],
    "VII": [BASELINE, (2.709, 4.599), (2.680, 4.769), (2.639, 4.873), (2.586, 4.769), BLOCK],
    "VIII": [BASELINE] * 5,
    # SE, CBAM, CA, their pooling charged
    "IX": [BASELINE, (2.310, 4.001), (2.249, 4.016), (2.277, 4.007), BLOCK],
    "X": [BASELINE, (None, 4.046), (None, 4.114), (None, None), (None, None), BLOCK],
}
NETWORKS = [BASELINE, (1.676, 1.202), S, (1.371, 0.778)]
CLOSEST = [
    (3.317, 5.315),  # A: Exp-1, S, XS
    (3.312, 4.724),
    (1.893, 1.075),
    (3.426, 5.489),  # B
    (3.421, 4.898),
    (1.980, 1.126),
    (3.382, 4.510),  # C
    (3.377, 3.919),
    (1.945, 0.898),
    (None, None),  # expansion 9
    (3.408, 4.474),
    (1.927, 0.992),
]


@pytest.mark.slow
def test_table_of_printed_and_computed_sizes(repository):
    """Every row counts what it should, and docs/wlitepose.md is what the command prints."""
    cases = [*wlitepose.NETWORKS, *(row for _, row in wlitepose.ABLATIONS), *wlitepose.CLOSEST]
    expected = [*NETWORKS, *itertools.chain.from_iterable(SIZES.values()), *CLOSEST]
    assert list(SIZES) == list(TABLES)
    for case, (params, macs) in zip(cases, expected, strict=True):
        result = wlitepose.computed(case)
        assert params in (None, round(result.params / 1e6, 3)), case.label
        assert macs in (None, round(result.ptflops / 1e9, 3)), case.label
    written = (repository / "docs" / "wlitepose.md").read_text()
    assert written == zoo.PAPERS["wlitepose"]() + "\n", f"stale: {wlitepose.COMMAND}"


@pytest.mark.slow
def test_the_argument_about_the_stages_of_table_vii():
    """With every rounding in their favour, the single stages add more than All has room for."""
    base = stages("litepose_s", 448, 14)
    _, *single, everything = TABLES["VII"]
    for kind, count in (("params", total(base, "params") / 1e6), ("macs", 4.981)):
        added = sum(getattr(case, kind) - 0.05 - count for case in single)
        room = getattr(everything, kind) + 0.05 - count
        assert added > 0.87 and room < 0.62
