"""Reads the text of a compiled program (HLO, XLA's intermediate representation).

The text is that of `jax.stages.Compiled.as_text`. Only what the plan needs is read: instructions
with the arrays that they produce, their operands, and their attributes as text.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

_ARRAY = re.compile(r"\b(pred|token|opaque|[a-z]+\d+\w*)\[([\d,<=]*)\](?:\{([^}]*)\})?")
_HEADER = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"\s+(ROOT )?%?([\w.\-]+) = (.*?) ([\w\-]+)\((.*)$")
_OP_NAME = re.compile(r'op_name="((?:[^"\\]|\\.)*)"')


@dataclasses.dataclass(frozen=True)
class Array:
    """An array in the program.

    Attributes:
      dtype: XLA's name of its type, such as f32, bf16 or pred.
      dims: its shape.
      size: bytes of its values.
      padded: bytes that it occupies; TPUs pad the minor dimensions to tiles such as 8x128.
      space: 0 for the main memory (HBM); 1 for the vector memory on a TPU chip, others for scalars.
    """

    dtype: str
    dims: tuple[int, ...]
    size: int
    padded: int
    space: int


@dataclasses.dataclass(frozen=True)
class Instruction:
    """An instruction with its results, operands (names) and the rest of its line."""

    name: str
    opcode: str
    arrays: tuple[Array, ...]
    operands: tuple[str, ...]
    rest: str

    @property
    def op_name(self) -> str:
        """JAX's name stack, e.g. jit(train_step)/jvp(Net)/conv1/jit(op:conv|...); "" if absent."""
        match = _OP_NAME.search(self.rest)
        return match[1] if match else ""

    @property
    def cycles(self) -> int:
        """The compiler's estimate; 0 where it has none, as for collectives."""
        match = re.search(r'"estimated_cycles":"(\d+)"', self.rest)
        return int(match[1]) if match else 0

    def called(self, attribute: str) -> list[str]:
        """Names of the computations of an attribute such as `calls`."""
        match = re.search(rf"\b{attribute}=\{{?((?:%[\w.\-]+(?:, )?)+)", self.rest)
        return re.findall(r"%([\w.\-]+)", match[1]) if match else []


@dataclasses.dataclass(frozen=True)
class Computation:
    """A function of the program; `parameters` are names in order."""

    instructions: dict[str, Instruction]
    root: Instruction

    @functools.cached_property
    def parameters(self) -> tuple[str, ...]:
        numbers = {
            int(instruction.rest.split(")", 1)[0]): name
            for name, instruction in self.instructions.items()
            if instruction.opcode == "parameter"
        }
        return tuple(numbers[number] for number in sorted(numbers))

    @functools.cached_property
    def users(self) -> dict[str, list[Instruction]]:
        """name -> the instructions that read it."""
        users: dict[str, list[Instruction]] = {}
        for instruction in self.instructions.values():
            for name in dict.fromkeys(instruction.operands):
                users.setdefault(name, []).append(instruction)
        return users

    def arrays(self, name: str) -> tuple[Array, ...]:
        """The arrays of an operand."""
        return self.instructions[name].arrays if name in self.instructions else ()


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program."""

    computations: dict[str, Computation]
    entry: Computation


def parse(text: str) -> Program:
    """Reads a program.

    Raises:
      ValueError: the text has no entry computation.
    """
    computations: dict[str, Computation] = {}
    entry = None
    lines = iter(text.splitlines())
    for line in lines:
        header = _HEADER.match(line)
        if header:
            computations[header[2]] = _computation(lines)
            entry = header[2] if header[1] else entry
    if entry is None:
        raise ValueError("the compiled program has no entry computation")
    return Program(computations, computations[entry])


def op_names(text: str) -> list[str]:
    """JAX's name stacks of the instructions of a program that have one, in order."""
    return _OP_NAME.findall(text)


def _computation(lines: Iterator[str]) -> Computation:
    instructions: dict[str, Instruction] = {}
    root = None
    for line in lines:
        if line.startswith("}"):
            break
        match = _INSTRUCTION.match(line)
        if match is None:
            continue
        is_root, name, kind, opcode, rest = match.groups()
        arrays = tuple(_array(*found.groups()) for found in _ARRAY.finditer(kind))
        operands = tuple(re.findall(r"%([\w.\-]+)", _inside(rest)))
        instructions[name] = Instruction(name, opcode, arrays, operands, rest)
        root = instructions[name] if is_root or root is None else root
    assert root is not None
    return Computation(instructions, root)


def _inside(text: str) -> str:
    """The text up to the parenthesis that closes the operands."""
    depth = 1
    for position, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return text[:position]
    return text


@functools.lru_cache(maxsize=65536)
def _array(dtype: str, shape: str, layout: str | None) -> Array:
    dims = tuple(int(side.lstrip("<=")) for side in shape.split(",") if side)
    if dtype in ("token", "opaque"):
        return Array(dtype, dims, 0, 0, 0)
    digits = re.search(r"\d+", dtype)
    bits = int(digits[0]) if digits else 8  # pred
    order, _, tiling = (layout or "").partition(":")
    tile = re.search(r"T\(([\d,]+)\)", tiling)
    space = re.search(r"S\((\d+)\)", tiling)
    padded = math.prod(dims)
    if tile:
        minor_first = [dims[int(axis)] for axis in order.split(",") if axis] or [1]
        sides = [int(side) for side in reversed(tile[1].split(","))]
        filled = [math.ceil(n / side) * side for n, side in zip(minor_first, sides, strict=False)]
        padded = math.prod(filled) * math.prod(minor_first[len(sides) :])
    size = -(-math.prod(dims) * bits // 8)
    return Array(dtype, dims, size, -(-padded * bits // 8), int(space[1]) if space else 0)
