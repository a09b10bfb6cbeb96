"""The arrays of one checkpoint on disk: named, described, read back and proven.

A checkpoint is a folder of items (`model`, `ema`, `train`), each a tree of arrays that orbax
wrote, beside a `manifest` with the shape, type and CRC-32 of every array. Reading compares them, so
a file that was truncated, lost or altered is noticed whatever the storage layer makes of it.
"""

import json
import pathlib
import re
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util

from jaxpose.tasks.protocol import Tree

FOLDER = "checkpoints"  # of a run, with a folder for each step


class CheckpointError(ValueError):
    """A checkpoint that is absent, damaged, or of another model."""


class DamagedError(CheckpointError):
    """A checkpoint that is not whole."""


def flat(tree: Tree) -> dict[str, Any]:
    """{"params/final_layer/kernel": leaf, ...} of any tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): x for path, x in leaves}


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _describe(array: np.ndarray) -> list:
    """[shape, type, checksum] of an array, as the manifest has it."""
    return [list(array.shape), str(array.dtype), _checksum(array)]


def contents(
    items: Mapping[str, Tree], step: int, score: float | None = None
) -> ocp.args.Composite:
    """What orbax is to write of the items of a checkpoint, copied to the host, and its manifest."""
    # A copy: the next step overwrites the device buffers, which on CPU are host memory.
    arrays = {
        name: {key: np.array(value) for key, value in flat(tree).items()}
        for name, tree in items.items()
    }
    manifest = {
        "step": step,
        "score": score,
        "arrays": {
            name: {key: _describe(array) for key, array in found.items()}
            for name, found in arrays.items()
        },
    }
    trees = {
        name: ocp.args.PyTreeSave(traverse_util.unflatten_dict(found, sep="/"))
        for name, found in arrays.items()
    }
    return ocp.args.Composite(**trees, manifest=ocp.args.JsonSave(manifest))


def steps_in(folder: pathlib.Path) -> list[int]:
    """Steps of the checkpoints in a folder, oldest first; unfinished ones are not listed."""
    if not folder.is_dir():
        return []
    return sorted(int(step) for step in ocp.path.step.checkpoint_steps(folder))


def read_manifest(path: pathlib.Path) -> dict[str, Any]:
    """The manifest of a checkpoint. Raises DamagedError when it cannot be read."""
    try:
        return json.loads((path / "manifest" / "metadata").read_text())
    except (OSError, ValueError) as error:
        raise DamagedError(f"its manifest cannot be read ({first_line(error)})") from None


def read_items(path: pathlib.Path, names: tuple[str, ...]) -> dict[str, dict[str, np.ndarray]]:
    """Arrays of some items (those that the checkpoint has), flat by path, proven by checksum.

    Raises:
        DamagedError: anything is missing, unreadable or not what was written.
    """
    manifest = read_manifest(path)
    read = {}
    for name in names:
        expected = manifest["arrays"].get(name)
        if expected is None:
            continue
        try:
            with ocp.PyTreeCheckpointer() as reader:
                tree = reader.restore(path.absolute() / name)  # orbax takes no other
        except Exception as error:  # whatever the storage layers raise: the data is not there
            raise DamagedError(f"{name} cannot be read ({first_line(error)})") from None
        arrays = {
            key: np.asarray(x) for key, x in traverse_util.flatten_dict(tree, sep="/").items()
        }
        for key, (shape, dtype, checksum) in expected.items():
            array = arrays.get(key)
            if array is None or list(array.shape) != shape or str(array.dtype) != dtype:
                raise DamagedError(f"{name}/{key} is missing or of another shape")
            if _checksum(array) != checksum:
                raise DamagedError(f"{name}/{key} does not match its checksum")
        read[name] = {key: arrays[key] for key in expected}
    return read


def first_line(error: Exception) -> str:
    """An error of another library as a short single line."""
    return re.sub(r"\s+", " ", f"{type(error).__name__}: {error}")[:160]


def rebuild(like: Tree, arrays: dict[str, np.ndarray], where: str) -> Tree:
    """The tree `like` with the arrays of a checkpoint; refuses other names or shapes."""
    expected = flat(like)
    differences = [
        f"{key} {_shape(arrays.get(key))} in the checkpoint, {_shape(expected.get(key))} here"
        for key in sorted({*expected, *arrays}, key=lambda k: ("final" not in k, k))
        if _shape(arrays.get(key)) != _shape(expected.get(key))
    ]
    if differences:
        more = f" (and {len(differences) - 3} more)" if len(differences) > 3 else ""
        raise CheckpointError(
            f"{where} is of another model or joint count: {'; '.join(differences[:3])}{more}"
        )
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[key] for key in expected])


def _shape(array: Any) -> str:
    return "absent" if array is None else str(tuple(array.shape))
