"""Parts of JAX that may change without notice; no other file uses them.

* The contents of jaxprs (from `jax.make_jaxpr` or `jax.jit(...).trace(...).jaxpr`), called programs
  here. Export, summary and the initial weights read the equations of a network. JAX documents them
  for writers of interpreters but does not guarantee them: up to 0.10, a program with its constants
  was a `ClosedJaxpr` around a `Jaxpr`; in 0.12, one class is both. Parameters of single primitives
  are read in `jaxpose.export.primitives`.
* Communication between hosts, resetting the compilation cache, whose folder JAX looks up only once,
  layouts of arrays in memory, and descriptions of TPU slices that are not there. Only
  `jax.experimental` has these.
* The key-value store of the coordination service, through which hosts exchange text before and
  outside computations: JAX uses it, but has no public function for it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
from jax._src.distributed import global_state as _distributed
from jax.experimental.compilation_cache.compilation_cache import (
    reset_cache as forget_compilation_cache,
)
from jax.experimental.layout import Format, Layout
from jax.experimental.multihost_utils import (
    process_allgather,
    sync_global_devices,
)
from jax.experimental.topologies import get_topology_desc

__all__ = [
    "Format",
    "Layout",
    "apply",
    "body",
    "coordination_client",
    "equations",
    "evaluate",
    "forget_compilation_cache",
    "get_topology_desc",
    "hlo_text",
    "host_numbers",
    "inner_programs",
    "literal",
    "process_allgather",
    "scope",
    "sync_global_devices",
]


def coordination_client() -> Any | None:
    """The client of the coordination service; None before `jax.distributed.initialize`.

    Its methods used here: `key_value_set(key, text)`, which raises an error if the key exists;
    `key_value_try_get(key)`, which raises one if it does not; `key_value_dir_get(prefix)`;
    `blocking_key_value_get(key, milliseconds)` and `wait_at_barrier(name, milliseconds)`. Their
    errors are `jax.errors.JaxRuntimeError`.
    """
    return _distributed.client


def hlo_text(lowered: jax.stages.Lowered) -> str:
    """The HLO of a program before compilation, in the form of that after compilation."""
    computation: Any = lowered.compiler_ir("hlo")
    return computation.get_hlo_module().to_string()


def host_numbers() -> tuple[int, int]:
    """(number of this host, number of hosts), (0, 1) before `jax.distributed.initialize`.

    Unlike `jax.process_index`, it needs no devices, so it works if they cannot be used.
    """
    return _distributed.process_id, _distributed.num_processes


def body(program: Any) -> tuple[Any, Sequence[Any]]:
    """The part of a program with `constvars`, `invars`, `eqns` and `outvars`, and its constants."""
    return getattr(program, "jaxpr", program), getattr(program, "consts", ())


def equations(program: Any) -> list[Any]:
    """The equations, each with `primitive`, `params`, `invars` and `outvars`."""
    return body(program)[0].eqns


def inner_programs(equation: Any) -> Iterator[Any]:
    """The programs that an equation calls, repeats or chooses from."""
    for value in equation.params.values():
        for each in value if isinstance(value, (tuple, list)) else (value,):
            if hasattr(body(each)[0], "eqns"):
                yield each


def scope(equation: Any) -> str:
    """Path of the module in which an equation was traced, e.g. "a/b", relative to the program."""
    return str(equation.source_info.name_stack)


def literal(atom: Any) -> bool:
    """Whether an input of an equation is a literal, with its value in `val`, and not a variable."""
    return hasattr(atom, "val")


def apply(equation: Any, *values: Any) -> list[Any]:
    """The outputs of an equation; inner jitted programs are compiled once each."""
    if "call_jaxpr" in equation.params:  # with custom derivatives, which `bind` would require
        return evaluate(equation.params["call_jaxpr"], *values)
    results = equation.primitive.bind(*values, **equation.params)
    return list(results) if equation.primitive.multiple_results else [results]


def evaluate(program: Any, *inputs: Any) -> list[Any]:
    """The outputs of a program, evaluated equation by equation; unused equations are skipped.

    Inputs that no output depends on may have any value. Arrays are released after their last use.
    """
    jaxpr, constants = body(program)
    needed = {atom for atom in jaxpr.outvars if not literal(atom)}
    steps = []
    for equation in reversed(jaxpr.eqns):
        if needed.isdisjoint(equation.outvars):
            continue
        read = {atom for atom in equation.invars if not literal(atom)}
        steps.append((equation, read - needed))
        needed |= read

    arrays = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *inputs], strict=True))

    def value(atom: Any) -> Any:
        return atom.val if literal(atom) else arrays[atom]

    for equation, last_used in reversed(steps):
        values = [value(atom) for atom in equation.invars]
        arrays.update(zip(equation.outvars, apply(equation, *values), strict=True))
        for variable in last_used:
            del arrays[variable]
    return [value(atom) for atom in jaxpr.outvars]
