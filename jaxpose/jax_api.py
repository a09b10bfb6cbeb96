"""What jaxpose takes of JAX that JAX may change without notice; no other file does.

* Programs as data (`jax.make_jaxpr`, `jax.jit(...).trace(...).jaxpr`). What one consists of is in
  JAX's documentation for those who write interpreters, as we do: export, summary and the initial
  weights read a network's equations. It is not promised: up to 0.10 a program with its constants
  was a `ClosedJaxpr` around a `Jaxpr`, in 0.12 one class is both. Parameters of single primitives
  are read where they are translated, in `jaxpose.export.primitives`.
* What several hosts do together, and forgetting the compilation cache's folder, which JAX looks up
  once: `jax.experimental` alone has them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from jax.experimental.compilation_cache.compilation_cache import (
    reset_cache as forget_compilation_cache,
)
from jax.experimental.multihost_utils import (
    process_allgather,
    reached_preemption_sync_point,
    sync_global_devices,
)

__all__ = [
    "apply",
    "body",
    "equations",
    "evaluate",
    "forget_compilation_cache",
    "inner_programs",
    "literal",
    "process_allgather",
    "reached_preemption_sync_point",
    "scope",
    "sync_global_devices",
]


def body(program: Any) -> tuple[Any, Sequence[Any]]:
    """The part of a program that has `constvars`, `invars`, `eqns`, `outvars`; its constants."""
    return getattr(program, "jaxpr", program), getattr(program, "consts", ())


def equations(program: Any) -> list[Any]:
    """Each with `primitive`, `params`, `invars` and `outvars`."""
    return body(program)[0].eqns


def inner_programs(equation: Any) -> Iterator[Any]:
    """The programs among an equation's parameters: what it calls, repeats or chooses from."""
    for value in equation.params.values():
        for each in value if isinstance(value, (tuple, list)) else (value,):
            if hasattr(body(each)[0], "eqns"):
                yield each


def scope(equation: Any) -> str:
    """Names of the modules that an equation was traced in, "a/b", from the program outwards."""
    return str(equation.source_info.name_stack)


def literal(atom: Any) -> bool:
    """Whether an equation's input is a number written into it, its `val`, and not a variable."""
    return hasattr(atom, "val")


def apply(equation: Any, *values: Any) -> list[Any]:
    """An equation's outputs for these inputs; what it jits is compiled once per inner program."""
    if "call_jaxpr" in equation.params:  # has derivatives of its own, which `bind` would ask for
        return evaluate(equation.params["call_jaxpr"], *values)
    results = equation.primitive.bind(*values, **equation.params)
    return list(results) if equation.primitive.multiple_results else [results]


def evaluate(program: Any, *inputs: Any) -> list[Any]:
    """A program's outputs, one equation after the other; those without use are left out.

    Inputs that no output depends on may be anything. An array is let go after its last use.
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
