"""Run folders as networks: what eval.py, predict and export read, and what import writes.

A run folder holds config.json (see `info`) and checkpoints (see `arrays`); of these only
the weights are read here, those of the moving average where the run kept one.
"""

import dataclasses
import pathlib
from collections.abc import Mapping

import jax
import ml_collections
import numpy as np
import orbax.checkpoint as ocp
from flax import linen as nn

from jaxpose import tasks
from jaxpose.choices import choose_from
from jaxpose.runs.arrays import (
    FOLDER,
    CheckpointError,
    DamagedError,
    contents,
    read_items,
    read_manifest,
    rebuild,
    steps_in,
)
from jaxpose.runs.info import read_info, write_info
from jaxpose.skeletons import Skeleton
from jaxpose.tasks.protocol import Tree

_MODEL_ITEMS = ("model", "ema")


@dataclasses.dataclass(frozen=True)
class Run:
    """A network as a run folder holds it.

    `variables` are {"params", "batch_stats"}, the moving averages when the run kept them; `path`
    is the checkpoint that they come from.
    """

    config: ml_collections.ConfigDict
    model: nn.Module
    variables: dict[str, Tree]
    skeleton: Skeleton
    path: pathlib.Path


def run_folder(folder: str | pathlib.Path) -> pathlib.Path:
    """The run folder that a run folder, its `checkpoints`, or one checkpoint in it belongs to."""
    folder = pathlib.Path(folder)
    if folder.parent.name == FOLDER and folder.name.isdigit():
        return folder.parent.parent
    return folder.parent if folder.name == FOLDER else folder


def parse_step(text: str | None) -> int | str | None:
    """What a --step of the command line says, as `read_run` takes it: last, best or a number.

    Raises:
        ValueError: none of these.
    """
    if text is None or text == "last":
        return None
    if text == "best":
        return text
    if not text.isdecimal():
        known = choose_from(text, ("last", "best"))
        raise ValueError(f"--step={text}: {known} or the number of a step")
    return int(text)


def read_run(
    folder: str | pathlib.Path, *, step: int | str | None = None, fit: Tree | None = None
) -> Run:
    """Everything that a run folder says about its network.

    Args:
        folder: a run folder, its `checkpoints`, or one checkpoint in it.
        step: a step, "best" (highest evaluation score; the newest when none was scored), or None
            for the newest whole one.
        fit: variables of another network; the weights must have their names and shapes instead of
            those of the run's own model.

    Raises:
        CheckpointError: no such run, no whole checkpoint, weights that do not fit the model, or
            another step than that of the one checkpoint that `folder` names.
    """
    named, folder = pathlib.Path(folder), run_folder(folder)
    if named.name.isdigit() and named.parent != folder.parent:
        own = int(named.name)
        if step not in (None, own):
            raise CheckpointError(
                f"{named} is one checkpoint: for step {step} give its run folder, {folder}"
            )
        step = own
    info = read_info(folder)
    path, arrays = _read_newest(folder, _candidates(folder, step))
    model = tasks.create_model(info.config, info.skeleton.num_joints)
    if fit is None:
        image = np.zeros((1, *info.config.input_size, 3), np.float32)
        fit = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))
    fit = {"params": fit["params"], "batch_stats": fit.get("batch_stats", {})}
    variables = jax.tree.map(jax.numpy.asarray, rebuild(fit, arrays, str(path)))
    return Run(info.config, model, variables, info.skeleton, path)


def load_run(
    folder: str | pathlib.Path, *, step: int | str | None = None
) -> tuple[ml_collections.ConfigDict, nn.Module, dict[str, Tree], Skeleton]:
    """(config, model, variables, skeleton) of a run; arguments and errors as for `read_run`."""
    run = read_run(folder, step=step)
    return run.config, run.model, run.variables, run.skeleton


def _candidates(folder: pathlib.Path, step: int | str | None) -> list[int]:
    """Steps to try, the wanted one first."""
    steps = steps_in(folder / FOLDER)
    if not steps:
        raise CheckpointError(f"{folder} holds no checkpoint")
    if step == "best":
        return sorted(steps, key=lambda s: (_score(folder / FOLDER / str(s)), s), reverse=True)
    if step is None:
        return steps[::-1]
    if step not in steps:
        raise CheckpointError(f"{folder} holds no checkpoint of step {step}; it has {steps}")
    return [step]


def _read_newest(
    folder: pathlib.Path, candidates: list[int]
) -> tuple[pathlib.Path, dict[str, np.ndarray]]:
    """The first candidate that proves whole, and its weights; says which ones did not."""
    problems = []
    for candidate in candidates:
        path = folder / FOLDER / str(candidate)
        try:
            read = read_items(path, _MODEL_ITEMS)
        except DamagedError as error:
            problems.append(f"checkpoint {path} is damaged: {error}")
            continue
        for problem in problems:
            print(f"{problem}; using {path}", flush=True)
        return path, read.get("ema", read["model"])
    raise CheckpointError("; ".join(problems))


def _score(path: pathlib.Path) -> float:
    try:
        score = read_manifest(path)["score"]
    except DamagedError:
        return float("-inf")
    return float("-inf") if score is None else score


def write_run(
    folder: str | pathlib.Path, config: Mapping, skeleton: Skeleton, variables: Mapping[str, Tree]
) -> None:
    """Writes weights from elsewhere as a run folder that `load_run` reads (at step 0).

    Args:
        folder: new or empty folder.
        config: all settings, e.g. `configs.common.get_config().to_dict()` or those of a run.
        skeleton: its joints are the model's channels.
        variables: {"params", "batch_stats"}.

    Raises:
        CheckpointError: the folder holds a checkpoint already.
    """
    folder = pathlib.Path(folder)
    if steps_in(folder / FOLDER):
        raise CheckpointError(f"{folder} holds checkpoints already; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_info(folder, config, skeleton)
    tree = {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}
    with ocp.CheckpointManager((folder / FOLDER).absolute()) as manager:
        manager.save(0, args=contents({"model": tree}, step=0), force=True)
        manager.wait_until_finished()
