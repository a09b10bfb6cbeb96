"""How long a training waits for its input: train.py itself, for some steps, by its own times.

train.py and the input pipeline, which imports TensorFlow, are only in a checkout; they run in a
process of their own, which is killed after the steps that are measured.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import jax
from ml_collections import ConfigDict

from jaxpose.benchmark.workload import CHECKOUT, Workload
from jaxpose.runtimes.threads import cores

GENERATED = "generated"
_IMAGES = 256  # drawn once, kept in ~/.cache/jaxpose
_POLL = 0.2  # seconds
_RECIPE = """from ml_collections import ConfigDict


def get_config():
    return ConfigDict({settings!r})
"""


class NotMeasuredError(ValueError):
    """Why there is no input wait, in one line."""


def measure(workload: Workload, data: str, steps: int) -> dict[str, float]:
    """Trains on all local devices and returns the speed after the first `steps` steps.

    Args:
      workload: what to train; its batch size is that of one device.
      data: the folder of the recipe's dataset (`config.data.root`), or "generated".
      steps: number of steps that are measured, after as many others.

    Returns:
      `input_wait` (0..1) and `examples_per_second` of timing.jsonl.

    Raises:
      NotMeasuredError: TensorFlow or train.py is not there, or the training fails.
    """
    program = CHECKOUT / "train.py"
    if not program.is_file():
        raise NotMeasuredError("train.py is not installed: run the command in a checkout")
    if importlib.util.find_spec("tensorflow") is None:
        raise NotMeasuredError("tensorflow, which reads the input, is not installed")
    with tempfile.TemporaryDirectory(prefix="jaxpose-") as folder:
        recipe, run = pathlib.Path(folder) / "recipe.py", pathlib.Path(folder) / "run"
        recipe.write_text(_RECIPE.format(settings=_settings(workload.config, data, steps)))
        command = [sys.executable, str(program), f"--config={recipe}", f"--workdir={run}"]
        return _train(command, run / "timing.jsonl", 2 * steps)


def _settings(config: ConfigDict, data: str, steps: int) -> dict[str, Any]:
    """The settings of the training, which saves and evaluates nothing before it is stopped."""
    config = config.copy_and_resolve_references()
    devices = jax.local_device_count()
    config.batch_size *= devices
    config.eval.batch_size = devices
    config.log_every = steps
    config.epochs, config.eval_every, config.checkpoint_every = 1e6, 0.0, 10**9
    config.data.workers = max(config.data.workers, cores())
    if data == GENERATED:
        config.data.format, config.data.root = GENERATED, ""
        config.data.generated.num_train, config.data.generated.num_val = _IMAGES, 1
    else:
        config.data.root = data
    return config.to_dict()


def _train(command: list[str], times: pathlib.Path, step: int) -> dict[str, float]:
    """Runs train.py until the line of a step is in timing.jsonl, and returns this line."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if jax.default_backend() == "cpu":
        environment["JAX_PLATFORMS"] = "cpu"
    with tempfile.TemporaryFile("w+") as output:
        training = subprocess.Popen(
            command, env=environment, cwd=CHECKOUT, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while (line := _line(times, step)) is None:
                if training.poll() is not None:
                    output.seek(0)
                    last = output.read().strip().splitlines()[-1:] or ["it printed nothing"]
                    raise NotMeasuredError(f"train.py ended before step {step}: {last[0]}")
                time.sleep(_POLL)
        finally:
            training.kill()
            training.wait()
    return {key: line[key] for key in ("input_wait", "examples_per_second")}


def _line(path: pathlib.Path, step: int) -> dict[str, float] | None:
    """The speed at a step, or None if it is not written yet."""
    lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
    complete = (json.loads(line) for line in lines if line.endswith("\n"))
    return next((x for x in complete if x["step"] == step and "input_wait" in x), None)
