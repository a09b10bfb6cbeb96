"""The table of chips, names of slices, and the search for a batch."""

import sys

import pytest

from jaxpose.plan import topology
from jaxpose.plan.chips import CHIPS, MOST_CHIPS, count
from jaxpose.plan.search import MOST, largest, largest_filled

# Matrix units of a chip x cells of one.
CELLS = {"v4": 8 * 128**2, "v5e": 4 * 128**2, "v5p": 8 * 128**2, "v6e": 4 * 256**2}


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_the_peak_is_that_of_the_clock(chip):
    assert 2 * CELLS[chip.name] * chip.clock == pytest.approx(chip.flops, rel=0.003)


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_slices_have_up_to_256_chips(chip):
    sizes = [count(shape) for shape in chip.slices]
    assert sizes == sorted(sizes) and sizes[-1] == MOST_CHIPS
    assert chip.source.endswith(chip.name)
    assert chip.usable == pytest.approx(chip.memory, rel=0.05)


@pytest.mark.parametrize(
    "name,hint",
    [
        ("v5e:4x3", "did you mean v5e:4x4?"),
        ("v5e", "did you mean v5e:1x1?"),
        ("v5e:2x2x1", "did you mean v5e:2x2?"),
        ("v5p:4x4", "did you mean v5p:2x2x4?"),
        ("v5p:16x16x16", "did you mean v5p:4x8x8?"),
        ("v5litepod-16", "did you mean v5e:4x4?"),
        ("v4-8", "did you mean v4:2x2x1?"),
        ("v6:4x4", "did you mean v6e:4x4?"),
        ("abacus", "choose from v4:SHAPE, v5e:SHAPE"),
        ("cpu:none", "give a number of devices"),
    ],
)
def test_an_unknown_topology_names_the_nearest(name, hint):
    with pytest.raises(ValueError, match=f"^--topology={name}: ") as error:
        topology.find_target(name)
    assert hint in str(error.value)


def test_without_libtpu_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "libtpu", None)
    with pytest.raises(ImportError, match=r"libtpu is not installed: pip install 'jax\[tpu\]'"):
        topology.find_target("v5e:4x4")


@pytest.mark.parametrize("most", [0, 7, 8, 9, 100, 1000, 1001])
@pytest.mark.parametrize("step,start", [(8, 8), (8, 500), (24, 1)])
def test_the_largest_batch(most, step, start):
    tried = []

    def fits(batch):
        tried.append(batch)
        return batch <= most

    assert largest(fits, step, start) == most // step * step
    assert len(tried) == len(set(tried)) and all(batch % step == 0 for batch in tried)


def test_the_search_ends_if_everything_fits():
    assert largest(lambda batch: True, 8, 8) == MOST


@pytest.mark.parametrize("start", [8, 32, 200, MOST])
@pytest.mark.parametrize(
    "parts,memory,expected",
    [
        (1, 128, 128),
        (1, 127, 24),
        (1, 383, 256),
        (1, 40, 8),
        (1, 39, 0),
        (3, 3 * 128, 3 * 128),
        (3, 3 * 127, 3 * 24),
    ],
)
def test_the_largest_batch_in_lanes(start, parts, memory, expected):
    """Memory for 5 units per image below 128 images, for 1 from there on, in steps of 128."""

    def fits(batch):
        assert batch % parts == 0
        micro = batch // parts
        return parts * (5 * micro if micro < 128 else -(-micro // 128) * 128) <= memory

    assert largest_filled(fits, 8 * parts, parts, start) == expected


def test_a_start_beyond_the_end_of_the_search():
    assert largest(lambda batch: batch <= 60_000, 8, 10 * MOST) == 60_000
    assert largest(lambda batch: True, 24, MOST + 1) == MOST // 24 * 24
