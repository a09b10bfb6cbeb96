"""Reads the weights in PyTorch and safetensors files as numpy arrays, without executing any code.

A PyTorch file is a pickle, which could run any program. `torch.load(weights_only=True)` creates
only tensors, plain containers and numpy scalars. Objects of other classes (settings and logs of a
training program) are replaced by an empty object. A file that calls functions of the operating
system is refused.
"""

from __future__ import annotations

import pathlib
import pickle
import pickletools
import zipfile
from typing import IO, Any

import numpy as np

from jaxpose import tensor_file
from jaxpose.convert.wrappers import Arrays, find_weights

_REFUSED = frozenset({
    "os", "posix", "nt", "sys", "subprocess", "shutil", "socket", "runpy", "importlib", "pty",
    "ctypes", "builtins.eval", "builtins.exec", "builtins.compile", "builtins.__import__",
    "__builtin__.eval", "__builtin__.exec",
})  # fmt: skip
_LEGACY_PICKLES = 5  # in a file of PyTorch before 1.6: four small ones, the content, the keys


class Object:
    """Stands for an object of a class that is not loaded."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Object:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read_state_dict(path: str | pathlib.Path, *, ema: bool = False) -> Arrays:
    """Returns the weights in a .pth, .pt, .ckpt or .safetensors file.

    They may be at the top level or in nested dicts (state_dict, model, network, ...). A prefix of
    all keys (`module.`, `model.`, ...) is removed. Other values are ignored.

    Args:
      path: the file. Its content decides how it is read; the ending only if it begins as neither
        format does.
      ema: whether to take the moving average of the weights instead of the weights themselves.

    Returns:
      key -> array in PyTorch's layout; float32 if floating point.

    Raises:
      ValueError: no such file, not a checkpoint, damaged, no weights (or no moving average), or
        weights that are not finite.
      ImportError: torch is needed and not installed.
    """
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    check_not_text(path)
    content = tensor_file.read(path)[0] if _is_safetensors(path) else _read_torch(path)
    weights = find_weights(content, ema=ema, where=str(path))
    bad = [key for key, value in weights.items() if not np.isfinite(value).all()]
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise ValueError(f"{path}: {bad[0]!r}{more} has values that are not finite (NaN or inf)")
    return {
        key: value.astype(np.float32) if value.dtype.kind == "f" else value
        for key, value in weights.items()
    }


def _is_safetensors(path: pathlib.Path) -> bool:
    """Whether a file begins with the length of a JSON header, or has neither format's beginning."""
    with open(path, "rb") as file:
        start = file.read(9)
    if start[8:] == b"{" and int.from_bytes(start[:8], "little") <= tensor_file.LONGEST_HEADER:
        return True
    is_torch = start.startswith((b"PK", b"\x80"))  # a zip file, a pickle
    return path.suffix.lower() == ".safetensors" and not is_torch


def check_not_text(path: pathlib.Path) -> None:
    """Raises ValueError for files that are often mistaken for a checkpoint."""
    with open(path, "rb") as file:
        start = file.read(64).lstrip().lower()
    if not start:
        raise ValueError(f"{path}: the file is empty, not a PyTorch checkpoint")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ValueError(f"{path}: a web page, not a PyTorch checkpoint; download the file itself")
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path}: a Git LFS pointer, not the file itself; fetch it with `git lfs`")


def _read_torch(path: pathlib.Path) -> Any:
    try:
        import torch
    except ImportError:
        raise ImportError(
            "reading a .pth file needs PyTorch: pip install torch "
            "--index-url https://download.pytorch.org/whl/cpu"
        ) from None
    names = _global_names(path)
    refused = sorted(n for n in names if n in _REFUSED or n.split(".")[0] in _REFUSED)
    if refused:
        raise ValueError(f"{path}: not read, because loading it would call {refused[0]}")
    unknown = sorted(n for n in names if n.split(".")[0] not in ("torch", "collections", "numpy"))
    allowed = [*_numpy_globals(), *((Object, name) for name in unknown)]
    try:
        # Given a path, PyTorch reads a file that ends in .safetensors as such.
        with torch.serialization.safe_globals(allowed), open(path, "rb") as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
        return _to_numpy(content, torch.Tensor)
    except pickle.UnpicklingError:
        objects = f" ({', '.join(unknown[:3])})" if unknown else ""
        raise ValueError(
            f"{path}: damaged, or contains objects other than tensors{objects}; if you trust the "
            "file, save only its state_dict with PyTorch and import that"
        ) from None
    except Exception:  # of many kinds, depending on where a damaged file breaks
        size = path.stat().st_size
        raise ValueError(
            f"{path}: not a PyTorch checkpoint, or damaged or cut off ({size} bytes)"
        ) from None


def _numpy_globals() -> list:
    scalar, reconstruct = np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]
    functions = [
        (function, f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")
        for function, name in ((scalar, "scalar"), (reconstruct, "_reconstruct"))
    ]
    dtypes = {type(np.dtype(code)) for code in "?bBhHiIlLqQefdU"}
    return [*functions, np.dtype, np.ndarray, *dtypes]


def _global_names(path: pathlib.Path) -> set[str]:
    """Names of the classes and functions in the pickles of a file, found without loading them."""
    names: set[str] = set()
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    if member.endswith("data.pkl"):
                        with archive.open(member) as file:
                            names |= _names_in_pickle(file)
        else:
            with open(path, "rb") as file:
                for _ in range(_LEGACY_PICKLES):
                    names |= _names_in_pickle(file)
    except Exception:  # a damaged file: torch.load reports it
        pass
    return names


def _names_in_pickle(file: IO[bytes]) -> set[str]:
    names: set[str] = set()
    strings: list[str] = []
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL":
            names.add(str(argument).replace(" ", "."))
        elif opcode.name == "STACK_GLOBAL":
            names.add(".".join(strings[-2:]))
        elif isinstance(argument, str):
            strings.append(argument)
    return names


def _to_numpy(value: Any, tensor: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_numpy(child, tensor) for key, child in value.items()}
    if isinstance(value, tensor):
        value = value.detach()
        return (value.float() if value.is_floating_point() else value).numpy()
    return value
