"""The largest batch that fits, by compiling: doubling, then bisection."""

from __future__ import annotations

from collections.abc import Callable

MOST = 65_536  # examples per chip; the search stops there
LANES = 128  # of a TPU


def largest_filled(fits: Callable[[int], bool], step: int, parts: int, start: int) -> int:
    """The largest number that fills the lanes of a TPU and fits; if none does, a smaller one.

    From 128 examples on, the batch lies in the lanes, padded to a multiple of 128. Below, the
    channels do, and an array of 3 channels takes the memory of 128. So 64 examples may take more
    memory than 128, and 129 take that of 256.

    Args:
      fits: a function of the number of examples per chip.
      step: a number below that is a multiple of this.
      parts: micro-batches; each of them fills the lanes.
      start: a number to begin with.

    Returns:
      A multiple of 128 * `parts`, or else of `step`; 0 if not even `step` fits.
    """
    full = LANES * parts
    return largest(fits, full, start) or largest(fits, step, start, min(full - 1, MOST))


def largest(fits: Callable[[int], bool], step: int, start: int, most: int = MOST) -> int:
    """The largest multiple of `step` for which `fits` holds, up to `most`.

    Args:
      fits: a function of the number of examples per chip; True up to some number, then False.
      step: the number is a multiple of this.
      start: a number to begin with; it is rounded up, and at most `most`.
      most: the search stops there.

    Returns:
      The number; 0 if not even `step` fits.
    """
    low, high = 0, most // step + 1  # in units of `step`: the largest that fits, one that does not
    size = min(-(-start // step), high - 1)
    while low < size < high:
        if fits(size * step):
            low, size = size, 2 * size
        else:
            high = size
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle * step):
            low = middle
        else:
            high = middle
    return low * step
