"""Checkpoints: whole or absent, checked when read, restored on any number of devices.

A run folder holds

    config.json          what is needed to use the weights (see `run_info`)
    checkpoints/<step>/  model, ema and train (arrays, written by orbax) and manifest (shapes and
                         CRC-32 of each array, the evaluation score)
    damaged/<step>/      checkpoints that did not prove whole, moved out of the way

Orbax writes in the background into a temporary folder and renames it when it is complete. Arrays
are stored as plain host arrays, so they can be read on any topology; the checksums catch what a
rename cannot: files truncated, lost or altered afterwards.
"""

import contextlib
import dataclasses
import pathlib
import shutil
from collections.abc import Iterator, Mapping

import jax
import ml_collections
import numpy as np
import orbax.checkpoint as ocp
from flax import linen as nn
from flax import traverse_util
from jax.experimental import multihost_utils

from jaxpose.skeletons import Skeleton
from jaxpose.training import config as configuration
from jaxpose.training.arrays import (
    CheckpointError,
    DamagedError,
    describe,
    first_line,
    flat,
    read_items,
    read_manifest,
    rebuild,
    steps_in,
)
from jaxpose.training.run_info import read_info, write_info
from jaxpose.training.state import TrainState, Tree

FOLDER = "checkpoints"
_MODEL_ITEMS = ("model", "ema")


class SaveError(RuntimeError):
    """A checkpoint could not be written; those before it are untouched."""


# --- writing and resuming ------------------------------------------------------------------------


def _items(state: TrainState) -> dict[str, Tree]:
    """The state cut into the parts that are stored side by side."""
    items = {
        "model": {"params": state.params, "batch_stats": state.batch_stats},
        "train": {"step": state.step, "opt_state": state.opt_state, "window": state.window},
    }
    return items if state.ema is None else items | {"ema": state.ema}


class Checkpoints:
    """The checkpoints of a run: the `keep` newest and the best.

    Args:
        folder: the run folder.
        keep: newest checkpoints kept, beside the one of the highest score.
    """

    def __init__(self, folder: pathlib.Path, keep: int):
        self.folder = folder / FOLDER
        self._quarantine = folder / "damaged"
        policies = ocp.checkpoint_managers
        self._manager = ocp.CheckpointManager(
            self.folder.absolute(),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policies.AnyPreservationPolicy(
                    [
                        policies.LatestN(max(keep, 1)),
                        policies.BestN(
                            get_metric_fn=lambda scores: scores["score"],
                            n=1,
                            keep_checkpoints_without_metrics=False,
                        ),
                    ]
                ),
                cleanup_tmp_directories=True,
            ),
        )

    def latest(self) -> int | None:
        """Step of the newest whole checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, state: TrainState, score: float | None = None) -> None:
        """Copies the state to the host and writes it in the background.

        Raises:
            SaveError: this write, or the one before it in the background, failed.
        """
        # A copy: the next step overwrites the device buffers, which on CPU are host memory.
        items = {
            name: {key: np.array(value) for key, value in flat(tree).items()}
            for name, tree in _items(state).items()
        }
        manifest = {
            "step": int(state.step),
            "score": score,
            "arrays": {
                name: {key: describe(array) for key, array in arrays.items()}
                for name, arrays in items.items()
            },
        }
        arguments = {
            name: ocp.args.PyTreeSave(traverse_util.unflatten_dict(arrays, sep="/"))
            for name, arrays in items.items()
        }
        with self._told():
            self._manager.save(
                int(state.step),
                args=ocp.args.Composite(**arguments, manifest=ocp.args.JsonSave(manifest)),
                metrics=None if score is None else {"score": float(score)},
                force=True,
            )

    def wait(self) -> None:
        """Waits for the background write. Raises SaveError when it failed."""
        with self._told():
            self._manager.wait_until_finished()
            self._manager.check_for_errors()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each storage layer has its own kind
            whole = steps_in(self.folder)
            kept = f"the last whole one is {whole[-1]}" if whole else "none was written before"
            raise SaveError(
                f"a checkpoint could not be written to {self.folder} ({first_line(error)}); {kept}"
            ) from error

    def close(self) -> None:
        """Ends the background threads; whether all was written, `wait` tells."""
        with contextlib.suppress(Exception):
            self._manager.close()

    def restore(self, like: TrainState) -> tuple[TrainState | None, list[str]]:
        """The newest whole checkpoint, in the form of `like` (arrays or their shapes).

        Damaged checkpoints that are newer are moved to `damaged/`.

        Returns:
            (state of numpy arrays, or None when there are no checkpoints; one line per damaged
            checkpoint, naming it and the one used instead).

        Raises:
            CheckpointError: no checkpoint is whole, or it is of another model.
        """
        steps = steps_in(self.folder)
        damaged: list[tuple[int, str]] = []
        for step in reversed(steps):
            path = self.folder / str(step)
            try:
                read = read_items(path, ("model", "train", "ema"))
            except DamagedError as error:
                damaged.append((step, str(error)))
                continue
            if "train" not in read:
                raise CheckpointError(
                    f"{path} holds weights only and cannot be resumed; start a new run folder with "
                    f"--config.init_from={self.folder.parent}"
                )
            expected = _items(like)
            parts = {
                name: rebuild(expected.get(name, {}), read.get(name, {}), f"{path} ({name})")
                for name in ("model", "ema", "train")
                if name in expected or name in read
            }
            self._remove(damaged)
            lines = [
                f"checkpoint {self.folder / str(bad)} is damaged: {why}; resuming from {path}"
                for bad, why in damaged
            ]
            state = TrainState(
                **parts["model"], **parts["train"], ema=parts.get("ema") if "ema" in read else None
            )
            return state, lines
        if damaged:
            step, why = damaged[0]
            raise CheckpointError(
                f"no whole checkpoint in {self.folder} ({len(damaged)} damaged; {step}: {why}); "
                "remove the folder to train from the start"
            )
        return None, []

    def _remove(self, damaged: list[tuple[int, str]]) -> None:
        if not damaged:
            return
        if jax.process_index() == 0:
            self._quarantine.mkdir(exist_ok=True)
            for step, _ in damaged:
                target = self._quarantine / str(step)
                shutil.rmtree(target, ignore_errors=True)
                shutil.move(self.folder / str(step), target)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("jaxpose: damaged checkpoints moved")
        self._manager.reload()


# --- weights for eval, predict, export -----------------------------------------------------------


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
        CheckpointError: no such run, no whole checkpoint, or weights that do not fit the model.
    """
    named, folder = pathlib.Path(folder), run_folder(folder)
    if named.name.isdigit() and named.parent != folder.parent:
        step = int(named.name)
    info = read_info(folder)
    path, arrays = _read_newest(folder, _candidates(folder, step))
    model = configuration.create_model(info.config, info.skeleton.num_joints)
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
    arrays = {key: np.asarray(value) for key, value in flat(tree).items()}
    manifest = {
        "step": 0,
        "score": None,
        "arrays": {"model": {key: describe(array) for key, array in arrays.items()}},
    }
    with ocp.CheckpointManager((folder / FOLDER).absolute()) as manager:
        manager.save(
            0,
            args=ocp.args.Composite(
                model=ocp.args.PyTreeSave(traverse_util.unflatten_dict(arrays, sep="/")),
                manifest=ocp.args.JsonSave(manifest),
            ),
            force=True,
        )
        manager.wait_until_finished()
