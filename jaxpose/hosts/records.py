"""What must be equal on all hosts, as records for `agree`: settings, versions, code, data."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import pathlib
import platform
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxpose.config import flatten
from jaxpose.wording import quantity

# Settings that may differ between hosts: where each finds its data, how it reads it, its number.
OF_EACH_HOST = frozenset({
    "compilation_cache",
    "data.cache",
    "data.prefetch",
    "data.prepared_dir",
    "data.root",
    "data.tfds_dir",
    "data.workers",
    "distributed.coordinator",
    "distributed.host_id",
    "distributed.hosts",
    "distributed.timeout",
    "init_from",  # the initial weights are compared instead
})  # fmt: skip
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
_FLAGS = ("jax_enable_x64", "jax_default_matmul_precision")
_DIGITS = 12  # hexadecimal digits of a hash that are compared
ROOT = pathlib.Path(__file__).resolve().parents[2]
_SOURCES = ("jaxpose/**/*.py", "input_pipeline/**/*.py", "train.py", "eval.py")


def of_settings(config: ConfigDict) -> dict[str, Any]:
    """The settings that all hosts share, the devices of this host, its versions and its code."""
    settings = {key: value for key, value in flatten(config).items() if key not in OF_EACH_HOST}
    kind = jax.local_devices()[0].device_kind
    return {
        **settings,
        "devices": f"{jax.local_device_count()} x {kind}",
        **{flag: jax.config.values[flag] for flag in _FLAGS},
        "Python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in _PACKAGES},
        **of_code(ROOT),
        **of_model(config.model),
    }


def of_model(name: str) -> dict[str, str]:
    """The source file of a network of the user's, package.module:ClassName."""
    module, colon, _ = name.partition(":")
    spec = importlib.util.find_spec(module) if colon else None
    return {module: of_file(pathlib.Path(spec.origin))} if spec and spec.origin else {}


def of_code(root: pathlib.Path) -> dict[str, str]:
    """Hashes of the source files in a checkout, or of the installed package."""
    paths = sorted(path for pattern in _SOURCES for path in root.glob(pattern))
    return {path.relative_to(root).as_posix(): of_file(path) for path in paths}


def of_file(path: pathlib.Path) -> str:
    """The hash of a file, or of all files of a folder, e.g. "SHA-256 0123456789ab"."""
    if path.is_dir():
        digests = "".join(of_file(inner) for inner in sorted(path.rglob("*")) if inner.is_file())
        return f"SHA-256 {hashlib.sha256(digests.encode()).hexdigest()[:_DIGITS]}"
    with open(path, "rb") as file:
        return f"SHA-256 {hashlib.file_digest(file, 'sha256').hexdigest()[:_DIGITS]}"


def of_arrays(tree: Any) -> str:
    """A checksum of all arrays of a tree, with their number."""
    leaves = jax.device_get(jax.tree.leaves(tree))
    checksum = 0
    for leaf in leaves:
        checksum = zlib.crc32(np.asarray(leaf).tobytes(), checksum)
    return f"CRC-32 {checksum:08x} of {quantity(len(leaves), 'array')}"


def of_data(parts: Mapping[str, pathlib.Path | int | str]) -> dict[str, int | str]:
    """Parts of the data by name; files by their content, since paths may differ between hosts."""
    return {
        name: f"{part.name} ({of_file(part)})" if isinstance(part, pathlib.Path) else part
        for name, part in parts.items()
    }
