"""The error for exported files that cannot be read or run."""

from __future__ import annotations

import os


class FileError(ValueError):
    """An exported file cannot be read or run."""


def unreadable(path: str | os.PathLike, error: Exception) -> FileError:
    """The error for a file that its runtime refuses, with the first line of the runtime's."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return FileError(f"{path}: cannot be read: {first}")
