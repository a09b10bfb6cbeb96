"""Reshapes and transposes of the export graph, merged into as few operators as they need.

In the export graph, values are NCHW, and reshapes and transposes refer to that order. Here the
memory is NHWC. Translating each such node by itself would surround it with transposes of the
layout. A `View` instead records how the axes of a value lie in the memory of another value. Only
when an operator reads it, the difference becomes RESHAPE and TRANSPOSE operators, often none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jaxpose.export.layout import TO_NHWC
from jaxpose.export.litert.program import Program, Value, physical

MAX_RANK = 4


@dataclass(frozen=True)
class View:
    """A value whose axes are read from the memory of `base`.

    Attributes:
      base: the value in memory.
      sizes: the memory of `base` as axes longer than 1, the atoms, in the order of the memory.
      axes: for each axis of the export graph, the atoms that it consists of, by their index; the
        first varies slowest.
    """

    base: Value
    sizes: tuple[int, ...]
    axes: tuple[tuple[int, ...], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in the order of the export graph; the batch size is 1."""
        return tuple(math.prod(self.sizes[i] for i in axis) for axis in self.axes)


def view(base: Value) -> View:
    """`base` itself as a view."""
    rank = len(base.shape)
    order = TO_NHWC if rank == 4 else tuple(range(rank))
    axes: list[tuple[int, ...]] = [()] * rank
    sizes: list[int] = []
    for axis, size in zip(order, base.shape, strict=True):
        if size > 1:
            axes[axis] = (len(sizes),)
            sizes.append(size)
    return View(base, tuple(sizes), tuple(axes))


def transposed(x: View, perm: Sequence[int]) -> View:
    """The axes of `x` in the order `perm`, as axes of the export graph."""
    return replace(x, axes=tuple(x.axes[p] for p in perm))


def reshaped(x: View, shape: Sequence[int], program: Program, name: str) -> View:
    """`x` with another shape of the export graph.

    Needs an operator only if an axis of the result is not a product of factors of the old axes.
    """
    shape = (1, *(int(n) for n in shape[1:]))
    split = _split(x, shape)
    if split is not None:
        return split
    base = materialized(x, program, name, order=range(len(x.axes)))
    memory = [size for size in shape if size > 1]
    atoms = iter(range(len(memory)))
    axes = tuple((next(atoms),) if size > 1 else () for size in shape)
    return View(base, tuple(memory), axes)


def _split(x: View, shape: tuple[int, ...]) -> View | None:
    """`x` with another shape by splitting atoms; None if that is impossible."""
    sizes = list(x.sizes)
    rest = [i for axis in x.axes for i in axis]  # atoms in the order of the old axes
    axes: list[list[int]] = []
    for size in shape:
        taken: list[int] = []
        while size > 1:
            atom = rest.pop(0)
            if size % sizes[atom] == 0:
                size //= sizes[atom]
                taken.append(atom)
            elif sizes[atom] % size == 0:  # the slow part of the atom belongs to this axis
                sizes[atom : atom + 1] = [size, sizes[atom] // size]
                moved = [[i + (i > atom) for i in atoms] for atoms in (*axes, taken, rest)]
                *axes, taken, rest = moved
                taken.append(atom)
                rest.insert(0, atom + 1)
                size = 1
            else:
                return None
        axes.append(taken)
    return View(x.base, tuple(sizes), tuple(map(tuple, axes)))


def materialized(x: View, program: Program, name: str, order: Sequence[int] | None = None) -> Value:
    """The view as a value in memory.

    Args:
      x: the view.
      program: gets the operators.
      name: of the value.
      order: of the axes in memory; None for the program's own, NHWC.
    """
    shape = physical(x.shape)
    if order is None:
        order = TO_NHWC if len(x.axes) == 4 else range(len(x.axes))
    else:
        shape = tuple(x.shape[axis] for axis in order)
        shape = shape if len(shape) <= MAX_RANK else (1, math.prod(shape))
    target = [i for axis in order for i in x.axes[axis]]
    value = x.base
    memory = list(range(len(x.sizes)))
    while memory != target:
        value, memory = _transpose(value, x.sizes, memory, target, program, name)
    return program.reshape(value, shape, name)


def moves(x: View) -> bool:
    """Whether `materialized` needs a transpose."""
    order = TO_NHWC if len(x.axes) == 4 else range(len(x.axes))
    atoms = [i for axis in order for i in x.axes[axis]]
    return atoms != sorted(atoms)


def memory_axes(x: View) -> list[int] | None:
    """The axes longer than 1 in the order of the memory, if each is one piece and all fit."""
    axes = [axis for axis, atoms in enumerate(x.axes) if atoms]
    whole = all(list(x.axes[a]) == list(range(x.axes[a][0], x.axes[a][-1] + 1)) for a in axes)
    if not whole or len(axes) >= MAX_RANK:
        return None
    return sorted(axes, key=lambda axis: x.axes[axis][0])


def without_axis(x: View, base: Value, axis: int) -> View:
    """`base`, which has the memory of `x` except that an axis has length 1, as a view."""
    removed = set(x.axes[axis])
    kept = [i for i in range(len(x.sizes)) if i not in removed]
    axes = (tuple(kept.index(i) for i in atoms if i in kept) for atoms in x.axes)
    return View(base, tuple(x.sizes[i] for i in kept), tuple(axes))


def _transpose(
    value: Value,
    sizes: tuple[int, ...],
    memory: list[int],
    target: list[int],
    program: Program,
    name: str,
) -> tuple[Value, list[int]]:
    """One TRANSPOSE that brings atoms from the order `memory` to the order `target`.

    If the whole permutation needs more than four axes, it exchanges two blocks, so that at least
    one more atom is in place.
    """
    blocks = _blocks(memory, target)
    if len(blocks) > MAX_RANK:
        first = next(i for i, (a, b) in enumerate(zip(memory, target, strict=True)) if a != b)
        start = memory.index(target[first])
        stop = start + 1
        while stop < len(memory) and memory[stop] == target[first + stop - start]:
            stop += 1
        target = memory[:first] + memory[start:stop] + memory[first:start] + memory[stop:]
        blocks = _blocks(memory, target)
    blocks.sort(key=lambda block: memory.index(block[0]))
    lead = MAX_RANK - len(blocks)  # leading axes of length 1, so that the batch size stays 1
    shape = (*[1] * lead, *(math.prod(sizes[i] for i in block) for block in blocks))
    starts = [block[0] for block in blocks]
    moved = sorted(range(len(blocks)), key=lambda i: target.index(starts[i]))
    perm = [*range(lead), *(i + lead for i in moved)]
    value = program.reshape(value, shape, f"{name}/blocks")
    result = [shape[p] for p in perm]
    value = program.add("TRANSPOSE", [value, program.integers(perm)], result, f"{name}/transposed")
    return value, target


def _blocks(memory: list[int], target: list[int]) -> list[list[int]]:
    """The atoms of `target` in runs that are neighbors in `memory` too."""
    blocks: list[list[int]] = []
    for atom in target:
        place = memory.index(atom)
        if blocks and place and memory[place - 1] == blocks[-1][-1]:
            blocks[-1].append(atom)
        else:
            blocks.append([atom])
    return blocks
