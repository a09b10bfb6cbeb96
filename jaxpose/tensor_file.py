"""The format of safetensors: a length (8 bytes), a JSON header, and the arrays one after another.

See https://huggingface.co/docs/safetensors. The format is simple enough that neither reading nor
writing needs the package of this name.
"""

from __future__ import annotations

import json
import math
import os
import pathlib
from collections.abc import Mapping

import numpy as np

SUFFIX = ".safetensors"
LONGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors package
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items()}


def encode(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> tuple[bytes, bytes]:
    """The two parts of a file: its beginning with the header, and the data of the arrays.

    Args:
      arrays: name -> array; they are written in the order of their names.
      metadata: texts for the header.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    parts, offset = [], 0
    for name, array in sorted(arrays.items()):
        data = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        parts.append(data)
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the data are aligned
    return len(text).to_bytes(8, "little") + text, b"".join(parts)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str], bytes]:
    """Reads a file.

    Returns:
      name -> array (bfloat16 as float32), the metadata, and the data of the arrays as bytes.

    Raises:
      ValueError: it is not such a file, or damaged.
    """
    import ml_dtypes  # part of every installation of JAX

    path = pathlib.Path(path)
    try:
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        metadata = header.pop("__metadata__", {})
        data = content[8 + length :]
        arrays = {}
        for key, entry in header.items():
            kind, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            dtype = np.dtype(ml_dtypes.bfloat16 if kind == "BF16" else _DTYPES[kind])
            if end - start != math.prod(shape) * dtype.itemsize or end > len(data):
                raise ValueError(key)
            array = np.frombuffer(data, dtype, math.prod(shape), start).reshape(shape)
            arrays[key] = array.astype(np.float32) if kind == "BF16" else array
        return arrays, metadata, data
    except (ValueError, KeyError, TypeError, AttributeError):
        size = path.stat().st_size
        raise ValueError(
            f"{path}: not a safetensors file, or damaged or cut off ({size} bytes)"
        ) from None


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The metadata of a file; {} if it has none or is not such a file."""
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= LONGEST_HEADER:
                return {}
            metadata = json.loads(file.read(length)).get("__metadata__", {})
    except (OSError, ValueError, AttributeError):
        return {}
    return metadata if isinstance(metadata, dict) else {}
