"""The same block many times in a row: one scan where it pays, else one block after another."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax


def repeat(parent: nn.Module, block: nn.Module, names: Sequence[str], x: Any, train: bool) -> Any:
    """Applies copies of `block` to `x` one after another, in a compact method of `parent`.

    It is a Python loop, except in training on a CPU. There it is one `lax.scan` over the stacked
    variables of the copies: XLA compiles the forward and backward pass of a single block. If some
    of the copies have frozen batch norms, there is one scan for each sequence of copies in which
    the same are frozen.

    A scan keeps what its backward pass needs in stacks of arrays, which are filled with zeros and
    then written one slice at a time. Accelerators, whose memory traffic limits these networks, are
    faster without (docs/plan.md). Outside training there is little to compile, and summary and
    export need the network's operators one by one.

    Args:
      parent: module that holds the copies.
      block: unbound (made with ``parent=None``), called as ``block(x, train)``; returns arrays of
        the shapes and dtypes of x, uses no random numbers, changes nothing but "batch_stats".
      names: of the copies; the variables are those of submodules with these names.
      x: an array or a list of arrays.
      train: whether this is a training step.

    Returns:
      What the last copy returns.
    """
    if not train or len(names) < 2 or parent.is_initializing() or _platform() != "cpu":
        for name in names:
            x = block.clone(parent=parent, name=name)(x, train)
        return x
    copies = {
        name: {kind: tree[name] for kind, tree in parent.variables.items() if name in tree}
        for name in names
    }

    def step(x, variables):
        return block.apply(variables, x, train, mutable=["batch_stats"])

    for _, group in itertools.groupby(names, lambda name: jax.tree.structure(copies[name])):
        alike = list(group)
        stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(copies[name] for name in alike))
        x, updated = lax.scan(step, x, stack)
        for kind, stacked in updated.items():
            for number, name in enumerate(alike):
                tree = jax.tree.map(lambda leaf, number=number: leaf[number], stacked)
                parent.put_variable(kind, name, tree)
    return x


def _platform() -> str:
    """That of the mesh under whose `jax.shard_map` this is traced, else JAX's default."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    return device.platform if device else jax.default_backend()
