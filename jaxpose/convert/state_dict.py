"""Conversion between PyTorch state_dicts and Flax variables, for all models.

Kernels: convolution [out,in/g,kh,kw] <-> [kh,kw,in/g,out]; transposed convolution [in,out,kh,kw]
<-> the mirrored kernel [kh,kw,in,out], depthwise [C,1,kh,kw] <-> [kh,kw,1,C]. A bank of kernels has
one more axis in front. The kernel of a 1-D convolution over channels is [1,1,k] <-> [k], that of a
linear layer [out,in] <-> [in,out]. All other arrays are copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpose import models
from jaxpose.choices import nearest
from jaxpose.convert import names

_LEAVES = {
    "kernel": "weight",
    "transposed_kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
    "gain": "g",
    "gamma": "gamma",
    "beta": "beta",
    "factor": "scale",
}


def from_torch(
    name: str, state_dict: Mapping[str, Any], num_keypoints: int = 17, **overrides: Any
) -> dict:
    """Variables of model `name` from a public checkpoint's state_dict.

    Args:
      name: one of `jaxpose.list_models()`.
      state_dict: key -> array in PyTorch's layout. `num_batches_tracked` may be present or absent,
        the prefix of the head is `head.` or `keypoint_head.`, and a leading `module.` is dropped.
        The keys are those of mmpose, or of the authors of HRNet, HigherHRNet and SimpleBaseline,
        which have no prefixes.
      num_keypoints: number of keypoints of the checkpoint.
      **overrides: as for `jaxpose.create_model`.

    Returns:
      {"params": ..., "batch_stats": ...} of float32 numpy arrays, like those of `model.init`.

    Raises:
      ValueError: a key is missing, unexpected or duplicated, or a shape differs (the message names
        the key and the nearest one), or the model has no public checkpoint.
    """
    model = models.create_model(name, num_keypoints, **overrides)
    check_convertible(name)
    given = given_arrays(name, state_dict)
    # Most weights do not depend on the size; 64 is valid for every model.
    size = input_size_of(name, given) or (64, 64)
    images = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    template = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)
    leaves, tree = jax.tree_util.tree_flatten_with_path(template)
    expected = [_torch_key(name, path) for path, _ in leaves]

    _check_keys(name, expected, given)
    arrays = []
    for key, (path, leaf) in zip(expected, leaves, strict=True):
        value = np.asarray(given[key])
        shape = _torch_shape(path[-1].key, leaf.shape)
        if value.shape != shape:
            raise ValueError(
                f"{name}: {key!r} has shape {list(value.shape)}, but the model with num_keypoints="
                f"{num_keypoints} needs {list(shape)}"
            )
        arrays.append(from_layout(path[-1].key, value.astype(np.float32), leaf.shape))
    return jax.tree_util.tree_unflatten(tree, arrays)


def given_arrays(name: str, state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays of a public checkpoint under the keys that `to_torch_state_dict` has.

    Raises:
      ValueError: the checkpoint has a key with two prefixes.
    """
    given = {}
    for key, value in state_dict.items():
        short = names.canonical(name, key)
        if short in given:
            raise ValueError(f"{name}: the checkpoint has {short!r} under two prefixes")
        given[short] = value
    return given


def input_size_of(name: str, state_dict: Mapping[str, Any]) -> tuple[int, int] | None:
    """The input size (H, W) that the weights of a checkpoint are bound to; None if to no size.

    Args:
      name: of the model.
      state_dict: key -> array, with the keys of `to_torch_state_dict`.
    """
    if name not in names.SIZED_BY:
        return None
    *keys, per_pixel = names.SIZED_BY[name]
    if any(key not in state_dict for key in keys):
        return None
    height, width = (np.shape(state_dict[key])[0] // per_pixel for key in keys)
    return height, width


def to_torch_state_dict(name: str, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """A PyTorch state_dict for `load_state_dict(strict=True)`: key -> array in PyTorch's layout.

    The prefix of the head is `head.`; every batch norm has `num_batches_tracked` (0).

    Args:
      name: one of `jaxpose.list_models()`.
      variables: {"params": ..., "batch_stats": ...}.

    Raises:
      ValueError: unknown model, or a model without a public checkpoint.
    """
    models.info(name)  # raises for an unknown name
    check_convertible(name)
    result = {}
    collections = {key: variables[key] for key in ("params", "batch_stats")}
    for path, value in jax.tree_util.tree_leaves_with_path(collections):
        key = _torch_key(name, path)
        # torch takes no negative strides.
        result[key] = np.ascontiguousarray(_to_layout(path[-1].key, np.asarray(value)))
        if key.endswith("running_var"):
            result[_tracked(key)] = np.zeros((), np.int64)
    return result


def _torch_key(name: str, path: tuple) -> str:
    _, *modules, leaf = (key.key for key in path)
    return f"{names.torch_module(name, tuple(modules))}.{_LEAVES[leaf]}"


def check_convertible(name: str) -> None:
    """Raises ValueError if the model has no public PyTorch checkpoint."""
    if name not in names.RENAMES:
        raise ValueError(f"{name}: this model has no public PyTorch checkpoint")


def _tracked(key: str) -> str:
    return key.removesuffix("running_var") + "num_batches_tracked"


def _check_keys(name: str, expected: Iterable[str], given: Mapping[str, Any]) -> None:
    accepted = {*expected, *(_tracked(key) for key in expected if key.endswith("running_var"))}
    left_out = re.compile(names.LEFT_OUT.get(name, "$."))  # matches nothing by default
    missing = [key for key in expected if key not in given]
    extra = [key for key in given if key not in accepted and not left_out.match(key)]
    problems = []
    for kind, keys, others in (("missing", missing, extra), ("unexpected", extra, missing)):
        if keys:
            near = nearest(keys[0], others or expected, cutoff=0)
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            problems.append(f"{kind} {keys[0]!r}{more} (nearest {near!r})")
    if problems:
        raise ValueError(f"{name}: the checkpoint does not fit the model: {'; '.join(problems)}")


def _torch_shape(leaf: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    return _to_layout(leaf, np.broadcast_to(np.float32(0), shape)).shape


def _to_layout(leaf: str, value: np.ndarray) -> np.ndarray:
    if leaf == "kernel" and value.ndim == 1:
        return value[None, None]
    if leaf == "kernel" and value.ndim == 2:
        return value.T
    if leaf == "kernel":
        return np.moveaxis(value, (-2, -1), (-3, -4))
    if leaf == "transposed_kernel":
        depthwise = value.shape[2] == 1
        return value[::-1, ::-1].transpose((3, 2, 0, 1) if depthwise else (2, 3, 0, 1))
    return value


def from_layout(leaf: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An array in this library's layout.

    Args:
      leaf: the last part of its path, e.g. kernel, transposed_kernel or bias.
      value: array in PyTorch's layout.
      shape: of the network's array; only its length, and whether it is depthwise, are used.
    """
    if leaf == "kernel" and len(shape) == 1:
        return value[0, 0]
    if leaf == "kernel" and len(shape) == 2:
        return value.T
    if leaf == "kernel":
        return np.moveaxis(value, (-3, -4), (-2, -1))
    if leaf == "transposed_kernel":
        depthwise = shape[2] == 1
        return value.transpose((2, 3, 1, 0) if depthwise else (2, 3, 0, 1))[::-1, ::-1]
    return value
