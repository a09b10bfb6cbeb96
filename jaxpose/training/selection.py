"""Parameters selected by patterns: frozen ones, and those with a learning rate of their own.

Patterns are those of `jaxpose.config.patterns`. Trees are `params` or `batch_stats`.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from jaxpose import tables
from jaxpose.config.patterns import (
    check_patterns,
    factors_of,
    first_match,
    freezes_norm,
    patterns_of,
)
from jaxpose.runs.arrays import flat
from jaxpose.tasks.protocol import Tree


def keep_frozen(new: Tree, old: Tree, patterns: Sequence[str]) -> Tree:
    """`new`, with the frozen arrays of `old` unchanged, whatever was computed for them."""
    if not patterns:
        return new
    return _map(lambda path, a, b: b if first_match(path, patterns) else a, new, old)


def keep_frozen_norms(new: Tree, old: Tree, patterns: Sequence[str]) -> Tree:
    """Like the function above, for statistics: mean and variance are frozen together."""
    if not patterns:
        return new
    return _map(
        lambda path, a, b: b if freezes_norm(path.rpartition("/")[0], patterns) else a, new, old
    )


def without_gradient(params: Tree, patterns: Sequence[str]) -> Tree:
    """`params`; the gradient with respect to the frozen ones is zero and costs nothing."""
    return _map(
        lambda path, x: jax.lax.stop_gradient(x) if first_match(path, patterns) else x, params
    )


def trained_only(tree: Tree, patterns: Sequence[str]) -> Tree:
    """`tree` with None, which JAX takes for an empty tree, in the place of frozen arrays."""
    return _map(lambda path, x: None if first_match(path, patterns) else x, tree)


def without_frozen(
    optimizer: optax.GradientTransformation, patterns: Sequence[str]
) -> optax.GradientTransformation:
    """The optimizer of the other parameters; frozen ones get no update, decay or moments."""

    def labels(params: Tree) -> Tree:
        return _map(lambda path, _: "frozen" if first_match(path, patterns) else "trained", params)

    return optax.multi_transform({"trained": optimizer, "frozen": optax.set_to_zero()}, labels)


def decayed(params: Tree, patterns: Sequence[str]) -> Tree:
    """Which parameters weight decay applies to: kernels, and vectors that match a pattern."""
    return _map(lambda path, x: x.ndim > 1 or first_match(path, patterns) is not None, params)


def scaled(
    optimizer: optax.GradientTransformation, factors: Mapping[str, float]
) -> optax.GradientTransformation:
    """The optimizer with its updates times the factor of the first pattern that matches.

    For the optimizers here, this multiplies the learning rate and AdamW's weight decay.
    """

    def scale(updates: Tree, _: Tree) -> Tree:
        def scale_one(path: str, update: Any) -> Any:
            pattern = first_match(path, factors)
            return update if pattern is None else update * factors[pattern]

        return _map(scale_one, updates)

    return optax.chain(optimizer, optax.stateless(scale))


def describe(params: Tree, batch_stats: Tree, config: ConfigDict) -> list[str]:
    """A table of the patterns with the number of parameters that each selects; [] without any.

    A parameter counts for the first pattern that it matches.

    Args:
      params: parameters of the network, arrays or shapes.
      batch_stats: its batch norm statistics.
      config: all settings.

    Raises:
      ConfigError: a pattern matches nothing; the message has the nearest path.
    """
    freeze = patterns_of("freeze", config.freeze)
    factors = factors_of("optimizer.rate_scale", config.optimizer.rate_scale)
    also = patterns_of("optimizer.decay_also", config.optimizer.decay_also)
    if not freeze and not factors and not also:
        return []
    parameters, statistics = flat(params), flat(batch_stats)
    vectors = [path for path, x in parameters.items() if len(x.shape) == 1]
    check_patterns("optimizer.decay_also", also, vectors)
    check_patterns("freeze", freeze, [*parameters, *statistics])
    check_patterns("optimizer.rate_scale", factors, list(parameters))
    total = sum(math.prod(x.shape) for x in parameters.values())
    rows = [["parameters", "pattern", "count", "share"]]
    effects: list[tuple[str, str, Iterable[str]]]
    effects = [("frozen", pattern, freeze) for pattern in freeze]
    effects += [("decayed too", pattern, also) for pattern in also]
    effects += [(f"rate x {factor:g}", pattern, factors) for pattern, factor in factors.items()]
    for effect, pattern, patterns in effects:
        count = sum(
            math.prod(x.shape)
            for path, x in parameters.items()
            if first_match(path, patterns) == pattern
        )
        rows.append([effect, pattern, f"{count:,}", f"{100 * count / total:.1f}%"])
    norms = {path.rpartition("/")[0] for path in statistics}
    if held := sum(freezes_norm(norm, freeze) for norm in norms):
        rows.append(["frozen statistics", f"of {held} batch norms", "", ""])
    return tables.text(rows).splitlines()


def _map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    return jax.tree_util.tree_map_with_path(
        lambda keys, *leaves: function(_path(keys), *leaves), tree, *others
    )


def _path(keys: Any) -> str:
    return jax.tree_util.keystr(keys, simple=True, separator="/")
