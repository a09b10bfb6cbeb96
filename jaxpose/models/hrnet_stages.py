"""The common structure of the high-resolution networks (HRNet, Sun et al. 2019).

Feature maps of several resolutions, the branches, are processed in parallel: a list of arrays,
branch i of shape [B,H/4/2^i,W/4/2^i,widths[i]]. A network is a sequence of stages. A transition
makes the branches of a stage from those before; then each module of the stage processes the
branches (the body) and mixes all of them (the fusion).

What a paper changes is passed as a function:
  transition(stage, xs, train) -> xs   makes the branches of a stage; `grow` is HRNet's
  body(module, xs, train) -> xs        the blocks of a module; `each_branch` or `all_branches`
  step(features, stride=, act=, name=) a layer that changes width or halves the size
  fuse(xs, outputs, term) -> xs        how the branches are summed; `fuse_sum` is HRNet's
They run inside a compact method and name their layers as the public checkpoints do, so a path in
the parameter tree is a public key up to punctuation. Identical modules of a stage and identical
blocks of a module go through `layers.repeat`.
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
    `transition` that of the layers before them. The last module outputs the `outputs`
    highest-resolution branches; None means all.
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
    """Runs all stages, one after another.

    Args:
      parent: module in whose compact method this runs.
      xs: branches that enter the first transition.
      stages: descriptions of the stages.
      transition: makes the branches of a stage from the outputs of the previous one.
      module: constructor of an `HRModule`, called with `outputs` and `name`.
      train: whether this is a training step.

    Returns:
      The output branches of the last module.

    Raises:
      ValueError: the transition's branches do not have the widths of the stage.
    """
    for stage in stages:
        xs = transition(stage, xs, train)
        widths = tuple(x.shape[-1] for x in xs)
        if widths != tuple(stage.widths):
            raise ValueError(
                f"{stage.name}: the transition must make branches of widths {stage.widths}, "
                f"got {widths}"
            )
        names = [f"{stage.name}_{number}" for number in range(stage.modules)]
        identical = names[:-1] if stage.outputs else names
        block = module(outputs=len(stage.widths), parent=None)
        xs = repeat(parent, block, identical, xs, train)
        for name in names[len(identical) :]:
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

    Existing branches pass through, or take a step of stride 1 where their width changes.
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
    """A body of `blocks` blocks per branch, each on one branch: `block(width)(x, train)`.

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
    """A body of `blocks` blocks, each on all branches: `block()(xs, train)`.

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
    (j > i) a 1x1 convolution with batch norm, enlarged by nearest neighbor; for higher resolutions
    i - j steps of stride 2, the last without activation.

    Attributes:
      body: maps lists of branches to lists of the same shapes.
      step: a layer that halves the size, called as step(features, stride=2, act=, name=).
      outputs: number of output branches.
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
