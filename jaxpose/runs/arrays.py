"""Reads and verifies the arrays of a checkpoint.

A checkpoint is a folder of items (`model`, `ema`, `train`), each a tree of arrays written by orbax,
and a `manifest` with the shape, dtype and CRC-32 of each array. Reading compares the arrays with
the manifest, so truncated, lost or changed files are detected on any storage. If the storage itself
fails, nothing is known about the checkpoint: that is an `OSError`, not damage.
"""

import errno
import json
import os
import pathlib
import re
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util

from jaxpose.files import Location
from jaxpose.remote import RemoteError, RemotePath, local_copy
from jaxpose.runs.late_errors import ignore_late_errors
from jaxpose.tasks.protocol import Tree

FOLDER = "checkpoints"  # in a run folder, with one subfolder per step
MARKER = "_CHECKPOINT_METADATA"  # a file of orbax in each complete checkpoint
_LOST = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}  # a file or folder is missing
_OF_TENSORSTORE = re.compile(r"os_error_code='(\d+)'")


class CheckpointError(ValueError):
    """A checkpoint is missing or damaged, or does not fit the model."""


class DamagedError(CheckpointError):
    """A checkpoint is incomplete or corrupted."""


def flat(tree: Tree) -> dict[str, Any]:
    """Flattens a tree to {"params/final_layer/kernel": leaf, ...}."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): x for path, x in leaves}


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _describe(array: np.ndarray) -> list:
    """Returns [shape, dtype, checksum] of an array, as stored in the manifest."""
    return [list(array.shape), str(array.dtype), _checksum(array)]


def contents(
    items: Mapping[str, Tree], step: int, score: float | None = None
) -> ocp.args.Composite:
    """Copies the items of a checkpoint to the host and adds the manifest, ready for orbax."""
    # A real copy: the next step overwrites the device buffers, which are host memory on CPU.
    arrays = {
        name: {key: np.array(value) for key, value in flat(tree).items()}
        for name, tree in items.items()
    }
    manifest = {
        "step": step,
        "score": score,
        "arrays": {
            name: {key: _describe(array) for key, array in item.items()}
            for name, item in arrays.items()
        },
    }
    trees = {
        name: ocp.args.PyTreeSave(traverse_util.unflatten_dict(item, sep="/"))
        for name, item in arrays.items()
    }
    return ocp.args.Composite(**trees, manifest=ocp.args.JsonSave(manifest))


def steps_in(folder: Location) -> list[int]:
    """Returns the steps of the checkpoints in a folder, oldest first, without unfinished ones."""
    if isinstance(folder, RemotePath):
        names = [marker.parent.name for marker in folder.glob(f"*/{MARKER}")]
        return sorted(int(name) for name in names if name.isdigit())
    if not folder.is_dir():
        return []
    return sorted(int(step) for step in ocp.path.step.checkpoint_steps(folder))


def read_manifest(path: Location) -> dict[str, Any]:
    """Reads the manifest of a checkpoint.

    Raises:
      DamagedError: it is missing or invalid.
      OSError: the disk or the store (RemoteError) cannot be read.
    """
    try:
        return json.loads((path / "manifest" / "metadata").read_text())
    except RemoteError:
        raise
    except (OSError, ValueError) as error:
        _check_storage(error, path / "manifest")
        raise DamagedError(f"its manifest cannot be read ({first_line(error)})") from None


def read_score(path: Location) -> float | None:
    """The evaluation score of a checkpoint; None if it has none or is damaged."""
    try:
        return read_manifest(path)["score"]
    except DamagedError:
        return None


def read_items(path: Location, names: tuple[str, ...]) -> dict[str, dict[str, np.ndarray]]:
    """Reads and verifies the items `names` of a checkpoint, as far as it has them.

    Returns:
      item -> path -> array.

    Raises:
      DamagedError: an array is missing or does not match the manifest.
      OSError: the disk or the store (RemoteError) cannot be read.
    """
    manifest = read_manifest(path)
    ignore_late_errors()
    read = {}
    for name in names:
        expected = manifest["arrays"].get(name)
        if expected is None:
            continue
        try:
            with local_copy(path / name) as item, ocp.PyTreeCheckpointer() as reader:
                tree = reader.restore(item.absolute())  # orbax needs an absolute path
        except (RemoteError, ImportError):
            raise
        except Exception as error:  # the storage layers share no base class
            _check_storage(error, path / name)
            raise DamagedError(f"{name} cannot be read ({first_line(error)})") from None
        arrays = {
            key: np.asarray(x) for key, x in traverse_util.flatten_dict(tree, sep="/").items()
        }
        for key, (shape, dtype, checksum) in expected.items():
            array = arrays.get(key)
            if array is None or list(array.shape) != shape or str(array.dtype) != dtype:
                raise DamagedError(f"{name}/{key} is missing or has another shape")
            if _checksum(array) != checksum:
                raise DamagedError(f"{name}/{key} does not match its checksum")
        read[name] = {key: arrays[key] for key in expected}
    return read


def _check_storage(error: Exception, folder: Location) -> None:
    """Checks that an error is about the content of a checkpoint and not about its storage.

    Args:
      error: of reading files in `folder`.
      folder: of an item of a checkpoint.

    Raises:
      OSError: a disk, network file system, permission or limit of open files fails.
    """
    numbers = {int(number) for number in _OF_TENSORSTORE.findall(str(error))}
    if isinstance(error, OSError) and error.errno is not None:
        numbers.add(error.errno)
    if not numbers and isinstance(folder, pathlib.Path):
        try:
            for _ in os.walk(folder, onerror=_raise):  # for orbax, it exists only if it can be read
                pass
        except OSError as other:
            error, numbers = other, {other.errno or 0}
    if numbers - _LOST:
        raise OSError(
            f"{folder} cannot be read ({first_line(error)}); the checkpoint may be complete"
        ) from None


def _raise(error: OSError) -> None:
    raise error


def first_line(error: Exception) -> str:
    """Formats an error of another library as one short line.

    A long one loses its middle: tensorstore's messages begin with what failed and end with the
    reason, except for details in brackets.
    """
    line = re.sub(r"\s+", " ", f"{type(error).__name__}: {error}")
    line = re.sub(r" \[\w+='.*", "", line)
    return line if len(line) <= 160 else f"{line[:60]} ... {line[-95:]}"


def rebuild(like: Tree, arrays: dict[str, np.ndarray], where: str) -> Tree:
    """Fills the tree `like` with the arrays of a checkpoint.

    Raises:
      CheckpointError: names or shapes differ; the message starts with `where`.
    """
    expected = flat(like)
    differences = [
        f"{key} {_shape(arrays.get(key))} in the checkpoint, {_shape(expected.get(key))} here"
        for key in sorted({*expected, *arrays}, key=lambda k: ("final" not in k, k))
        if _shape(arrays.get(key)) != _shape(expected.get(key))
    ]
    if differences:
        more = f" (and {len(differences) - 3} more)" if len(differences) > 3 else ""
        raise CheckpointError(
            f"{where} was made with a different model or number of keypoints: "
            f"{'; '.join(differences[:3])}{more}"
        )
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[key] for key in expected])


def _shape(array: Any) -> str:
    return "absent" if array is None else str(tuple(array.shape))
