"""Atomic writing of text files."""

import os
import pathlib


def write_atomic(path: pathlib.Path, text: str) -> None:
    """Writes a text file atomically: it is complete or absent, even if the process is killed."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
