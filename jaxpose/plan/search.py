"""The largest batch that fits, by compiling: doubling, then bisection."""

from __future__ import annotations

from collections.abc import Callable

MOST = 65_536  # examples per chip; the search stops there


def largest(fits: Callable[[int], bool], step: int, start: int) -> int:
    """The largest multiple of `step` for which `fits` holds, up to `MOST`.

    Args:
      fits: a function of the number of examples per chip; True up to some number, then False.
      step: the number is a multiple of this.
      start: a number to begin with; it is rounded up, and at most `MOST`.

    Returns:
      The number; 0 if not even `step` fits.
    """
    low, high = 0, None  # in units of `step`: the largest that fits, the smallest that does not
    size = min(-(-start // step), MOST // step)
    while high is None and size * step <= MOST:
        if fits(size * step):
            low, size = size, 2 * size
        else:
            high = size
    if high is None:
        return low * step
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle * step):
            low = middle
        else:
            high = middle
    return low * step
