"""Networks by name: construction and initial variables.

`zoo` has the constructors of the library's networks, `published` what the literature says about
them; `lookup` finds a network by its name and registers networks of users.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax

from jaxpose import jax_api
from jaxpose.layers import check_choice
from jaxpose.models.lookup import (
    ModelInfo,
    default_size,
    find,
    info,
    list_models,
    parameters_of,
    register,
    takes_any_option,
    task_name,
)

__all__ = [
    "ModelInfo",
    "create_model",
    "default_size",
    "find",
    "info",
    "initial_variables",
    "list_models",
    "register",
    "task_name",
]


def create_model(name: str, num_keypoints: int = 17, **overrides: Any) -> nn.Module:
    """Builds a network; without overrides it is the released one.

    Args:
      name: one of `list_models()`, or `package.module:ClassName` of a network to import.
      num_keypoints: number of keypoints K.
      **overrides: options of the constructor, plus `dtype` and `bn_axis` (the mesh axis over which
        batch norms share their statistics). A user's network may lack these two; it then accepts
        only their defaults, float32 and None.

    Returns:
      A flax.linen Module called as `model.apply(variables, images, train=False)` with images
      float32 [B,H,W,3], normalized, H and W multiples of 32 (`lightweight_openpose`: of 8). A
      top-down model returns heatmaps [B,H/4,W/4,K]; a bottom-up one a tuple, [B,H/4,W/4,2K] (K
      heatmaps, then K tags) and heatmaps [B,H/2,W/2,K]; `lightweight_openpose` heatmaps and fields
      of every stage. Its collections are `params` and, with batch norms, `batch_stats`.

    Raises:
      ValueError: unknown name or option (the message has the nearest one), an option of the wrong
        type, num_keypoints < 1, or an import path without a network.
    """
    constructor = find(name).constructor
    parameters = parameters_of(name, constructor)
    if isinstance(num_keypoints, bool) or not isinstance(num_keypoints, int) or num_keypoints < 1:
        raise ValueError(f"{name}: num_keypoints must be a positive integer, got {num_keypoints!r}")
    overrides = _accepted(name, parameters, overrides)
    options = [
        option
        for option, parameter in parameters.items()
        if option not in _NOT_OPTIONS and parameter.kind not in _VARIADIC
    ]
    for option, value in overrides.items():
        if option in options:
            _check_type(name, option, parameters[option].annotation, value)
        elif option in _NOT_OPTIONS or not takes_any_option(parameters):
            check_choice(f"{name}: option", option, options)
    for option in options:
        if parameters[option].default is inspect.Parameter.empty and option not in overrides:
            raise ValueError(
                f"{name}: option {option!r} has no default; set --config.model_options.{option}="
            )
    model = constructor(num_keypoints=num_keypoints, **overrides)
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"{name}: the constructor returned {type(model).__name__}, not a Flax module"
        )
    return model


def _accepted(
    name: str, parameters: Mapping[str, inspect.Parameter], overrides: dict[str, Any]
) -> dict[str, Any]:
    """The overrides without `dtype` and `bn_axis` where the constructor lacks them.

    Raises ValueError if one that the constructor lacks does not have its default value.
    """
    kept = dict(overrides)
    for option, setting, default in (
        ("dtype", "config.dtype", "float32"),
        ("bn_axis", "config.batch_norm", "device"),
    ):
        if option not in kept or option in parameters or takes_any_option(parameters):
            continue
        value = kept.pop(option)
        if value is not None and (option == "bn_axis" or jax.numpy.dtype(value) != default):
            raise ValueError(
                f"{name} has no option {option!r}: keep {setting}={default}, or add the option to "
                "the network"
            )
    return kept


def initial_variables(
    model: nn.Module, input_size: tuple[int, int], seed: int = 0
) -> dict[str, Any]:
    """Random {"params", "batch_stats"} of a network for images of `input_size` (H, W).

    Without batch norms there is no `batch_stats`.

    The variables are those of `model.init(jax.random.key(seed), images, train=False)`, but drawn on
    the CPU, one array at a time and without running the network. In one jitted program, every array
    would have its own random number generator, and compiling these takes longer for WLitePose-S
    than compiling the forward pass; here, arrays of one shape share a program.
    """
    images = jax.ShapeDtypeStruct((1, *input_size, 3), jax.numpy.float32)
    try:
        cpu = jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        cpu = None  # JAX_PLATFORMS excludes it: draw on the default device
    with jax.default_device(cpu):
        key = jax.random.key(seed)
        traced = jax.jit(model.init, static_argnames="train").trace(key, images, train=False)
        # Flax's `lazy_init` skips what depends on the images, but compiles and runs everything else
        # that a forward pass computes from the weights.
        arrays = jax_api.evaluate(traced.jaxpr, key, images)
    return jax.tree.unflatten(jax.tree.structure(traced.out_info), arrays)


# `num_keypoints` is a separate argument; the others belong to Flax.
_NOT_OPTIONS = ("num_keypoints", "parent", "name")
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

# Types of options by annotation. Unchecked, any string, even "off", would count as True, and a
# string instead of a number would fail inside the network with a Python error.
_TYPES = {
    "bool": (bool, "True or False"),
    "int": (int, "a whole number"),
    "float": (int | float, "a number"),
}


def _check_type(name: str, option: str, annotation: Any, value: Any) -> None:
    written = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    kind, _, optional = written.partition(" | ")
    if kind not in _TYPES or (value is None and optional == "None"):
        return
    types, expected = _TYPES[kind]
    if not isinstance(value, types) or (kind != "bool" and isinstance(value, bool)):
        expected += " or None" if optional == "None" and kind != "bool" else ""
        raise ValueError(f"{name}: option {option!r} must be {expected}, got {value!r}")
