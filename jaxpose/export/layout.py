"""Axis orders: rank-4 values are NHWC in a jaxpr and NCHW in the target; others are unchanged."""

from __future__ import annotations

from collections.abc import Sequence

BATCH = 2  # traced batch size; not 1, to distinguish batch axes from broadcast axes
TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)  # permutations of NHWC and of NCHW axes


def to_target(shape: Sequence[int]) -> tuple[int, ...]:
    """A jaxpr shape in the target's axis order."""
    return tuple(int(shape[a]) for a in TO_NCHW) if len(shape) == 4 else tuple(map(int, shape))


def from_target(shape: Sequence[int]) -> tuple[int, ...]:
    """A target shape in the jaxpr's axis order."""
    return tuple(shape[a] for a in TO_NHWC) if len(shape) == 4 else tuple(shape)


def target_axis(axis: int, rank: int) -> int:
    """A jaxpr axis in the target's axis order."""
    return TO_NCHW.index(axis) if rank == 4 else int(axis)
