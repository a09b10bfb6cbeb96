"""Checkpoints: whole or absent, checked when read, restored on any number of devices.

A run folder holds

    config.json          what is needed to use the weights (see `jaxpose.runs`)
    checkpoints/<step>/  model, ema and train (arrays, written by orbax) and manifest (shapes and
                         CRC-32 of each array, the evaluation score)
    damaged/<step>/      checkpoints that did not prove whole, moved out of the way

Orbax writes in the background into a temporary folder and renames it when it is complete. Arrays
are stored as plain host arrays, so they can be read on any topology; the checksums catch what a
rename cannot: files truncated, lost or altered afterwards.
"""

import contextlib
import pathlib
import shutil
from collections.abc import Iterator

import jax
import orbax.checkpoint as ocp

from jaxpose import jax_api
from jaxpose.runs.arrays import (
    FOLDER,
    CheckpointError,
    DamagedError,
    contents,
    first_line,
    read_items,
    rebuild,
    steps_in,
)
from jaxpose.tasks.protocol import Tree
from jaxpose.training.state import TrainState


class SaveError(RuntimeError):
    """A checkpoint could not be written; those before it are untouched."""


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
        step = int(state.step)
        args = contents(_items(state), step, score)
        with self._told():
            self._manager.save(
                step,
                args=args,
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
            jax_api.sync_global_devices("jaxpose: damaged checkpoints moved")
        self._manager.reload()
