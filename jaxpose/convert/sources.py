"""Weights to start a training from (`config.init_from`), under the paths of the network.

They come from a run folder, a checkpoint of the public table or a file. A file may hold a whole
network, with the keys of its public checkpoints, or a backbone, with the keys of torchvision, timm,
mmpretrain or HRNet's classification code. Every naming that is known for the network is tried; the
one that matches the most parameters is used.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxpose import public_skeletons, runs, tasks, weights
from jaxpose.choices import did_you_mean
from jaxpose.config import ConfigError
from jaxpose.convert import backbones, names
from jaxpose.convert.files import read_state_dict
from jaxpose.convert.keypoints import (
    count_keypoints,
    keep_keypoints,
    keypoints_of,
    list_keys,
)
from jaxpose.convert.state_dict import from_layout, from_torch
from jaxpose.files import location
from jaxpose.remote import RemotePath
from jaxpose.runs.arrays import flat
from jaxpose.training.initial import Source, run_source
from jaxpose.training.state import TrainState

SUFFIXES = (".pth", ".pt", ".tar", ".ckpt", ".bin", ".safetensors")
PathOf = Callable[[str], str | None]  # module of a file -> module in the parameter tree
# What the arrays of a module are called here.
_PATHS = {
    "weight": ("params/{}/kernel", "params/{}/transposed_kernel", "params/{}/scale"),
    "bias": ("params/{}/bias",),
    "g": ("params/{}/gain",),
    "gamma": ("params/{}/gamma",),
    "beta": ("params/{}/beta",),
    "scale": ("params/{}/factor",),
    "running_mean": ("batch_stats/{}/mean",),
    "running_var": ("batch_stats/{}/var",),
}


def read_source(init_from: str, task: str, model: str, state: TrainState) -> Source | None:
    """The weights that `config.init_from` names, or None if it is empty.

    Args:
      init_from: a run folder, a file of weights, of PyTorch or of safetensors, or a name from
        `jaxpose weights`.
      task: `config.task`.
      model: `config.model`.
      state: the state to initialize; only its shapes are used.

    Raises:
      ConfigError: no such folder or file; the message has the nearest one.
      ValueError: a file that cannot be read, or weights of no network that fits.
    """
    if not init_from:
        return None
    path = location(init_from)
    if isinstance(path, RemotePath) or path.is_dir() or runs.is_weights_file(path):
        return run_source(path)
    if path.is_file():
        template = {"params": state.params, "batch_stats": state.batch_stats}
        return file_source(path, _read(path), task, model, template)
    table = weights.load_table()
    if any(checkpoint.name.startswith(init_from) for checkpoint in table):
        checkpoint = weights.find(init_from, table)
        if checkpoint.part:
            template = {"params": state.params, "batch_stats": state.batch_stats}
            return part_source(checkpoint, task, model, template)
        return checkpoint_source(checkpoint, model)
    known = [c.name for c in table if not c.refused] if "/" not in init_from else []
    raise ConfigError(
        f"config.init_from={init_from} is not a run folder, a file or a name from `jaxpose weights`"
        f"{_near(path, known)}"
    )


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """`read_state_dict`; a missing package is an error of the setting that needs it."""
    try:
        return read_state_dict(path)
    except ImportError as error:
        raise ConfigError(f"config.init_from={path}: {error}") from None


def _near(path: pathlib.Path, known: list[str]) -> str:
    """`; did you mean 'runs/coco'?`, from the names in the deepest existing folder of the path."""
    folder = next((parent for parent in path.parents if parent.is_dir()), pathlib.Path())
    part = path.relative_to(folder).parts[0]
    beside = [str(folder / p.name) for p in folder.iterdir() if p.is_dir() or p.suffix in SUFFIXES]
    return did_you_mean(folder / part, [*beside, *known], before="; ")


def checkpoint_source(checkpoint: weights.Checkpoint, model: str) -> Source:
    """The weights of a checkpoint in the public table, downloaded if they are not in the cache.

    Args:
      checkpoint: a row of the table.
      model: `config.model`. If it is the network of the row, the row's options are those it needs.

    Raises:
      ValueError: it cannot be downloaded, or does not fit the network that the table names.
    """
    name, file = checkpoint.model, weights.fetch(checkpoint)
    options = names.OPTIONS.get(name, {}) | dict(checkpoint.options)
    state_dict = _read(file)
    if checkpoint.keep_keypoints:
        state_dict = keep_keypoints(name, state_dict, checkpoint.keep_keypoints)
    variables = from_torch(name, state_dict, count_keypoints(name, state_dict), **options)
    joints = checkpoint.skeleton.joints if checkpoint.skeleton else None
    needed = options if model == name else {}
    return Source(str(file), flat(variables), joints, note=checkpoint.name, options=needed)


def part_source(checkpoint: weights.Checkpoint, task: str, model: str, template: Any) -> Source:
    """The weights of a checkpoint that has only a part of a network, e.g. its backbone.

    Args and errors are those of `file_source`.
    """
    file = weights.fetch(checkpoint)
    start = f"{checkpoint.part}."
    part = {
        key: value
        for key, value in _read(file).items()
        if names.canonical(checkpoint.model, key).startswith(start)
    }
    source = file_source(file, part, task, model, template)
    note = "; ".join(filter(None, (checkpoint.name, source.note)))
    return dataclasses.replace(source, note=note)


def file_source(
    path: pathlib.Path, state_dict: Mapping[str, np.ndarray], task: str, model: str, template: Any
) -> Source:
    """The arrays of a state_dict under the paths of the network.

    Args:
      path: the file, for messages.
      state_dict: key -> array in PyTorch's layout.
      task: `config.task`.
      model: `config.model`.
      template: {"params", "batch_stats"} of the network, arrays or shapes.

    Raises:
      ValueError: no array fits the network.
    """
    shapes = flat(template)
    best, arrays, unused, most = "", {}, list(state_dict), 0
    for naming, path_of in namings(model, shapes).items():
        converted, left = convert(state_dict, path_of, shapes)
        fitting = sum(a.size for p, a in converted.items() if a.shape == tuple(shapes[p].shape))
        if fitting > most:
            best, arrays, unused, most = naming, converted, left, fitting
    if not arrays:
        raise ValueError(
            f"config.init_from={path}: none of its {len(state_dict)} arrays belongs to "
            f"{model}; its keys are {list_keys(state_dict)}"
        )
    joints, origin = _joints_of(path, state_dict, task, model)
    naming = best and f"naming of {best}"
    note = "; ".join(filter(None, (naming, backbones.NOTES.get(best), origin)))
    options = {} if best else names.OPTIONS.get(model, {})  # the keys are those of public files
    return Source(str(path), arrays, joints, tuple(unused), note, options)


def namings(model: str, shapes: Mapping[str, Any]) -> dict[str, PathOf]:
    """The namings that a file for this network may have, by what they are called.

    The first, "", is that of its public checkpoints.

    Args:
      model: name of the network.
      shapes: paths of its arrays as keys.
    """
    public = backbones.LIKE.get(model, model)
    renames = names.RENAMES.get(public)
    modules = dict.fromkeys(_module(path) for path in shapes)
    if renames is None:  # a network without public checkpoints: dots instead of slashes
        own = {re.sub(r"_(\d+)", r".\1", m.replace("/", ".")): m for m in modules}
        result: dict[str, PathOf] = {"": own.get}
    else:
        own = {names.torch_module(public, tuple(m.split("/"))): m for m in modules}

        def canonical(module: str) -> str | None:
            return own.get(names.canonical(public, f"{module}.weight").removesuffix(".weight"))

        result = {"": canonical}
    for naming, table in backbones.TABLES.get(model, {}).items():
        result[naming] = table().get
    return result


def convert(
    state_dict: Mapping[str, np.ndarray], path_of: PathOf, shapes: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays that have a path in the network, and the keys of the others.

    Arrays are in this library's layout; their shapes may differ from those of the network.

    Args:
      state_dict: key -> array in PyTorch's layout.
      path_of: module of a key -> module here, or None.
      shapes: path -> shape of the network's arrays.
    """
    arrays, left, keys = {}, [], {}
    for key, value in state_dict.items():
        module, _, kind = key.rpartition(".")
        if kind == "num_batches_tracked":
            continue
        ours = path_of(module)
        candidates = [path.format(ours) for path in _PATHS.get(kind, ())] if ours else []
        path = next((path for path in candidates if path in shapes), None)
        if path is None or value.ndim != _torch_ndim(path, shapes[path].shape):
            left.append(key)
        else:
            leaf, shape = path.rpartition("/")[2], tuple(shapes[path].shape)
            arrays[path] = from_layout(leaf, np.asarray(value, np.float32), shape)
            keys[path] = key
    # A bias belongs to its kernel: that of another layer of the same name is not used.
    for path in [path for path in arrays if path.endswith("/bias")]:
        kernel = f"{path.removesuffix('bias')}kernel"
        if kernel in arrays and arrays[kernel].shape[:-1] != tuple(shapes[kernel].shape)[:-1]:
            del arrays[path]
            left.append(keys[path])
    return arrays, left


def _module(path: str) -> str:
    return path.partition("/")[2].rpartition("/")[0]


def _torch_ndim(path: str, shape: tuple[int, ...]) -> int:
    kernel_over_channels = path.endswith("/kernel") and len(shape) == 1
    return 3 if kernel_over_channels else len(shape)


def _joints_of(
    path: pathlib.Path, state_dict: Mapping[str, np.ndarray], task: str, model: str
) -> tuple[tuple[str, ...] | None, str]:
    """The keypoints of a file, and a remark on how they are known; (None, "") if they are not.

    A file of the public table, known by its hash, has the keypoints of the table. Otherwise their
    number decides, as for `jaxpose import`.
    """
    count = keypoints_of(backbones.LIKE.get(model, model), state_dict)
    if count is None:
        return None, ""
    count -= tasks.get(task).network_keypoints(0)
    public = weights.find_file(path, weights.load_table()) if path.is_file() else None
    if public and public.skeleton and public.skeleton.num_joints == count:
        return public.skeleton.joints, f"keypoints of {public.name}, by the hash of the file"
    skeleton = public_skeletons.by_count(count)
    if skeleton is None:
        return None, ""
    return skeleton.joints, f"keypoints assumed: {skeleton.name}, by their number, {count}"
