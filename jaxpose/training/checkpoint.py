"""Checkpoints: complete or absent, verified when read, restored on any number of devices.

A run folder contains

    config.json          settings and skeleton (see `jaxpose.runs`)
    checkpoints/<step>/  model, ema and train (arrays, written by orbax) and manifest (shapes and
                         CRC-32 of each array, the evaluation score)
    damaged/<step>/      checkpoints that failed verification

Orbax writes in the background into a temporary folder and renames it when it is complete. Arrays
are stored as plain host arrays, so any topology can read them. The checksums detect files that were
truncated, lost or changed after the rename.
"""

import contextlib
import shutil
from collections.abc import Iterator

import jax
import numpy as np

from jaxpose import hosts, jax_api
from jaxpose.files import Location
from jaxpose.remote import RemotePath
from jaxpose.runs.arrays import (
    FOLDER,
    MARKER,
    CheckpointError,
    DamagedError,
    contents,
    first_line,
    read_items,
    rebuild,
    steps_in,
)
from jaxpose.runs.manager import open_manager
from jaxpose.tasks.protocol import Tree
from jaxpose.training.state import TrainState


class SaveError(RuntimeError):
    """A checkpoint could not be written; earlier ones are unchanged."""


def _items(state: TrainState) -> dict[str, Tree]:
    """Splits the state into the items of a checkpoint."""
    items = {
        "model": {"params": state.params, "batch_stats": state.batch_stats},
        "train": {"step": state.step, "opt_state": state.opt_state, "window": state.window},
    }
    return items if state.ema is None else items | {"ema": state.ema}


class Checkpoints:
    """The checkpoints of a run: the `keep` newest ones and the one with the highest score.

    Args:
      folder: the run folder.
      keep: number of newest checkpoints to keep.
    """

    def __init__(self, folder: Location, keep: int):
        self.folder = folder / FOLDER
        self._quarantine = folder / "damaged"
        self._manager = open_manager(self.folder, keep)

    def latest(self) -> int | None:
        """Returns the step of the newest complete checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, state: TrainState, score: float | None = None) -> None:
        """Copies the state to the host and writes it in the background.

        Raises:
          SaveError: this write, or the previous one in the background, failed.
        """
        step = int(state.step)
        args = contents(_items(state), step, score)
        with self._save_errors():
            self._manager.save(
                step,
                args=args,
                metrics=None if score is None else {"score": float(score)},
                force=True,
            )

    def wait(self) -> None:
        """Waits for the background write.

        Raises:
          SaveError: the write failed.
        """
        with self._save_errors():
            self._manager.wait_until_finished()
            self._manager.check_for_errors()

    @contextlib.contextmanager
    def _save_errors(self) -> Iterator[None]:
        """Turns any exception of the storage layers into a SaveError."""
        try:
            yield
        except Exception as error:
            steps = steps_in(self.folder)
            kept = f"the last complete one is {steps[-1]}" if steps else "there is no earlier one"
            raise SaveError(
                f"a checkpoint could not be written to {self.folder} ({first_line(error)}); {kept}"
            ) from error

    def close(self) -> None:
        """Ends the background threads; call `wait` first to see failed writes."""
        with contextlib.suppress(Exception):
            self._manager.close()

    def restore(
        self, like: TrainState, timeout: float = 300.0
    ) -> tuple[TrainState | None, list[str]]:
        """Restores the newest complete checkpoint and moves newer, damaged ones to `damaged/`.

        Args:
          like: a state with the expected structure and shapes.
          timeout: seconds to wait for the other hosts, which read the checkpoints as well.

        Returns:
          (state, lines): the state as numpy arrays, or None if there are no checkpoints; and one
          log line per damaged checkpoint, with the one used instead.

        Raises:
          CheckpointError: all checkpoints are damaged, or the newest complete one does not fit the
            model.
          OSError: the storage fails, so that nothing is known about a checkpoint.
          HostsDifferError: a checkpoint is damaged for some hosts alone; nothing was moved.
        """
        found: tuple[int, dict[str, dict[str, np.ndarray]]] | None = None
        damaged: list[tuple[int, str]] = []
        for step in reversed(steps_in(self.folder)):
            try:
                found = step, read_items(self.folder / str(step), ("model", "train", "ema"))
                break
            except DamagedError as error:
                damaged.append((step, str(error)))
        complete = None if found is None else found[0]
        self._compare_hosts([step for step, _ in damaged], complete, timeout)
        if found is None and damaged:
            step, reason = damaged[0]
            raise CheckpointError(
                f"no complete checkpoint in {self.folder} ({len(damaged)} damaged; {step}: "
                f"{reason}); remove the folder to start over"
            )
        if found is None:
            return None, []
        step, read = found
        path = self.folder / str(step)
        if "train" not in read:
            raise CheckpointError(
                f"{path} contains weights only, so training cannot resume; start a run in "
                f"a new folder with --config.init_from={self.folder.parent}"
            )
        expected = _items(like)
        parts = {
            name: rebuild(expected.get(name, {}), read.get(name, {}), f"{path} ({name})")
            for name in ("model", "ema", "train")
            if name in expected or name in read
        }
        self._remove(damaged)
        lines = [
            f"checkpoint {self.folder / str(bad)} is damaged: {reason}; resuming from {path}"
            for bad, reason in damaged
        ]
        state = TrainState(
            **parts["model"], **parts["train"], ema=parts.get("ema") if "ema" in read else None
        )
        return state, lines

    def _compare_hosts(self, damaged: list[int], complete: int | None, timeout: float) -> None:
        """Checks that all hosts judge the checkpoints alike, before one is moved.

        Without this check, a host without a damaged one would not wait until it is moved.
        """
        record = {
            "damaged checkpoints": ", ".join(map(str, damaged)) or "none",
            "the newest complete checkpoint": "none" if complete is None else complete,
        }
        hint = (
            f"nothing in {self.folder} was moved: find out why the hosts read different files, and "
            "run the same command again on every host"
        )
        hosts.agree("checkpoints", record, timeout, hint)

    def _remove(self, damaged: list[tuple[int, str]]) -> None:
        if not damaged:
            return
        if jax.process_index() == 0:
            for step, _ in damaged:
                _move(self.folder / str(step), self._quarantine / str(step))
        if jax.process_count() > 1:
            jax_api.sync_global_devices("jaxpose: damaged checkpoints moved")
        self._manager.reload()


def _move(checkpoint: Location, target: Location) -> None:
    """Moves a checkpoint, replacing what is there."""
    if isinstance(checkpoint, RemotePath):
        assert isinstance(target, RemotePath)
        target.remove()
        checkpoint.copy(target)
        checkpoint.remove(first=MARKER)
        return
    assert not isinstance(target, RemotePath)
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(exist_ok=True)
    shutil.move(checkpoint, target)
