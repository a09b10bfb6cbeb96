"""Loads a network from a run folder, and writes one with imported weights.

A run folder contains config.json (see `info`) and checkpoints (see `arrays`). Only the weights of a
checkpoint are read here: those of the moving average if the run has one.
"""

import dataclasses
import pathlib
from collections.abc import Mapping

import jax
import ml_collections
import numpy as np
from flax import linen as nn

from jaxpose import tasks
from jaxpose.choices import choose_from
from jaxpose.files import Location, location
from jaxpose.runs.arrays import (
    FOLDER,
    CheckpointError,
    DamagedError,
    contents,
    read_items,
    read_score,
    rebuild,
    steps_in,
)
from jaxpose.runs.info import RunInfo, check_own, read_info, write_info
from jaxpose.runs.lock import locked
from jaxpose.runs.manager import open_manager
from jaxpose.runs.weights_file import is_weights_file, read_weights
from jaxpose.skeletons import Skeleton
from jaxpose.tasks.protocol import Tree

_MODEL_ITEMS = ("model", "ema")


@dataclasses.dataclass(frozen=True)
class Run:
    """A network from a run folder.

    Attributes:
      config: settings of the run.
      model: the network.
      variables: {"params", "batch_stats"}, the moving averages if the run has them.
      skeleton: keypoints of the network.
      path: the checkpoint of `variables`.
    """

    config: ml_collections.ConfigDict
    model: nn.Module
    variables: dict[str, Tree]
    skeleton: Skeleton
    path: Location


def run_folder(folder: str | Location) -> Location:
    """Returns the run folder of a run folder, of its `checkpoints`, or of one checkpoint in it."""
    folder = location(folder)
    if folder.parent.name == FOLDER and folder.name.isdigit():
        return folder.parent.parent
    return folder.parent if folder.name == FOLDER else folder


def parse_step(text: str | None) -> int | str | None:
    """Converts --step (last, best or a number) to the `step` of `read_run`.

    Raises:
      ValueError: none of these.
    """
    if text is None or text == "last":
        return None
    if text == "best":
        return text
    if not text.isdecimal():
        known = choose_from(text, ("last", "best"))
        raise ValueError(f"--step={text}: {known}, or give the number of a step")
    return int(text)


def read_run(folder: str | Location, *, step: int | str | None = None) -> Run:
    """Loads the network of a run folder.

    Args:
      folder: a run folder, its `checkpoints`, one checkpoint in it, or a file of
        `jaxpose export --to weights`.
      step: a step; "best" for the highest evaluation score, or the newest checkpoint if none has a
        score; or None for the newest complete checkpoint.

    Raises:
      CheckpointError: no such run, no complete checkpoint, weights that do not fit the model, or a
        `step` that differs from that of the checkpoint `folder`.
    """
    path, arrays, info = read_arrays(folder, step=step)
    model = tasks.create_model(info.config, info.skeleton.num_joints)
    image = np.zeros((1, *info.config.input_size, 3), np.float32)
    fit = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))
    fit = {"params": fit["params"], "batch_stats": fit.get("batch_stats", {})}
    variables = jax.tree.map(jax.numpy.asarray, rebuild(fit, arrays, str(path)))
    return Run(info.config, model, variables, info.skeleton, path)


def read_arrays(
    folder: str | Location, *, step: int | str | None = None
) -> tuple[Location, dict[str, np.ndarray], RunInfo]:
    """Reads the weights of a run folder without building its network.

    Args:
      folder: a run folder, its `checkpoints`, or one checkpoint in it.
      step: see `read_run`.

    Returns:
      The checkpoint, {"params/...": array}, and the content of config.json.

    Raises:
      CheckpointError: no such run, no complete checkpoint, or a `step` that differs from that of
        the checkpoint `folder`.
    """
    given, folder = location(folder), run_folder(folder)
    if isinstance(given, pathlib.Path) and is_weights_file(given):
        if step is not None:
            raise CheckpointError(f"{given} is a file of weights: only run folders have steps")
        return given, *read_weights(given)
    if given.name.isdigit() and given.parent != folder.parent:
        given_step = int(given.name)
        if step not in (None, given_step):
            raise CheckpointError(
                f"{given} is one checkpoint: for step {step}, give its run folder {folder}"
            )
        step = given_step
    info = read_info(folder)
    path, arrays = _read_newest(folder, _candidates(folder, step))
    return path, arrays, info


def load_run(
    folder: str | Location, *, step: int | str | None = None
) -> tuple[ml_collections.ConfigDict, nn.Module, dict[str, Tree], Skeleton]:
    """Returns (config, model, variables, skeleton) of a run; see `read_run`."""
    run = read_run(folder, step=step)
    return run.config, run.model, run.variables, run.skeleton


def _candidates(folder: Location, step: int | str | None) -> list[int]:
    """Returns the steps to try, in order of preference."""
    steps = steps_in(folder / FOLDER)
    if not steps:
        raise CheckpointError(f"{folder} has no checkpoint")
    if step == "best":
        return sorted(steps, key=lambda s: (_score(folder / FOLDER / str(s)), s), reverse=True)
    if step is None:
        return steps[::-1]
    if step not in steps:
        raise CheckpointError(f"{folder} has no checkpoint of step {step}; it has {steps}")
    return [step]


def _read_newest(folder: Location, candidates: list[int]) -> tuple[Location, dict[str, np.ndarray]]:
    """Returns the first complete candidate and its weights; prints a line per damaged one."""
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


def _score(path: Location) -> float:
    score = read_score(path)
    return float("-inf") if score is None else score


def write_run(
    folder: str | Location, config: Mapping, skeleton: Skeleton, variables: Mapping[str, Tree]
) -> None:
    """Writes weights as a run folder with one checkpoint at step 0, for `load_run`.

    Args:
      folder: new or empty folder.
      config: all settings, e.g. those of a recipe or of a run.
      skeleton: keypoints in the order of the model's channels.
      variables: {"params", "batch_stats"}.

    Raises:
      CheckpointError: the folder already has a checkpoint, or a config.json of something else.
      LockError: a training is running in the folder.
    """
    folder = location(folder)
    with locked(folder):
        if steps_in(folder / FOLDER):
            raise CheckpointError(f"{folder} already has checkpoints; choose another folder")
        check_own(folder)
        write_info(folder, config, skeleton)
        tree = {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}
        manager = open_manager(folder / FOLDER)
        try:
            manager.save(0, args=contents({"model": tree}, step=0), force=True)
            manager.wait_until_finished()
        finally:
            manager.close()
