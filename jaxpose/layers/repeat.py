"""The same block many times in a row: one scan where it pays, else one block after another."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

# Names of the blocks that are computed again; None where all that the backward pass needs is kept.
_AGAIN: ContextVar[list[str] | None] = ContextVar("again", default=None)


def rematerialized(function: Callable) -> Callable:
    """`function`, but `repeat` keeps only the inputs of its blocks for the backward pass.

    The backward pass computes each block again, of nested blocks only the outermost. The returned
    function raises a ValueError if it repeats no block.
    """

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        with _again([]) as names:
            result = function(*args, **kwargs)
        if not names:
            raise ValueError(
                "config.remat=True would change nothing: the network has no repeated blocks"
            )
        return result

    return wrapped


@contextlib.contextmanager
def _again(names: list[str] | None) -> Iterator[list[str] | None]:
    token = _AGAIN.set(names)
    try:
        yield names
    finally:
        _AGAIN.reset(token)


def repeat(parent: nn.Module, block: nn.Module, names: Sequence[str], x: Any, train: bool) -> Any:
    """Applies copies of `block` to `x` one after another, in a compact method of `parent`.

    It is a Python loop, except in training on a CPU. There it is one `lax.scan` over the stacked
    variables of the copies: XLA compiles the forward and backward pass of a single block. If some
    of the copies have frozen batch norms, there is one scan for each sequence of copies in which
    the same are frozen. In a function from `rematerialized`, the copies keep only their inputs.

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
    scanned, again = len(names) > 1 and _platform() == "cpu", _AGAIN.get()
    if again is not None:
        again.extend(names)
    if not train or parent.is_initializing() or (not scanned and again is None):
        for name in names:
            x = block.clone(parent=parent, name=name)(x, train)
        return x
    copies = {
        name: {kind: tree[name] for kind, tree in parent.variables.items() if name in tree}
        for name in names
    }

    def step(x, variables):
        with _again(None):
            return block.apply(variables, x, train, mutable=["batch_stats"])

    def kept(looped: bool) -> Callable:
        return step if again is None else jax.checkpoint(step, prevent_cse=not looped)

    if not scanned:
        for name in names:
            x, updated = kept(looped=False)(x, copies[name])
            for kind, tree in updated.items():
                parent.put_variable(kind, name, tree)
        return x
    for _, group in itertools.groupby(names, lambda name: jax.tree.structure(copies[name])):
        alike = list(group)
        stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(copies[name] for name in alike))
        x, updated = lax.scan(kept(looped=len(alike) > 1), x, stack)
        for kind, stacked in updated.items():
            for number, name in enumerate(alike):
                tree = jax.tree.map(lambda leaf, number=number: leaf[number], stacked)
                parent.put_variable(kind, name, tree)
    return x


def _platform() -> str:
    """That of the mesh under whose `jax.shard_map` this is traced, else JAX's default."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    return device.platform if device else jax.default_backend()
