"""Writes checkpoints: orbax writes them into a local folder, and copies of them go to a remote one.

The files of a checkpoint are the same in both. In a local folder, orbax renames a temporary folder
when it is complete. An object store cannot rename; there, the file `MARKER` is written last and
removed first, and a checkpoint without it does not count.
"""

from __future__ import annotations

import concurrent.futures
import logging as std_logging
import pathlib
import shutil
import tempfile
from collections.abc import Mapping
from typing import Any, Protocol

import jax
import orbax.checkpoint as ocp
from absl import logging

from jaxpose.files import Location
from jaxpose.remote import RemotePath
from jaxpose.runs.arrays import MARKER, read_score, steps_in
from jaxpose.runs.late_errors import ignore_late_errors

_POLICIES = ocp.checkpoint_managers
_TEMPORARY = ".orbax-checkpoint-tmp"  # in the names of folders that orbax renames at the end


class Manager(Protocol):
    """What is used of orbax's CheckpointManager."""

    def latest_step(self) -> int | None: ...

    def save(
        self,
        step: int,
        *,
        args: ocp.args.Composite,
        metrics: Mapping[str, float] | None = None,
        force: bool = False,
    ) -> Any: ...

    def wait_until_finished(self) -> None: ...

    def check_for_errors(self) -> None: ...

    def reload(self) -> None: ...

    def close(self) -> None: ...


def open_manager(folder: Location, keep: int = 1) -> Manager:
    """Opens a folder of checkpoints, where the `keep` newest and the one with the best score stay.

    Checkpoints that were not written completely are removed.

    Args:
      folder: `checkpoints` of a run folder.
      keep: number of newest checkpoints to keep.
    """
    _leave_out_raised_errors()
    if isinstance(folder, RemotePath):
        return _RemoteManager(folder, keep)
    if jax.process_index() == 0:
        _remove_unfinished(folder)
    return ocp.CheckpointManager(
        folder.absolute(),
        options=ocp.CheckpointManagerOptions(
            preservation_policy=_POLICIES.AnyPreservationPolicy(
                [
                    _POLICIES.LatestN(max(keep, 1)),
                    _POLICIES.BestN(
                        get_metric_fn=lambda scores: scores["score"],
                        n=1,
                        keep_checkpoints_without_metrics=False,
                    ),
                ]
            ),
        ),
    )


def _remove_unfinished(folder: pathlib.Path) -> None:
    """Removes what a killed process has left of a checkpoint.

    Orbax can do so in the background, but fails if another manager of the folder, which has been
    closed meanwhile, does the same.
    """
    for path in folder.glob(f"*{_TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True)


def _leave_out_raised_errors() -> None:
    """Keeps orbax and tensorstore from also printing tracebacks of the errors that orbax raises.

    With --verbosity=0 or higher, they are printed.
    """
    logger = logging.get_absl_logger()
    if _is_worth_logging not in logger.filters:
        logger.addFilter(_is_worth_logging)
    ignore_late_errors()


def _is_worth_logging(record: std_logging.LogRecord) -> bool:
    from_orbax = "orbax" in pathlib.PurePath(record.pathname).parts
    return not (from_orbax and record.exc_info) or logging.get_verbosity() >= logging.INFO


class _RemoteManager:
    """Writes each checkpoint into a temporary local folder and copies it, in the background.

    All arrays are on every host, so host 0 alone writes.
    """

    def __init__(self, folder: RemotePath, keep: int):
        self._folder, self._keep = folder, max(keep, 1)
        self._writes = jax.process_index() == 0
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "checkpoint-upload")
        self._pending: concurrent.futures.Future[None] | None = None
        self._scores: dict[int, float | None] = {}
        if self._writes:
            self._remove_incomplete()

    def latest_step(self) -> int | None:
        return max(steps_in(self._folder), default=None)

    def save(
        self,
        step: int,
        *,
        args: ocp.args.Composite,
        metrics: Mapping[str, float] | None = None,
        force: bool = False,
    ) -> None:
        """Starts a write; waits for the one before it, and raises the error of that."""
        self.wait_until_finished()
        if self._writes:
            self._pending = self._thread.submit(self._write, step, args, metrics)

    def wait_until_finished(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def check_for_errors(self) -> None:
        """`wait_until_finished` raises them."""

    def reload(self) -> None:
        """Nothing is cached that another program may change."""

    def close(self) -> None:
        self._thread.shutdown()

    def _write(
        self, step: int, args: ocp.args.Composite, metrics: Mapping[str, float] | None
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="jaxpose-") as staging:
            options = ocp.CheckpointManagerOptions(create=False, multiprocessing_options=_alone())
            with ocp.CheckpointManager(staging, options=options) as manager:
                manager.save(step, args=args, metrics=metrics, force=True)
                manager.wait_until_finished()
            (self._folder / str(step)).upload(pathlib.Path(staging, str(step)), last=[MARKER])
        self._scores[step] = None if metrics is None else metrics["score"]
        for old in self._superfluous():
            (self._folder / str(old)).remove(first=MARKER)

    def _superfluous(self) -> list[int]:
        """The steps that are neither among the newest nor the best; of equal scores the newest."""
        steps = steps_in(self._folder)
        for step in steps:
            if step not in self._scores:
                self._scores[step] = read_score(self._folder / str(step))
        scored = [(score, step) for step in steps if (score := self._scores[step]) is not None]
        kept = {*steps[-self._keep :], *([max(scored)[1]] if scored else [])}
        return [step for step in steps if step not in kept]

    def _remove_incomplete(self) -> None:
        """Removes what a killed process has left of a checkpoint."""
        complete = set(map(str, steps_in(self._folder)))
        below = [file.url.removeprefix(f"{self._folder}/") for file in self._folder.files()]
        for name in {file.partition("/")[0] for file in below} - complete:
            if name.isdigit():
                (self._folder / name).remove()


def _alone() -> ocp.options.MultiprocessingOptions:
    """Options of a manager that only this host calls."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    return ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(),
        active_processes={jax.process_index()},
        barrier_sync_key_prefix="jaxpose-remote",
    )
