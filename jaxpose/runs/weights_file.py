"""Weights in one file, to share them: names and arrays in the format of safetensors.

The header holds the settings and the skeleton, as config.json does, the versions, and the SHA-256
of the arrays. Reading compares it. Settings that are absolute paths have their defaults: they name
files of one machine, and may name its user.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Mapping

import numpy as np
from ml_collections import ConfigDict

from jaxpose import tasks, tensor_file
from jaxpose.config.paths import forget_absolute_paths
from jaxpose.files import Location, write_atomic
from jaxpose.runs.arrays import CheckpointError, DamagedError, flat
from jaxpose.runs.info import RunInfo, make_record, parse_record
from jaxpose.skeletons import Skeleton
from jaxpose.tasks.protocol import Tree

_FORMAT = "jaxpose weights"


def write_weights(
    path: pathlib.Path, config: ConfigDict, skeleton: Skeleton, variables: Mapping[str, Tree]
) -> str:
    """Writes weights as one file.

    Args:
      path: of the file, *.safetensors.
      config: all settings; not changed.
      skeleton: keypoints in the order of the model's channels.
      variables: {"params", "batch_stats"}.

    Returns:
      The SHA-256 of the file.
    """
    arrays = {name: np.asarray(array) for name, array in flat(dict(variables)).items()}
    _, data = tensor_file.encode(arrays, {})
    config = config.copy_and_resolve_references()
    forget_absolute_paths(config, tasks.get(config.task).SETTINGS)
    record = make_record(config, skeleton)
    metadata = {key: json.dumps(record[key]) for key in ("config", "skeleton", "versions")}
    metadata |= {"format": _FORMAT, "sha256": hashlib.sha256(data).hexdigest()}
    start, data = tensor_file.encode(arrays, metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, start + data)
    return hashlib.sha256(start + data).hexdigest()


def is_weights_file(path: Location) -> bool:
    """Whether a path is a local file written by `write_weights`."""
    return (
        isinstance(path, pathlib.Path)
        and path.is_file()
        and tensor_file.read_metadata(path).get("format") == _FORMAT
    )


def read_weights(path: pathlib.Path) -> tuple[dict[str, np.ndarray], RunInfo]:
    """Reads a file of `write_weights`: {"params/...": array}, and what config.json would hold.

    Raises:
      DamagedError: the file is damaged, or its arrays do not match their SHA-256.
      CheckpointError: its settings cannot be used.
    """
    try:
        arrays, metadata, data = tensor_file.read(path)
    except ValueError as error:
        raise DamagedError(str(error)) from None
    if hashlib.sha256(data).hexdigest() != metadata.get("sha256"):
        raise DamagedError(f"{path} is damaged: its arrays do not match their SHA-256")
    try:
        record = {key: json.loads(metadata[key]) for key in ("config", "skeleton")}
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: its header cannot be read ({error})") from None
    return arrays, parse_record(record, path)
