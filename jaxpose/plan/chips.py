"""The TPU chips: peaks, memory, clock and slices, each with its source.

Peaks, memory and slices are those of Google's pages (`Chip.source`). `usable` is the part of the
memory that libtpu 0.0.42 leaves to a program, as it says when a program does not fit.

Google publishes the clock of v4 only (1.05 GHz: Jouppi et al., TPU v4, ISCA 2023, table 4). The
others are the peak divided by the operations per cycle of the matrix units (MXUs), two for each of
their cells:

* v5e: 197e12 / (4 MXUs x 128 x 128 x 2) = 1.50 GHz, as in https://jax-ml.github.io/scaling-book/tpus
* v5p: 459e12 / (8 MXUs x 128 x 128 x 2) = 1.75 GHz
* v6e: 918e12 / (4 x 256 x 256 x 2) = 1.75 GHz. Google's page has named 4 and 2 MXUs. libtpu 0.0.42
  estimates 408,750 operations per cycle for a product of 16384x16384 matrices, more than two MXUs
  could do.
"""

from __future__ import annotations

import dataclasses
import math

_DOCS = "https://cloud.google.com/tpu/docs"
_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_CUBES = ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8")
MOST_CHIPS = 256


@dataclasses.dataclass(frozen=True)
class Chip:
    """A chip; JAX sees one device per chip.

    Attributes:
      name: in names of slices.
      flops: peak of the matrix units in bfloat16, in operations per second; a multiply-add is two.
      memory: HBM in bytes.
      usable: HBM in bytes that the compiler gives to a program.
      bandwidth: of the HBM, in bytes per second.
      clock: in cycles per second.
      slices: shapes that Google offers, up to 256 chips; of chips in three dimensions, the usual.
      source: page with these values.
    """

    name: str
    flops: float
    memory: float
    usable: float
    bandwidth: float
    clock: float
    slices: tuple[str, ...]
    source: str

    def of_size(self, chips: int) -> str:
        """The slice whose number of chips is nearest to `chips`."""
        return min(self.slices, key=lambda shape: abs(math.log(count(shape) / max(chips, 1))))


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v4", 275e12, 32 * 2**30, 30.75 * 2**30, 1200e9, 1.05e9, _CUBES, f"{_DOCS}/v4"),
        Chip("v5e", 197e12, 16 * 2**30, 15.75 * 2**30, 819e9, 1.50e9, _FLAT, f"{_DOCS}/v5e"),
        Chip("v5p", 459e12, 95 * 2**30, 95.74 * 2**30, 2765e9, 1.75e9, _CUBES, f"{_DOCS}/v5p"),
        Chip("v6e", 918e12, 32 * 2**30, 31.25 * 2**30, 1640e9, 1.75e9, _FLAT, f"{_DOCS}/v6e"),
    )
}


def slice_names() -> list[str]:
    """All known names, e.g. "v5e:4x4"."""
    return [f"{chip.name}:{shape}" for chip in CHIPS.values() for shape in chip.slices]


def count(shape: str) -> int:
    """Number of chips of a slice.

    >>> count("2x2x4")
    16
    """
    return math.prod(int(side) for side in shape.split("x"))
