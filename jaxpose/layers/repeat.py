"""A block many times in a row, compiled once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax


def repeat(parent: nn.Module, block: nn.Module, names: Sequence[str], x: Any, train: bool) -> Any:
    """`x` through one copy of `block` after the other; called in a compact method of `parent`.

    While training it is one `lax.scan` over the copies' stacked variables: XLA compiles forward and
    backward pass of one block, however many there are. At other times, when there is little to
    compile and others read the network's operators one by one (summary, export), it is a loop.

    Args:
      parent: holds the copies.
      block: unbound (made with ``parent=None``), called as ``block(x, train)``; returns arrays of
        the shapes and dtypes of x, uses no random numbers, changes nothing but "batch_stats".
      names: of the copies; variables are those of so many submodules of these names.
      x: an array or a list of them.
      train: whether this is a training step.
    """
    if not train or len(names) < 2 or parent.is_initializing():
        for name in names:
            x = block.clone(parent=parent, name=name)(x, train)
        return x
    copies = [
        {kind: tree[name] for kind, tree in parent.variables.items() if name in tree}
        for name in names
    ]

    def step(x, variables):
        return block.apply(variables, x, train, mutable=["batch_stats"])

    x, updated = lax.scan(step, x, jax.tree.map(lambda *leaves: jnp.stack(leaves), *copies))
    for kind, stacked in updated.items():
        for number, name in enumerate(names):
            own = jax.tree.map(lambda leaf, number=number: leaf[number], stacked)
            parent.put_variable(kind, name, own)
    return x
