"""Costs of a compiled training step by phase and by operator, and its collectives."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from jaxpose.plan.hlo import Computation, Instruction, Program
from jaxpose.plan.traffic import FREE, flops, hbm_bytes

PHASES = ("forward", "backward", "update", "unnamed")
COLLECTIVES = (
    "all-reduce all-gather reduce-scatter all-to-all collective-permute collective-broadcast"
).split()
_LONGEST_CHAIN = 16  # of copies, bitcasts and tuples between an array and its use
_OPERATOR = re.compile(r"op:(\w+)\|")


@dataclasses.dataclass
class Cost:
    """Sums over instructions.

    Attributes:
      instructions: how many are executed.
      cycles: the compiler's estimates.
      hbm_bytes: traffic of the main memory.
      flops: operations of convolutions and matrix products.
    """

    instructions: int = 0
    cycles: int = 0
    hbm_bytes: int = 0
    flops: int = 0

    def add(self, other: Cost, times: int = 1) -> None:
        """Adds the costs of something that is executed `times` times."""
        self.instructions += times * other.instructions
        self.cycles += times * other.cycles
        self.hbm_bytes += times * other.hbm_bytes
        self.flops += times * other.flops


@dataclasses.dataclass
class Collective:
    """Instructions of one kind that exchange data between chips.

    Attributes:
      count: how many are executed.
      arrays: arrays that they exchange.
      dtypes: XLA's name of a type, such as f32 or bf16 -> bytes of the values of these arrays, on
        one chip.
    """

    count: int = 0
    arrays: int = 0
    dtypes: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Bytes of the values of all types, on one chip."""
        return sum(self.dtypes.values())


@dataclasses.dataclass(frozen=True)
class Profile:
    """Costs of one step on one chip.

    Attributes:
      total: all instructions.
      phases: by phase, a name of `PHASES`.
      operators: by named operator; other instructions by their JAX primitive or HLO opcode.
      collectives: by opcode.
      endless: loops whose number of iterations the text does not tell; they are counted once.
    """

    total: Cost
    phases: dict[str, Cost]
    operators: dict[str, Cost]
    collectives: dict[str, Collective]
    endless: int


def make_profile(program: Program) -> Profile:
    """Adds up the costs of a program."""
    profile = Profile(
        Cost(), {phase: Cost() for phase in PHASES}, {}, {}, endless=len(_endless(program))
    )
    for instruction, scope, times in _executed(program, program.entry, 1):
        cost = Cost(
            1,
            instruction.cycles,
            hbm_bytes(instruction, scope, program),
            flops(instruction, scope, program),
        )
        name = instruction.op_name
        for sums in (
            profile.total,
            profile.phases[phase(_traced_name(instruction, scope))],
            profile.operators.setdefault(operator(name, instruction.opcode), Cost()),
        ):
            sums.add(cost, times)
        kind = instruction.opcode.removesuffix("-start")
        if kind in COLLECTIVES:
            arrays = [a for operand in instruction.operands for a in scope.arrays(operand)]
            entry = profile.collectives.setdefault(kind, Collective())
            entry.count += times
            entry.arrays += times * len(arrays)
            for array in arrays:
                before = entry.dtypes.get(array.dtype, 0)
                entry.dtypes[array.dtype] = before + times * array.size
    return profile


def total_flops(program: Program) -> int | None:
    """Operations of the convolutions and matrix products.

    None if some are in a loop whose number of iterations the text does not tell.
    """

    def total(scope: Computation) -> int:
        executed = _executed(program, scope, 1)
        return sum(times * flops(each, inner, program) for each, inner, times in executed)

    for loop in _endless(program):
        if total(program.computations[loop.called("body")[0]]):
            return None
    return total(program.entry)


def phase(op_name: str) -> str:
    """The phase of the step in which JAX traced an operation.

    `update` is all that is neither forward nor backward: averages over the devices, optimizer,
    moving averages, metrics. Without a name, it is `unnamed`.

    >>> phase("jit(train_step)/shard_map/transpose(jvp(Net))/conv1/mul")
    'backward'
    """
    if "transpose(jvp(" in op_name:
        return "backward"
    if "jvp(" in op_name:
        return "forward"
    return "update" if op_name else "unnamed"


def _traced_name(instruction: Instruction, scope: Computation) -> str:
    """The JAX name of an instruction, or else of the first named one that uses its result.

    The compiler inserts copies without a name, and copies of arguments with the argument's name.
    Copies of results have the name of what they copy.
    """

    def users(each: Instruction) -> list[Instruction]:
        return scope.users.get(each.name, [])

    def producers(each: Instruction) -> list[Instruction]:
        return [scope.instructions[name] for name in each.operands if name in scope.instructions]

    for neighbors in (users, producers):
        each = instruction
        for _ in range(_LONGEST_CHAIN):
            if each.op_name.startswith("jit("):
                return each.op_name
            if not (found := neighbors(each)):
                break
            each = found[0]
    return ""


def operator(op_name: str, opcode: str) -> str:
    """The named operator, or else the JAX primitive (or HLO opcode) in parentheses.

    >>> operator("jit(f)/jvp(Net)/conv1/jit(op:conv|{})/conv_general_dilated", "fusion")
    'conv'
    >>> operator("jit(f)/jit(_where)/select_n", "fusion"), operator("", "copy-start")
    ('(select_n)', '(copy)')
    """
    found = _OPERATOR.findall(op_name)
    if found:
        return found[-1]
    if not op_name.startswith("jit("):  # none, or that of an argument, whose layout is changed
        return f"({opcode.removesuffix('-start').removesuffix('-done')})"
    primitive = op_name.split(";")[0].rsplit("/", 1)[-1]
    return f"({re.sub(r'[.][0-9]+$', '', primitive)})"


def _executed(
    program: Program, scope: Computation, times: int
) -> Iterator[tuple[Instruction, Computation, int]]:
    """(instruction, its computation, number of executions), through loops, calls and branches."""
    for instruction in scope.instructions.values():
        if instruction.opcode == "while":
            body = program.computations[instruction.called("body")[0]]
            yield from _executed(program, body, times * (iterations(instruction, program) or 1))
        elif instruction.opcode == "call":
            inner = program.computations[instruction.called("to_apply")[0]]
            yield from _executed(program, inner, times)
        elif instruction.opcode == "conditional":
            yield from _executed(program, _costliest(program, instruction), times)
        elif instruction.opcode not in FREE:
            yield instruction, scope, times


def _costliest(program: Program, conditional: Instruction) -> Computation:
    names = conditional.called("branch_computations") or [
        *conditional.called("true_computation"),
        *conditional.called("false_computation"),
    ]

    def cycles(scope: Computation) -> int:
        return sum(n * each.cycles for each, _, n in _executed(program, scope, 1))

    return max((program.computations[name] for name in names), key=cycles)


def iterations(loop: Instruction, program: Program) -> int | None:
    """Number of iterations of a `while`, or None if the text does not tell.

    JAX's loops count from 0 up to a constant.
    """
    known = re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.rest)
    if known:
        return int(known[1])
    condition = program.computations[loop.called("condition")[0]]
    if condition.root.opcode != "compare" or "direction=LT" not in condition.root.rest:
        return None
    limit = condition.instructions.get(condition.root.operands[1])
    if limit is None or limit.opcode != "constant":
        return None
    return int(limit.rest.split(")", 1)[0])


def _endless(program: Program) -> list[Instruction]:
    return [
        each
        for scope in program.computations.values()
        for each in scope.instructions.values()
        if each.opcode == "while" and iterations(each, program) is None
    ]
