"""Large depthwise kernels as sums of small ones, for XNNPACK, LiteRT's library for CPUs.

XNNPACK has depthwise kernels for up to 3, 4, 9 and 25 weights, and a convolution takes as long as
the next larger size. Beyond 25 weights, a sum of several convolutions is four to nine times as
fast: 7x7 on [64, 64, 96], one thread on x86, 12.8 ms, and 1.34 ms as a sum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

# Largest number of weights -> time, relative to 25 weights. Measured on [64, 64, 96] to
# [16, 16, 720], one thread on x86.
_TIMES = {4: 0.28, 9: 0.45, 25: 1.0}
_SUM_TIME = 0.27  # of one ADD
_MOST = max(_TIMES)


@dataclass(frozen=True)
class Taps:
    """Equidistant rows or columns of a kernel."""

    start: int
    step: int
    count: int

    @property
    def slice(self) -> slice:
        return slice(self.start, self.start + self.step * (self.count - 1) + 1, self.step)

    def halves(self) -> list[tuple[Taps, Taps]]:
        """The ways to cut these into two sets that have the same center.

        Such a set needs equal padding on both sides at stride 1, which is the padding SAME.
        """
        start, step, count = self.start, self.step, self.count
        ways = []
        if count % 2 and count > 1:  # every second one, beginning with the first or the second
            every = (
                Taps(start, 2 * step, count // 2 + 1),
                Taps(start + step, 2 * step, count // 2),
            )
            ways.append(every)
        if count > 2:  # the inner ones, and the first and the last
            inner, outer = Taps(start + step, step, count - 2), Taps(start, step * (count - 1), 2)
            ways.append((inner, outer))
        return [(_alone(a), _alone(b)) for a, b in ways]


Part = tuple[Taps, Taps]  # rows, columns


def _alone(taps: Taps) -> Taps:
    return taps if taps.count > 1 else replace(taps, step=1)


def parts(rows: Taps, columns: Taps) -> list[Part]:
    """The fastest parts that have each weight of the kernel once."""
    return list(_fastest(rows, columns)[1])


@cache
def _fastest(rows: Taps, columns: Taps) -> tuple[float, tuple[Part, ...]]:
    """Time and parts."""
    count = rows.count * columns.count
    if count <= _MOST:
        return min(time for most, time in _TIMES.items() if count <= most), ((rows, columns),)
    cuts = [((a, columns), (b, columns)) for a, b in rows.halves()]
    cuts += [((rows, a), (rows, b)) for a, b in columns.halves()]
    ways = [(_fastest(*first), _fastest(*second)) for first, second in cuts]
    return min(
        ((a + b + _SUM_TIME, first + second) for (a, first), (b, second) in ways),
        key=lambda way: way[0],
    )
