"""The table of checkpoints: mmpose's public ones, or a lab's own in a JSON file."""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import pathlib
from collections.abc import Sequence

from jaxpose import models
from jaxpose.choices import did_you_mean, nearest
from jaxpose.weights.checkpoint import Checkpoint, read_row

_HEAD = ("about", "licence", "license", "checkpoints")
PUBLIC = pathlib.Path(__file__).with_name("public.json")


def load_table(path: str | pathlib.Path | None = None) -> tuple[Checkpoint, ...]:
    """The checkpoints of a table, each with a unique name.

    A row without a name has MODEL-DATASET-HxW; if several rows share it, the codec follows, and if
    that is not enough, the first eight digits of the file's hash.

    Args:
      path: a JSON file, {"checkpoints": [row, ...]} or a list of rows (docs/weights.md); None for
        the public table.

    Raises:
      ValueError: the file cannot be read, or a row is invalid; the message names the row.
    """
    return _public() if path is None else _read(pathlib.Path(path).expanduser())


@functools.cache
def _public() -> tuple[Checkpoint, ...]:
    return _read(PUBLIC)


def _read(path: pathlib.Path) -> tuple[Checkpoint, ...]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ValueError(f"{path}: a folder, not a table of checkpoints") from None
    except ValueError:
        raise ValueError(f"{path}: not a JSON file") from None
    head = content if isinstance(content, dict) else {"checkpoints": content}
    rows = head.get("checkpoints")
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path}: needs a list of checkpoints under 'checkpoints'")
    unknown = [key for key in head if key not in _HEAD]
    if unknown:
        hint = did_you_mean(unknown[0], _HEAD, before="; ")
        raise ValueError(f"{path}: unknown key {unknown[0]!r}{hint}")
    license_ = str(head.get("licence") or head.get("license") or "")
    known = models.list_models()
    checkpoints = [
        read_row(row, f"{path}: row {number}", path.parent, license_, known)
        for number, row in enumerate(rows)
    ]
    return _with_names(checkpoints, path)


def _with_names(checkpoints: Sequence[Checkpoint], path: pathlib.Path) -> tuple[Checkpoint, ...]:
    base = collections.Counter(c.base_name for c in checkpoints if not c.name)
    coded = collections.Counter(f"{c.base_name}-{c.codec}" for c in checkpoints if not c.name)
    named: list[Checkpoint] = []
    seen: dict[str, int] = {}
    of_models = models.list_models()
    for number, checkpoint in enumerate(checkpoints):
        name = checkpoint.name or checkpoint.base_name
        if not checkpoint.name and base[name] > 1:
            name = f"{name}-{checkpoint.codec}"
            if coded[name] > 1:
                name = f"{name}-{checkpoint.sha256[:8]}"
        if name in seen or name in of_models:
            other = f"used by row {seen[name]}" if name in seen else "the name of a model"
            raise ValueError(f"{path}: row {number}: the name {name!r} is already {other}")
        seen[name] = number
        named.append(dataclasses.replace(checkpoint, name=name))
    return tuple(named)


def find(name: str, table: Sequence[Checkpoint]) -> Checkpoint:
    """The checkpoint of that name.

    The start of a name is enough if no other checkpoint has it.

    Raises:
      ValueError: no such checkpoint, or several; the message has the nearest names.
    """
    for checkpoint in table:
        if checkpoint.name == name:
            return checkpoint
    same = [c for c in table if c.name.startswith(name) and not c.refused] if name else []
    if len(same) == 1:
        return same[0]
    if same:
        shown = ", ".join(f"{c.name} ({c.score})" if c.score else c.name for c in same[:4])
        more = f" and {len(same) - 4} more" if len(same) > 4 else ""
        raise ValueError(f"{name} is the start of {len(same)} names: {shown}{more}")
    near = nearest(name, [c.name for c in table], cutoff=0.4)
    hint = f"did you mean {near!r}? " if near else ""
    raise ValueError(
        f"{name}: no checkpoint or model has this name; {hint}`jaxpose weights` and `jaxpose "
        "models` list the names"
    )
