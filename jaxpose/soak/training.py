"""train.py as a child process that is watched, and struck at a given moment."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

import jaxpose
from jaxpose.soak.moments import Moment, observe

CHECKOUT = pathlib.Path(jaxpose.__file__).resolve().parent.parent
RUN = "run"  # the run folder, relative to the folder of a trial; so are data and prepared crops
_POLL = 0.005  # seconds, from shortly before it creates the run folder
_SLOW_POLL = 0.05  # seconds, before
SETTINGS = {
    "input_size": "(64, 64)",
    "batch_size": 4,
    "eval.batch_size": 4,
    "epochs": 2,
    "eval_every": 1,
    "checkpoint_every": 3,
    "log_every": 1,
    "ema_decay": 0.9,
    "schedule.warmup_steps": 2,
    "max_bad_fraction": 0.25,
    "data.root": "data",
    "data.generated.num_train": 12,
    "data.generated.num_val": 4,
    "data.prepared": True,
    "data.prepared_dir": "prepared",
    "data.cache": False,
}


def command(changes: dict | None = None) -> list[str]:
    """The command line of a training of 12 steps on 24 people; it is run in a trial's folder.

    Raises:
      FileNotFoundError: jaxpose is installed without train.py.
    """
    program = CHECKOUT / "train.py"
    if not program.is_file():
        raise FileNotFoundError(f"{program} does not exist: run this command in a checkout")
    recipe = CHECKOUT / "configs" / "demo.py"
    return [
        *(sys.executable, str(program), f"--workdir={RUN}"),
        f"--config={recipe}:jaxpose.soak.network:TwoLayers",
        *(f"--config.{key}={value}" for key, value in {**SETTINGS, **(changes or {})}.items()),
    ]


class Training:
    """A running train.py.

    Args:
      folder: of the trial.
      words: the command line.
      log: file for its output.
      cache: folder of compiled programs.
      prepare: called in the child before it starts train.py.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        words: Sequence[str],
        log: pathlib.Path,
        cache: pathlib.Path,
        prepare: Callable[[], None] | None = None,
    ):
        self._run, self._log = folder / RUN, log
        self.times: dict[str, float] = {}
        environment = {
            **os.environ,
            "JAX_PLATFORMS": "cpu",  # elsewhere, equal bytes are not promised
            "JAX_COMPILATION_CACHE_DIR": str(cache.resolve()),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        self._start = time.monotonic()
        self._process = subprocess.Popen(
            words, cwd=folder, env=environment, bufsize=0, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=prepare,
        )  # fmt: skip
        log.touch()
        # Through a pipe, so that a limit on the size of files does not apply to the output.
        self._reader = threading.Thread(target=self._copy, daemon=True)
        self._reader.start()

    def _copy(self) -> None:
        assert self._process.stdout is not None
        with open(self._log, "wb", buffering=0) as output:
            shutil.copyfileobj(self._process.stdout, output)

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def status(self) -> int | None:
        """The exit status; negative after a signal, None while it is running."""
        return self._process.poll()

    def _look(self) -> None:
        now = time.monotonic() - self._start
        for event in observe(self._run, self.output):
            self.times.setdefault(event, now)

    def _pause(self) -> None:
        time.sleep(_POLL if "data" in self.times else _SLOW_POLL)

    def reach(self, moment: Moment, limit: float) -> bool:
        """Waits for a moment; False if the process ends first.

        Raises:
          TimeoutError: it is not reached within `limit` seconds.
        """
        while self.status is None:
            self._look()
            begin = self.times.get(moment.after)
            passed = time.monotonic() - self._start
            if begin is not None and passed >= begin + moment.seconds:
                return True
            if passed > limit:
                self.kill()
                raise TimeoutError(f"no {moment.after!r} within {limit:.0f} s")
            self._pause()
        return False

    def send(self, number: int) -> None:
        """Sends a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kills the process and waits for its end."""
        self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._end()

    def watch(self, limit: float) -> int:
        """Waits for the end, and records when each event was seen; returns the exit status.

        Raises:
          TimeoutError: it does not end within `limit` seconds; it is killed.
        """
        while self.status is None:
            self._look()
            if time.monotonic() - self._start > limit:
                self.kill()
                raise TimeoutError(f"it did not end within {limit:.0f} s")
            self._pause()
        status = self._end()
        self._look()
        return status

    def finish(self, limit: float) -> int:
        """`watch` without the records, for which it need not wake up so often."""
        try:
            self._process.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"it did not end within {limit:.0f} s") from None
        return self._end()

    def _end(self) -> int:
        status = self._process.wait()
        self._reader.join(10)  # its own children may keep the pipe open for longer
        return status
