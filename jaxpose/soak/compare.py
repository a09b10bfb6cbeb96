"""What must be equal, to the byte, between an interrupted run and an uninterrupted one."""

import pathlib
from collections.abc import Iterator

from jaxpose.runs.arrays import FOLDER, DamagedError, read_items, read_manifest, steps_in

_ITEMS = ("model", "ema", "train")
_LOGS = ("metrics.jsonl", "config.json")


def arrays(folder: pathlib.Path, step: int) -> dict[str, tuple]:
    """All arrays of a checkpoint: item/path -> (dtype, shape, bytes).

    Raises:
      DamagedError: the checkpoint is not complete.
    """
    read = read_items(folder / FOLDER / str(step), _ITEMS)
    return {f"{i}/{k}": (v.dtype, v.shape, v.tobytes()) for i in read for k, v in read[i].items()}


def differences(folder: pathlib.Path, expected: pathlib.Path) -> list[str]:
    """How a complete run differs from the uninterrupted one; empty if it does not.

    The arrays and the score of the last checkpoint, metrics.jsonl and config.json are compared.
    timing.jsonl and tensorboard/ depend on the clock. Older checkpoints may be of other steps,
    because a stopped run saves an additional one.

    Args:
      folder: the run folder.
      expected: that of the uninterrupted run.
    """
    found = [name for name in _LOGS if _content(folder / name) != _content(expected / name)]
    step = steps_in(expected / FOLDER)[-1]
    steps = steps_in(folder / FOLDER)
    if not steps or steps[-1] != step:
        return [*found, f"the checkpoints are those of {steps}, not of {step}"]
    try:
        ours, theirs = arrays(folder, step), arrays(expected, step)
        manifests = [read_manifest(f / FOLDER / str(step)) for f in (folder, expected)]
    except DamagedError as error:
        return [*found, f"checkpoint {step}: {error}"]
    found += sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    if manifests[0] != manifests[1]:
        found.append(f"the manifest of checkpoint {step}")
    return found


def _content(path: pathlib.Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def leftovers(folder: pathlib.Path) -> Iterator[str]:
    """Locks and half-written files in the folder of a run that has ended."""
    for path in sorted(folder.rglob("*")):
        name = path.name
        if name == "lock.json" or name.endswith(".part") or "orbax-checkpoint-tmp" in name:
            yield str(path.relative_to(folder))
