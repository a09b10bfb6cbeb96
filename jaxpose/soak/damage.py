"""Faults of files: damaged or removed between two runs of the same command."""

import json
import pathlib
import shutil

from jaxpose.soak.trial import REFUSED, Trial


def truncate_checkpoint(trial: Trial) -> str:
    """A random file of the newest checkpoint is cut at a random byte."""
    trial.note = cut(_random_file(trial, trial.copy_run()[-1]), trial)
    return trial.survive()


def remove_checkpoint_file(trial: Trial) -> str:
    """A random file of the newest checkpoint is removed."""
    path = _random_file(trial, trial.copy_run()[-1])
    path.unlink()
    trial.note = f"removed {path.relative_to(trial.run)}"
    return trial.survive()


def damage_all_checkpoints(trial: Trial) -> str:
    """All checkpoints are damaged: refused, and nothing is moved or removed."""
    checkpoints = trial.copy_run()
    whole = trial.folder / "whole"
    shutil.copytree(trial.run, whole)
    for checkpoint in checkpoints:
        cut(checkpoint / "manifest" / "metadata", trial)
    trial.note = f"manifests of {', '.join(path.name for path in checkpoints)} cut"
    trial.refuse(trial.start(), "no complete checkpoint")
    for checkpoint in checkpoints:  # repaired, as from a backup
        name = checkpoint.relative_to(trial.run) / "manifest" / "metadata"
        shutil.copy(whole / name, trial.run / name)
    return trial.survive() and REFUSED


def truncate_metrics(trial: Trial) -> str:
    """metrics.jsonl ends within a line after the last checkpoint, as after a crash."""
    *_, before, newest = trial.copy_run()
    shutil.rmtree(newest)
    path = trial.run / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    kept = sum(len(line) for line in lines if json.loads(line)["step"] <= int(before.name))
    size = trial.rng.randrange(kept + 1, path.stat().st_size)
    _truncate(path, size)
    trial.note = f"metrics.jsonl cut to {size} bytes, {kept} of them up to step {before.name}"
    return trial.survive()


def damage_config(trial: Trial) -> str:
    """config.json is cut, emptied, replaced or removed: refused until it is restored."""
    trial.copy_run()
    path = trial.run / "config.json"
    content = path.read_bytes()
    kind = trial.rng.choice(("cut", "empty", "bytes", "list", "removed"))
    trial.note = f"config.json: {kind}"
    if kind == "removed":
        path.unlink()
    elif kind == "cut":
        trial.note = cut(path, trial)
    else:
        path.write_bytes({"empty": b"", "bytes": bytes(range(128, 256)), "list": b"[1]\n"}[kind])
    trial.refuse(trial.start(), "config.json")
    path.write_bytes(content)
    return trial.survive() and REFUSED


def damage_lock(trial: Trial) -> str:
    """A lock.json that was not written completely: it does not block the training."""
    shutil.rmtree(trial.copy_run()[-1])
    content = trial.rng.choice(("", "{", '{"host": ', "[]", '{"pid": 1'))
    (trial.run / "lock.json").write_text(content)
    trial.note = f"lock.json: {content!r}"
    return trial.survive()


def truncate_compiled(trial: Trial) -> str:
    """Every file of the cache of compiled programs is cut at a random byte."""
    trial.own_cache(copied=True)
    for path in sorted(trial.cache.iterdir()):
        cut(path, trial)
    trial.note = "all compiled programs cut"
    return trial.survive()


def cut(path: pathlib.Path, trial: Trial) -> str:
    """Cuts a file at a random byte; returns what was done."""
    before = path.stat().st_size
    size = trial.rng.randrange(max(before, 1))
    _truncate(path, size)
    return f"{path.relative_to(trial.folder)} cut from {before} to {size} bytes"


def _truncate(path: pathlib.Path, size: int) -> None:
    with open(path, "r+b") as file:
        file.truncate(size)


def _random_file(trial: Trial, folder: pathlib.Path) -> pathlib.Path:
    return trial.rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
