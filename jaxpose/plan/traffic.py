"""What one instruction of a compiled program reads, writes and computes."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable

from jaxpose.plan.hlo import Array, Computation, Instruction, Program

# Instructions that name, allocate or group arrays, or whose work is that of the computations that
# they call.
FREE = frozenset(
    "parameter constant get-tuple-element tuple bitcast after-all partition-id replica-id "
    "opt-barrier while call conditional".split()
)
_SLICES = ("slice", "dynamic-slice", "gather")


def hbm_bytes(instruction: Instruction, scope: Computation, program: Program) -> int:
    """Bytes that an instruction moves to and from the main memory, with padding to tiles.

    Arrays in the memory on the chip are not counted. Of an array that is only sliced, or updated in
    place, the slice is counted. An asynchronous copy reads where it starts and writes where it is
    done.

    Args:
      instruction: the instruction.
      scope: the computation that contains it.
      program: the program.
    """
    opcode = instruction.opcode
    if opcode in FREE or 'custom_call_target="AllocateBuffer"' in instruction.rest:
        return 0
    if opcode.endswith("-done"):
        return _in_hbm(instruction.arrays)
    if opcode == "slice-start":  # ((operand), slice, context)
        operand, part = instruction.arrays[:2]
        return part.padded if operand.space == 0 else 0
    operands = [scope.arrays(name) for name in instruction.operands]
    if opcode.endswith("-start"):
        return sum(map(_in_hbm, operands))
    if opcode in _SLICES:
        moved = sum(array.padded for array in instruction.arrays)
        return moved * (_in_hbm(operands[0]) > 0) + _in_hbm(instruction.arrays)
    if opcode == "dynamic-update-slice":
        written = sum(array.padded for array in operands[1])
        return _in_hbm(operands[1]) + written * (_in_hbm(instruction.arrays) > 0)
    if opcode == "fusion":
        return _fusion_bytes(instruction, operands, program)
    return sum(map(_in_hbm, operands)) + _in_hbm(instruction.arrays)


def _in_hbm(arrays: Iterable[Array]) -> int:
    return sum(array.padded for array in arrays if array.space == 0)


def _fusion_bytes(
    instruction: Instruction, operands: list[tuple[Array, ...]], program: Program
) -> int:
    (name,) = instruction.called("calls")
    inner = program.computations[name]
    read = sum(
        min(_in_hbm(arrays), _read(inner, parameter, program))
        for parameter, arrays in zip(inner.parameters, operands, strict=True)
    )
    results = instruction.arrays
    if inner.root.opcode == "tuple":
        roots = inner.root.operands
    elif len(results) == 1:
        roots = (inner.root.name,)
    else:  # one operation with several results
        return read + _in_hbm(results)
    written = sum(
        min(array.padded, _written(inner, root))
        for root, array in zip(roots, results, strict=True)
        if array.space == 0
    )
    return read + written


def _read(scope: Computation, name: str, program: Program) -> int:
    """Bytes that a computation reads of one of its arrays."""
    whole = sum(array.padded for array in scope.arrays(name))
    if name == scope.root.name:  # as of an inner fusion that only renames the dimensions
        return whole
    total = 0
    for user in scope.users.get(name, []):
        first = user.operands[0] == name
        if user.opcode in _SLICES and first:
            total += sum(array.padded for array in user.arrays)
        elif user.opcode == "bitcast":
            total += _read(scope, user.name, program)
        elif user.opcode == "fusion":
            inner = program.computations[user.called("calls")[0]]
            places = [p for p, o in zip(inner.parameters, user.operands, strict=True) if o == name]
            total += sum(_read(inner, place, program) for place in places)
        elif not (user.opcode == "dynamic-update-slice" and first):
            return whole
    return min(total, whole)


def _written(scope: Computation, name: str) -> int:
    """Bytes that a computation writes for one of its results."""
    instruction = scope.instructions[name]
    while instruction.opcode == "bitcast" and instruction.operands[0] in scope.instructions:
        instruction = scope.instructions[instruction.operands[0]]
    arrays = instruction.arrays
    if instruction.opcode == "dynamic-update-slice":
        arrays = scope.arrays(instruction.operands[1])
    return sum(array.padded for array in arrays)


def flops(instruction: Instruction, scope: Computation, program: Program) -> int:
    """Operations of the convolutions and matrix products in an instruction.

    A multiply-add is two. As in XLA's cost analysis, products with padding are not counted, nor
    are those with the zeros of a dilated (strided transposed) convolution.
    """
    if instruction.opcode == "fusion":
        inner = program.computations[instruction.called("calls")[0]]
        return sum(flops(each, inner, program) for each in inner.instructions.values())
    if instruction.opcode not in ("convolution", "dot"):
        return 0
    left, right = (scope.arrays(name)[0].dims for name in instruction.operands[:2])
    result = instruction.arrays[0].dims
    if instruction.opcode == "dot":
        match = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", instruction.rest)
        axes = [int(axis) for axis in match[1].split(",") if axis] if match else []
        return 2 * math.prod(result) * math.prod(left[axis] for axis in axes)
    return _convolution_flops(instruction.rest, left, right, result)


def _convolution_flops(
    attributes: str, image: tuple[int, ...], kernel: tuple[int, ...], result: tuple[int, ...]
) -> int:
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", attributes)
    assert labels is not None, attributes
    of_image, of_kernel, of_result = labels.groups()
    groups = re.search(r"batch_group_count=(\d+)", attributes)
    products = (
        kernel[of_kernel.index("i")]  # input features of one group
        * result[of_result.index("f")]
        * image[of_image.index("b")]
    )
    window = re.search(r"window=\{([^}]*)\}", attributes)
    axes = dict(re.findall(r"(\w+)=(\S+)", window[1])) if window else {}
    for axis in range(len(of_kernel) - 2):
        label = str(axis)
        low = _entry(axes.get("pad"), axis, "0_0").split("_")[0]
        products *= _positions(
            image[of_image.index(label)],
            kernel[of_kernel.index(label)],
            result[of_result.index(label)],
            int(_entry(axes.get("stride"), axis, "1")),
            int(low),
            int(_entry(axes.get("lhs_dilate"), axis, "1")),
            int(_entry(axes.get("rhs_dilate"), axis, "1")),
        )
    return 2 * products // (int(groups[1]) if groups else 1)


def _entry(text: str | None, axis: int, default: str) -> str:
    return text.split("x")[axis] if text else default


@functools.cache
def _positions(
    image: int, kernel: int, result: int, stride: int, low: int, dilate: int, kernel_dilate: int
) -> int:
    """Pairs of a position in the result and one in the kernel that meet a value of the image."""
    last = (image - 1) * dilate
    places = (o * stride - low + k * kernel_dilate for o in range(result) for k in range(kernel))
    return sum(0 <= place <= last and place % dilate == 0 for place in places)
