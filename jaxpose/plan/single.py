"""Compiles one function for one chip, to see what a part of a network costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import NamedSharding

from jaxpose.jax_api import Format, Layout
from jaxpose.mesh import EVERYWHERE, make_mesh
from jaxpose.plan.compilation import Compiled, compile_step
from jaxpose.plan.hlo import parse
from jaxpose.plan.profile import Cost, make_profile
from jaxpose.plan.topology import Target

FREE: Any = Layout.AUTO  # the layout that the compiler prefers
BATCH_IN_LANES = Layout(major_to_minor=(1, 2, 3, 0))  # of images, where it puts them in networks


def compile_single(
    target: Target,
    function: Callable,
    arguments: Sequence[Any],
    layouts: Sequence[Layout | None],
    result_layout: Layout | None,
) -> Compiled:
    """Compiles a function for the first chip of a slice.

    Args:
      target: the slice.
      function: what is compiled.
      arguments: shapes and dtypes, one tree per argument of the function.
      layouts: of the arrays of each argument; None for JAX's own.
      result_layout: of the arrays of the result.

    Raises:
      ValueError: the compiler fails for another reason than memory.
    """
    mesh = make_mesh(target.devices[:1])

    def mapped(*arrays):  # a new function, because JAX keeps traces of the same one
        return function(*arrays)

    def placed(layout: Layout | None) -> Format:
        return Format(layout, NamedSharding(mesh, EVERYWHERE))

    lowered = jax.jit(
        jax.shard_map(
            mapped, mesh=mesh, in_specs=EVERYWHERE, out_specs=EVERYWHERE, check_vma=False
        ),
        in_shardings=tuple(map(placed, layouts)),
        out_shardings=placed(result_layout),
    ).lower(*arguments)
    return compile_step(lowered, target, None)


def total_cost(compiled: Compiled) -> Cost:
    """The costs of all instructions."""
    return make_profile(parse(compiled.text)).total
