"""Files that are either whole or not there."""

import os
import pathlib


def write_atomic(path: pathlib.Path, text: str) -> None:
    """Writes a text file so that a reader, or a kill at any moment, never sees half of it."""
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
