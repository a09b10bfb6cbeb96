"""Lightweight HRNet: exact sizes, and the Channel Exchange Module against the paper's tables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpose
from jaxpose import summary
from jaxpose.layers import BatchNorm, Conv
from jaxpose.models.lightweight_hrnet import LiteConvModule, exchange_channels, exchange_pieces

R2 = (24, 32, 96, 264)

# r, side, options, parameters, multiply-adds in 1e9, the same with the transposed convolution at
# its output.
EXACT = [
    ("r0", 512, {}, 13_192_435, "13.9176", "15.5786"),
    ("rm1", 480, {}, 8_823_094, "8.2358", "9.3140"),
    ("rm2", 448, {}, 5_940_739, "4.8097", "5.5052"),
    ("rm3", 416, {}, 4_010_831, "2.8258", "3.2759"),
    ("r0", 512, {"variant": "plain"}, 13_190_483, "13.8617", "15.5226"),
    ("rm1", 480, {"variant": "plain"}, 8_824_710, "8.1922", "9.2704"),
    ("rm2", 448, {"variant": "plain"}, 5_941_779, "4.7768", "5.4723"),
]


@pytest.mark.slow
@pytest.mark.parametrize("name,size,options,params,macs,higher", EXACT)
def test_sizes(name, size, options, params, macs, higher):
    with_cem, without = (
        summary.count(f"lightweight_hrnet_{name}", (size, size), cem=cem, **options)
        for cem in (True, False)
    )
    assert with_cem.params == params
    assert f"{with_cem.macs / 1e9:.4f}" == macs
    assert f"{with_cem.printed('higher')[1]:.4f}" == higher
    # The exchange has no multiply-adds and changes the size of no layer.
    assert (without.params, without.macs) == (with_cem.params, with_cem.macs)


@pytest.mark.slow
def test_sizes_of_the_parts():
    parts = {
        "backbone/stem": (464, 21_676_032),
        "backbone/l1": (4_680, None),
        "backbone/l2": (8_992, None),
        "backbone/l3": (30_016, None),
        "backbone/c4": (55_488, 43_352_064),
        "backbone/l5": (193_568, None),
        "backbone/c6": (380_688, 74_511_360),
        "trans1_branch1": (4_599, None),
        "trans1_branch2": (12_222, None),
        "trans2_branch1": (4_032, None),
        "trans2_branch2": (16_002, None),
        "trans2_branch3": (71_961, None),
        "trans2_branch4": (394_914, None),
        "stage1": (88_830, None),
        "stage2": (2 * 1_655_231 + 1_328_133, None),
        "head/final_layers": (748 + 374, None),
        "head/deconv_layers": (34_566, None),
    }
    rows = summary.count("lightweight_hrnet_rm2", (448, 448)).stages
    for part, (params, macs) in parts.items():
        part_rows = [row for row in rows if row.name.startswith(part)]
        assert sum(row.params for row in part_rows) == params, part
        assert macs is None or sum(row.macs for row in part_rows) == macs, part


def shares(widths, **options):
    """Row n: how many channels A_n' has from each map."""
    return [
        [sum(p.stop - p.start for p in branch if p.source == m) for m in range(4)]
        for branch in exchange_pieces(widths, **options)
    ]


def test_table_iii():
    expected = [[6, 8, 10, 0], [0, 0, 14, 18], [6, 8, 24, 58], [12, 16, 48, 188]]
    assert shares(R2, exchange="all") == expected
    assert shares(R2, exchange="all", order=(2, 1, 3, 4)) == expected


def test_table_iv():
    expected = [[12, 0, 12, 0], [0, 20, 0, 12], [3, 4, 60, 29], [9, 8, 24, 223]]
    assert shares(R2) == expected


def test_the_same_rule_at_other_sizes():
    rows = [[12, 0, 12, 0], [0, 25, 1, 14], [3, 5, 65, 31], [9, 10, 26, 243]]
    assert shares((24, 40, 104, 288)) == rows
    rows = [[12, 0, 12, 0], [0, 25, 2, 13], [3, 5, 70, 34], [9, 10, 28, 273]]
    assert shares((24, 40, 112, 320)) == rows


# Map, first and last channel of what each branch of r = -2 gets.
PIECES = [
    "3:0-11 1:12-23",
    "2:0-3 4:0-11 2:16-31",
    "4:12-32 1:0-2 3:12-23 2:4-7 4:33-40 3:48-95",
    "4:41-65 1:3-5 3:24-35 2:8-11 4:66-98 1:6-8 3:36-47 2:12-15 4:99-131 1:9-11 4:132-263",
]


def test_pieces_in_order():
    for branch, expected in zip(exchange_pieces(R2), PIECES, strict=True):
        assert " ".join(f"{p.source + 1}:{p.start}-{p.stop - 1}" for p in branch) == expected


@pytest.mark.parametrize("exchange", ["half", "all"])
def test_every_channel_goes_to_one_branch(exchange):
    pieces = exchange_pieces(R2, exchange)
    channels = [(p.source, c) for branch in pieces for p in branch for c in range(p.start, p.stop)]
    assert sorted(channels) == [(m, c) for m in range(4) for c in range(R2[m])]
    assert [sum(p.stop - p.start for p in branch) for branch in pieces] == list(R2)


def test_exchange_moves_channels_and_enlarges():
    maps = [
        np.random.default_rng(n).normal(size=(1, 8 >> n, 16 >> n, width)).astype(np.float32)
        for n, width in enumerate((8, 8, 16, 24))
    ]
    pieces = exchange_pieces((8, 8, 16, 24))
    enlarged = [x.repeat(2**n, 1).repeat(2**n, 2) for n, x in enumerate(maps)]
    for branch, y in zip(pieces, exchange_channels(maps, pieces), strict=True):
        expected = [enlarged[p.source][..., c] for p in branch for c in range(p.start, p.stop)]
        np.testing.assert_array_equal(y, np.stack(expected, -1))


def test_wrong_exchanges_are_rejected():
    for options, message in (
        ({"order": (1, 2, 3)}, "each of the 4 maps once"),
        ({"order": (1, 2, 3, 3)}, "each of the 4 maps once"),
        ({"groups": 5}, "half of the 24 channels of A1 cannot be cut into 5"),
        ({"exchange": "all", "groups": 7}, "all of the 24 channels of A1"),
    ):
        with pytest.raises(ValueError, match=message):
            exchange_pieces(R2, **options)
    with pytest.raises(ValueError, match="half of the 25 channels"):
        exchange_pieces((25, 32, 96, 264))


@pytest.mark.parametrize("features", [8, 6, 11])
def test_a_lite_conv_module_makes_an_even_number_of_new_channels(features):
    module = LiteConvModule(features, "proj", Conv, BatchNorm)
    with pytest.raises(ValueError, match=f"above its 8 input channels, got {features}"):
        module.init(jax.random.key(0), jnp.zeros((1, 8, 8, 8)), False)


def abstract(**options):
    model = jaxpose.create_model("lightweight_hrnet_rm2", 5, **options)
    images = jax.ShapeDtypeStruct((2, 64, 96, 3), jnp.float32)
    return jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=True), images
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"cem": False},  # Tables V and VI
        {"exchange": "all"},  # Table III
        {"exchange": "all", "order": [2, 1, 3, 4]},
        {"groups": 2, "order": (1, 2, 3, 4)},
        {"groups": 1},
        {"variant": "plain"},
    ],
)
def test_ablations_keep_all_shapes(options):
    expected, variables = abstract()
    outputs, others = abstract(**options, dtype=jnp.bfloat16)
    assert [y.shape for y in outputs] == [(2, 16, 24, 10), (2, 32, 48, 5)]
    assert outputs == expected
    if "variant" not in options:
        assert others == variables  # the same weights fit with and without


def test_wrong_options_are_rejected():
    for option, message in (
        ({"exchange": "third"}, "exchange 'third' is unknown"),
        ({"variant": "projection"}, "did you mean 'proj'"),
        ({"conv_init": "he"}, "conv_init 'he' is unknown"),
        ({"cem": "off"}, "option 'cem' must be True or False, got 'off'"),
        ({"order": 3}, "order 3 must name each of the 4 maps once"),
        ({"order": (1, 2, 3)}, "each of the 4 maps once"),
        ({"groups": 2.5}, "option 'groups' must be a whole number, got 2.5"),
        ({"groups": 5}, "half of the 24 channels of A1 cannot be cut into 5 equal chunks"),
        ({"cem": False, "groups": 2}, "set cem=True"),
    ):
        with pytest.raises(ValueError, match=message):
            jaxpose.create_model("lightweight_hrnet_r0", **option)
