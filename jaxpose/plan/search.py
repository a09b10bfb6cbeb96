"""The largest batch that fits, by compiling: doubling, then bisection."""

from __future__ import annotations

from collections.abc import Callable

MOST = 65_536  # examples per chip; the search stops there
LANES = 128  # of a TPU


def largest_filled(fits: Callable[[int], bool], step: int, parts: int, start: int) -> int:
    """The largest number that fills the lanes of a TPU and fits; if none does, a smaller one.

    The memory of a step grows with the batch only in parts. With 128 examples, they lie in the
    lanes; with fewer, the channels do, and each array is padded to 128 of them. So 128 may fit
    where 64 do not, and with 129 the arrays are those of 256.

    Args:
      fits: a function of the number of examples per chip.
      step: a number below that is a multiple of this.
      parts: micro-batches; each of them fills the lanes.
      start: a number to begin with.

    Returns:
      A multiple of 128 * `parts`, or else of `step`; 0 if not even `step` fits.
    """
    full = LANES * parts
    return largest(fits, full, start) or largest(fits, step, start, full - 1)


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
