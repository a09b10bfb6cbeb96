"""One trial: a folder, the commands that are run in it, and the checks of what they leave."""

from __future__ import annotations

import dataclasses
import pathlib
import random
import shutil
import signal
from collections.abc import Callable

from jaxpose.runs.arrays import FOLDER, steps_in
from jaxpose.soak.compare import differences, leftovers
from jaxpose.soak.moments import Moment
from jaxpose.soak.training import RUN, Training, command

EQUAL, REFUSED = "equal", "refused"
ATTEMPTS = 3  # runs of the same command after which an interrupted training must be complete


class Bad(Exception):
    """A promise is broken.

    Args:
      outcome: "lost" (the run cannot go on or has lost a checkpoint), "different" (other bytes),
        "traceback" or "hang".
      reason: one line.
    """

    def __init__(self, outcome: str, reason: str):
        super().__init__(f"{outcome}: {reason}")
        self.outcome, self.reason = outcome, reason


@dataclasses.dataclass(frozen=True)
class Reference:
    """The uninterrupted run.

    Attributes:
      folder: with the folders of the run, the data and the prepared crops.
      cache: compiled programs.
      times: event -> seconds (see `jaxpose.soak.moments`).
    """

    folder: pathlib.Path
    cache: pathlib.Path
    times: dict[str, float]

    @property
    def run(self) -> pathlib.Path:
        return self.folder / RUN


def make_reference(folder: pathlib.Path, limit: float) -> Reference:
    """Runs the training without a fault, from an empty folder.

    Raises:
      Bad: it fails.
    """
    folder.mkdir(parents=True)
    cache = folder / "cache"
    training = Training(folder, command(), folder / "log.txt", cache)
    try:
        status = training.watch(limit)
    finally:  # also if it is interrupted
        training.kill()
    if status:
        raise Bad("lost", f"the uninterrupted run ended with status {status}: {folder / 'log.txt'}")
    return Reference(folder, cache, training.times)


class Trial:
    """A folder in which train.py is started, with what its runs have in common.

    Args:
      folder: new; it has links to the data of the uninterrupted run.
      reference: the uninterrupted run.
      rng: random numbers of this trial.
      limit: seconds that one process may take.

    Attributes:
      happened: whether the fault came before the training had ended.
      note: what exactly was done.
      changes: settings that differ from those of the uninterrupted run.
      wrapper: file and first arguments of a program that runs train.py; empty for none.
    """

    def __init__(
        self, folder: pathlib.Path, reference: Reference, rng: random.Random, limit: float
    ):
        folder.mkdir(parents=True)
        self.folder, self.reference, self.rng, self.limit = folder, reference, rng, limit
        self.cache = reference.cache
        self.changes: dict = {}
        self.wrapper: list[str] = []
        self.happened, self.note = True, ""
        self._started: list[Training] = []
        self._ended = False
        for name in ("data", "prepared"):
            (folder / name).symlink_to((reference.folder / name).resolve())

    @property
    def run(self) -> pathlib.Path:
        return self.folder / RUN

    def own_cache(self, copied: bool = False) -> None:
        """Uses an own folder of compiled programs: empty, or a copy."""
        self.cache = self.folder / "cache"
        if copied:
            shutil.copytree(self.reference.cache, self.cache)

    def own_data(self, copied: bool = False) -> None:
        """Uses an own folder of images, which train.py writes, or a copy; and own crops."""
        for name in ("data", "prepared"):
            (self.folder / name).unlink()
        if copied:
            shutil.copytree(self.reference.folder / "data", self.folder / "data")

    def copy_run(self) -> list[pathlib.Path]:
        """Starts from a copy of the complete run; returns its checkpoints, oldest first."""
        shutil.copytree(self.reference.run, self.run)
        return [self.run / FOLDER / str(step) for step in steps_in(self.run / FOLDER)]

    def start(self, prepare: Callable[[], None] | None = None) -> Training:
        """Starts the training; the output goes to log-1.txt, log-2.txt and so on."""
        log = self.folder / f"log-{len(self._started) + 1}.txt"
        python, *words = command(self.changes)
        words = [python, *self.wrapper, *words]
        training = Training(self.folder, words, log, self.cache, prepare)
        self._started.append(training)
        if self._ended:  # by another thread
            training.kill()
        return training

    def reach(self, training: Training, moment: Moment) -> bool:
        """Waits for a moment of a training; False if it ends first.

        Raises:
          Bad: neither happens in time.
        """
        try:
            return training.reach(moment, self.limit)
        except TimeoutError as error:
            raise Bad("hang", str(error)) from None

    def finish(self, training: Training) -> int:
        """Waits for the end of a training; returns its exit status.

        Raises:
          Bad: it does not end, or prints a traceback.
        """
        try:
            status = training.finish(self.limit)
        except TimeoutError as error:
            raise Bad("hang", str(error)) from None
        before, _, trace = training.output.partition("Traceback (most recent call last)")
        if trace:
            # The first line that is not indented is the error.
            lines = [line for line in trace.splitlines()[1:] if line and not line.startswith(" ")]
            raise Bad("traceback", f"{lines[0] if lines else ''} (after {last_line(before)!r})")
        if status < 0 and -status not in (signal.SIGTERM, signal.SIGINT):
            raise Bad("lost", f"ended by signal {-status}")
        return status

    def refuse(self, training: Training, *words: str) -> None:
        """Waits for a training that must end with one line.

        Raises:
          Bad: it succeeds, prints a traceback, or its last line has none of these words.
        """
        status, line = self.finish(training), last_line(training.output)
        if not status:
            raise Bad("lost", "it was not refused")
        if not line.startswith("train.py: ") or not any(word in line for word in words):
            raise Bad("lost", f"status {status}, but the last line is: {line}")

    def complete(self) -> None:
        """Repeats the command until it succeeds.

        Raises:
          Bad: it does not.
        """
        for _ in range(ATTEMPTS):
            training = self.start()
            status = self.finish(training)
            if not status:
                return
        raise Bad(
            "lost", f"status {status} after {ATTEMPTS} attempts: {last_line(training.output)}"
        )

    def compare(self, expected: pathlib.Path | None = None) -> None:
        """Compares the run with the uninterrupted one.

        Raises:
          Bad: it differs, or has half-written files.
        """
        found = differences(self.run, expected or self.reference.run)
        if found:
            raise Bad("different", "; ".join(found[:3]))
        left = list(leftovers(self.run))
        if left:
            raise Bad("different", f"left behind: {', '.join(left[:3])}")

    def survive(self) -> str:
        """`complete` and `compare`; returns the outcome "equal"."""
        self.complete()
        self.compare()
        return EQUAL

    def end(self) -> None:
        """Kills what is still running, and what is started later."""
        self._ended = True
        for training in self._started:
            training.kill()


def last_line(output: str) -> str:
    lines = output.strip().splitlines()
    return lines[-1] if lines else ""
