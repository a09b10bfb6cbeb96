"""The skeleton of the high-resolution networks (HRNet, Sun et al. 2019), written once.

Feature maps of several resolutions, the branches, run beside each other: a list of arrays, branch i
of shape [B,H/4/2^i,W/4/2^i,widths[i]]. A network is a few stages. A transition makes the branches
of a stage from those before; then the stage's modules each let every branch work (the body) and
mix all of them (the fusion).

What a paper changes, it gives as a function:
  transition(stage, xs, train) -> xs   where the branches of a stage come from; `grow` is HRNet's
  body(module, xs, train) -> xs        the blocks of a module; `each_branch` or `all_branches`
  step(features, stride=, act=, name=) a layer that changes width or halves the size
  fuse(xs, outputs, term) -> xs        how the branches are summed; `fuse_sum` is HRNet's
They run inside a compact method and name the layers that they make there as the public checkpoints
do, so a path in the parameter tree is a public key up to punctuation. Modules of a stage and blocks
of a module that are alike go through `layers.repeat`.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax

from jaxpose import ops
from jaxpose.layers import ConvNormAct, ModuleDef, repeat

Maps = list[jax.Array]
Term = Callable[[int, int, jax.Array], jax.Array]
Fuse = Callable[[Maps, int, Term], Maps]


class Stage(NamedTuple):
    """Parallel branches that go through `modules` modules.

    `name` is the prefix of the modules in the parameter tree ("stage2" -> stage2_0, stage2_1, ...),
    `transition` that of the layers before them. The last module makes `outputs` branches, the
    highest-resolution ones; None: all.
    """

    name: str
    transition: str
    widths: tuple[int, ...]
    modules: int
    outputs: int | None = None


def run_stages(
    parent: nn.Module,
    xs: Maps,
    stages: Sequence[Stage],
    transition: Callable[[Stage, Maps, bool], Maps],
    module: Callable[..., nn.Module],
    train: bool,
) -> Maps:
    """All stages, one after the other.

    Args:
      parent: in whose compact method this runs.
      xs: branches that enter the first transition.
      stages: descriptions.
      transition: makes a stage's branches of the outputs before it.
      module: constructor of a module, called with `outputs` and `name`: an `HRModule`.

    Returns:
      the branches that the last module makes.

    Raises:
      ValueError: the transition made other widths than the stage has.
    """
    for stage in stages:
        xs = transition(stage, xs, train)
        made = tuple(x.shape[-1] for x in xs)
        if made != tuple(stage.widths):
            raise ValueError(f"{stage.name}: branches of {stage.widths} expected, {made} made")
        names = [f"{stage.name}_{number}" for number in range(stage.modules)]
        alike = names[:-1] if stage.outputs else names
        block = module(outputs=len(stage.widths), parent=None)
        xs = repeat(parent, block, alike, xs, train)
        for name in names[len(alike) :]:
            xs = module(outputs=stage.outputs, name=name)(xs, train)
    return xs


def descend(
    x: jax.Array,
    features: int,
    steps: int,
    step: ModuleDef,
    act: str | None,
    name: str,
    train: bool,
) -> jax.Array:
    """Halves the size `steps` times; the last step goes to `features` and ends with `act`.

    The steps before it keep the channels and end with ReLU. Layers are `{name}_0`, `{name}_1`, ...
    """
    for number in range(steps):
        last = number == steps - 1
        x = step(
            features if last else x.shape[-1],
            stride=2,
            act=act if last else "relu",
            name=f"{name}_{number}",
        )(x, train)
    return x


def grow(stage: Stage, xs: Maps, train: bool, *, step: ModuleDef) -> Maps:
    """HRNet's transition: new branches come from the lowest resolution so far.

    A branch that is kept passes through, or takes a step of stride 1 where its width changes.
    """
    branches = []
    for i, width in enumerate(stage.widths):
        name = f"{stage.transition}_{i}"
        if i >= len(xs):
            x = descend(xs[-1], width, i + 1 - len(xs), step, "relu", name, train)
        elif xs[i].shape[-1] != width:
            x = step(width, stride=1, act="relu", name=name)(xs[i], train)
        else:
            x = xs[i]
        branches.append(x)
    return branches


def each_branch(
    module: nn.Module,
    xs: Maps,
    train: bool,
    *,
    block: ModuleDef,
    blocks: int,
    name: str = "branches",
) -> Maps:
    """A body of `blocks` blocks a branch, each on its own: `block(width)(x, train)`.

    Layers are `{name}_{branch}_{number}`.
    """
    return [
        repeat(
            module,
            block(x.shape[-1], parent=None),
            [f"{name}_{i}_{number}" for number in range(blocks)],
            x,
            train,
        )
        for i, x in enumerate(xs)
    ]


def all_branches(
    module: nn.Module,
    xs: Maps,
    train: bool,
    *,
    block: ModuleDef,
    blocks: int,
    name: str = "layers",
) -> Maps:
    """A body of `blocks` blocks that see all branches: `block()(xs, train)`.

    Layers are `{name}_{number}`.
    """
    names = [f"{name}_{number}" for number in range(blocks)]
    return repeat(module, block(parent=None), names, xs, train)


def fuse_sum(xs: Maps, outputs: int, term: Term) -> Maps:
    """HRNet's fusion: output i is ReLU(sum over j of term(i, j, xs[j]))."""
    return [
        ops.activation(
            functools.reduce(operator.add, [term(i, j, x) for j, x in enumerate(xs)]), kind="relu"
        )
        for i in range(outputs)
    ]


class HRModule(nn.Module):
    """One module: the body, then the fusion of all branches into the first `outputs` ones.

    The term that branch i gets from branch j is the map itself for j = i; for lower resolutions
    (j > i) a 1x1 convolution with batch norm, enlarged by nearest neighbours; for higher ones
    i - j steps of stride 2, the last without activation.

    Attributes:
      body: maps lists of branches to lists of the same shapes.
      step: a layer that halves the size, called as step(features, stride=2, act=, name=).
      outputs: branches made.
      fuse: sums the terms.
      conv, norm: of the 1x1 layers.
    """

    body: Callable[[nn.Module, Maps, bool], Maps]
    step: ModuleDef
    conv: ModuleDef
    norm: ModuleDef
    outputs: int
    fuse: Fuse = fuse_sum

    @nn.compact
    def __call__(self, xs: Maps, train: bool) -> Maps:
        xs = self.body(self, xs, train)
        shapes = [x.shape for x in xs]

        def term(i: int, j: int, x: jax.Array) -> jax.Array:
            _, height, width, features = shapes[i]
            name = f"fuse_layers_{i}_{j}"
            if j == i:
                return x
            if j < i:
                return descend(x, features, i - j, self.step, None, name, train)
            layer = ConvNormAct(features, act=None, conv=self.conv, norm=self.norm, name=name)
            return ops.resize(layer(x, train), size=(height, width), method="nearest")

        return self.fuse(xs, self.outputs, term)
