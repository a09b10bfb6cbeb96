"""Faults of what surrounds the run: the disk, the images, the numbers."""

from __future__ import annotations

import contextlib
import json
import pathlib
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator

import numpy as np

from jaxpose.runs.arrays import FOLDER, DamagedError, steps_in
from jaxpose.soak import slow_images as slow
from jaxpose.soak.compare import arrays
from jaxpose.soak.moments import ANY, pick
from jaxpose.soak.trial import EQUAL, REFUSED, Bad, Trial, last_line
from jaxpose.wording import quantity

_LARGE = "100m"  # of a file system with enough space
_SMALLEST = 1024  # bytes


def full_disk(trial: Trial) -> str:
    """The disk of the run folder fills up: one line, and it resumes when there is space."""
    with small_disk(trial) as (prepare, enlarge):
        training = trial.start(prepare)
        trial.happened = trial.finish(training) != 0
        if trial.happened and not last_line(training.output).startswith("train.py: "):
            raise Bad("lost", f"the last line is: {last_line(training.output)}")
        _check_complete(trial)
        enlarge()
        return trial.survive()


@contextlib.contextmanager
def small_disk(trial: Trial) -> Iterator[tuple[Callable[[], None] | None, Callable[[], None]]]:
    """A run folder of random, small size: a tmpfs, or files of limited size if it may not mount.

    Yields:
      (what to call in the process that trains, what to call to end the fault).
    """
    trial.run.mkdir()
    files = [path.stat().st_size for path in trial.reference.run.rglob("*") if path.is_file()]
    size = trial.rng.randrange(4096, sum(-(-size // 4096) * 4096 for size in files))
    if not _mount(trial.run, f"size={size}"):
        limit = trial.rng.randrange(_SMALLEST, max(files))
        trial.note = f"files of at most {limit} bytes"
        yield lambda: _limit_files(limit), lambda: None
        return
    trial.note = f"a disk of {size} bytes"
    try:
        yield None, lambda: _remount(trial.run)
    finally:
        trial.end()
        kept = trial.folder / "kept"
        shutil.copytree(trial.run, kept)
        subprocess.run(["umount", str(trial.run)], check=True)
        trial.run.rmdir()
        kept.rename(trial.run)


def _mount(folder: pathlib.Path, options: str) -> bool:
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:  # not Linux
        return False


def _remount(folder: pathlib.Path) -> None:
    subprocess.run(["mount", "-o", f"remount,size={_LARGE}", str(folder)], check=True)


def _limit_files(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # Python does so too; this is before it starts
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _check_complete(trial: Trial) -> None:
    """Checks that all checkpoints of a failed run can be read, and are finite."""
    for step in steps_in(trial.run / FOLDER):
        try:
            read = arrays(trial.run, step)
        except DamagedError as error:
            raise Bad("lost", f"checkpoint {step}: {error}") from None
        for name, (dtype, _, content) in read.items():
            if dtype.kind == "f" and not np.isfinite(np.frombuffer(content, dtype)).all():
                raise Bad("lost", f"checkpoint {step}: {name} is not finite")


def corrupt_images(trial: Trial) -> str:
    """Some images are unusable: named, and the same bytes after a kill; too many are refused."""
    trial.own_data(copied=True)
    # Where they are left out: while crops are prepared, or while it trains.
    trial.changes = {"data.prepared": trial.rng.random() < 0.5}
    images = sorted((trial.folder / "data" / "images").glob("train_*"))
    names = []
    for path in trial.rng.sample(images, trial.rng.randint(1, 5)):
        _damage_image(path, trial)
        names.append(path.name)
    trial.note = f"{', '.join(sorted(names))} unusable, {trial.changes}"
    # The fraction is that of all images that are read: 12, of which 3 may be unusable.
    if len(names) > 0.25 * len(images):
        trial.refuse(trial.start(), " unusable, more than")
        return REFUSED
    training = trial.start()
    if trial.finish(training):
        raise Bad("lost", last_line(training.output))
    missing = [name for name in names if name not in training.output]
    if missing or f"{quantity(len(names), 'unusable image')} left out" not in training.output:
        raise Bad("lost", f"unusable, but not named: {', '.join(missing) or 'the number'}")
    expected = trial.folder / "unbroken"
    trial.run.rename(expected)
    again = trial.start()
    trial.reach(again, pick(ANY, trial.reference.times, trial.rng))
    again.kill()
    trial.complete()
    trial.compare(expected)
    return EQUAL


def _damage_image(path: pathlib.Path, trial: Trial) -> None:
    kind = trial.rng.choice(("empty", "text", "half"))
    if kind == "half":
        with open(path, "r+b") as file:
            file.truncate(path.stat().st_size // 2)
    else:
        path.write_bytes({"empty": b"", "text": b"not an image\n"}[kind])


def slow_images(trial: Trial) -> str:
    """Images come late and out of order, as from a busy disk: slower, but the same bytes."""
    trial.own_data(copied=True)
    # Where they are late: while crops are prepared, or while it trains.
    trial.changes = {"data.prepared": trial.rng.random() < 0.5}
    expected = trial.reference.run
    if not trial.changes["data.prepared"]:  # whole images do not give the bytes of prepared crops
        trial.complete()
        expected = trial.folder / "unbroken"
        trial.run.rename(expected)
    most = trial.rng.uniform(0.05, 0.5)  # seconds
    trial.note = f"up to {most:.2f} s per image, {trial.changes}"
    trial.wrapper = [slow.__file__, str(trial.rng.random()), str(most)]
    training = trial.start()
    if trial.finish(training):
        raise Bad("lost", last_line(training.output))
    trial.happened = slow.LAST_LINE in training.output
    trial.compare(expected)
    return EQUAL


def not_finite(trial: Trial) -> str:
    """The learning rate explodes at a random step: the run stops there, and says so.

    bad_step.json names the step and the last good checkpoint, which is kept.
    """
    epoch = trial.rng.uniform(0.1, 1.5)
    trial.changes = {
        "schedule.name": "step",
        "schedule.milestones": f"({epoch:.3f},)",
        "schedule.gamma": 1e35,
    }
    trial.note = f"learning rate x 1e35 after {epoch:.3f} epochs"
    records = []
    for _ in range(2):  # the second time, from the last good checkpoint
        training = trial.start()
        trial.refuse(training, "loss or gradient is not finite")
        record = json.loads((trial.run / "bad_step.json").read_text())
        steps = steps_in(trial.run / FOLDER)
        if record["last_good_checkpoint"] != (steps[-1] if steps else None):
            raise Bad("lost", f"bad_step.json names another checkpoint than {steps}")
        if not record["image_ids"]:
            raise Bad("lost", "bad_step.json names no images")
        _check_complete(trial)
        records.append((record["step"], record["image_ids"], steps))
    if records[0] != records[1]:
        raise Bad("different", f"stopped at step {records[0][0]}, then at {records[1][0]}")
    return REFUSED
