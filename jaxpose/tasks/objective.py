"""The forward pass and the sizes of targets, shared by the objectives of all tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxpose import codecs, geometry
from jaxpose.config import ConfigError
from jaxpose.config.patterns import freezes_norm, patterns_of
from jaxpose.tasks.protocol import Size, Tree

if TYPE_CHECKING:
    import flax.linen as nn
    import jax
    from ml_collections import ConfigDict

# Input pixels per heatmap pixel. All top-down networks and the first output of bottom-up networks
# have QUARTER; their second output has HALF.
QUARTER, HALF = 4, 2


def forward(
    model: nn.Module,
    params: Tree,
    batch_stats: Tree,
    images: jax.Array | np.ndarray,
    key: jax.Array | None,
    freeze: Sequence[str] = (),
) -> tuple[Tree, Tree]:
    """Outputs for uint8 images in training mode, and the new batch statistics.

    Args:
      model: the network.
      params: its parameters.
      batch_stats: its batch norm statistics.
      images: uint8 [B, H, W, 3].
      key: for stochastic depth, the only random operation of the models.
      freeze: `config.freeze`; batch norms whose statistics match a pattern normalize with them and
        keep them, as in evaluation. Parameters are frozen by the training step.

    Raises:
      ConfigError: a frozen batch norm is Flax's own layer, which cannot be frozen.
    """
    variables = {"params": params, "batch_stats": batch_stats}
    frozen = frozen_norms(batch_stats, patterns_of("freeze", freeze))
    if frozen:
        from jaxpose.layers import FROZEN

        variables[FROZEN] = frozen
    with _layers_that_freeze(bool(frozen)):
        outputs, updated = model.apply(
            variables,
            geometry.normalize(images),
            train=True,
            mutable=["batch_stats"],
            rngs=None if key is None else {"drop_path": key},
        )
    # A network without batch norm has no statistics.
    return outputs, updated.get("batch_stats", {})


def frozen_norms(batch_stats: Tree, patterns: Sequence[str]) -> dict[str, Any]:
    """A tree with an entry "mean" for each batch norm whose statistics match a pattern.

    Args:
      batch_stats: nested dicts that end in {"mean", "var"}.
      patterns: e.g. ("backbone/*",), or ("*/mean",) for all batch norms.
    """
    from flax import traverse_util

    modules = {path[:-1] for path in traverse_util.flatten_dict(batch_stats)}
    return traverse_util.unflatten_dict(
        {
            (*module, "mean"): np.zeros((), np.float32)
            for module in sorted(modules)
            if freezes_norm("/".join(module), patterns)
        }
    )


@contextmanager
def _layers_that_freeze(frozen: bool) -> Iterator[None]:
    """Refuses Flax's own batch norm while `frozen`; it would use the statistics of the batch."""
    if not frozen:
        yield
        return
    import flax.linen as nn

    from jaxpose.layers import FROZEN

    def check(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        module = context.module
        if isinstance(module, nn.BatchNorm) and module.has_variable(FROZEN, "mean"):
            raise ConfigError(
                f"config.freeze: {'/'.join(module.path)} is flax.linen.BatchNorm, which cannot be "
                "frozen; use jaxpose.layers.BatchNorm"
            )
        return call(*args, **kwargs)

    with nn.intercept_methods(check):
        yield


def check_outputs(model: nn.Module, outputs: Tree, **expected: tuple[int, ...]) -> None:
    """Compares the shapes of a network's outputs with those that its task learns from.

    Args:
      model: for the error message; a user's network may return anything.
      outputs: an array, or a tuple of arrays.
      **expected: content and shape of each output, e.g. heatmaps=(8, 64, 48, 17).

    Raises:
      ValueError: another number of outputs, or other shapes.
    """
    several = isinstance(outputs, tuple | list)
    shapes = [getattr(output, "shape", None) for output in (outputs if several else [outputs])]
    if shapes != list(expected.values()) or several != (len(expected) > 1):
        needed = " and ".join(f"{name} {shape}" for name, shape in expected.items())
        returned = " and ".join(map(str, shapes)) or "nothing"
        raise ValueError(f"{type(model).__name__} returns {returned}, but the task needs {needed}")


def map_size(size: Size, stride: int) -> Size:
    """(h, w) of heatmaps with `stride` input pixels per heatmap pixel."""
    return size[0] // stride, size[1] // stride


def simcc_sigma(config: ConfigDict) -> tuple[float, float]:
    """The standard deviations (x, y) of SimCC's targets in bins."""
    if not config.sigma:
        return codecs.simcc.default_sigma(tuple(config.input_size))
    x, y = config.sigma
    return x, y
