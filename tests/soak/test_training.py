"""A child process that is watched; here it is a script instead of train.py."""

import signal
import sys
import textwrap

import pytest

from jaxpose.soak.moments import Moment
from jaxpose.soak.training import Training, command

LIMIT = 60.0  # seconds


def start(folder, script):
    words = [sys.executable, "-c", textwrap.dedent(script)]
    return Training(folder, words, folder / "log.txt", folder / "cache")


def test_it_is_killed_at_a_moment(tmp_path):
    training = start(tmp_path, "import time; print('1 host(s), jax', flush=True); time.sleep(99)")
    assert training.reach(Moment("devices", 0.01), LIMIT)
    assert training.status is None
    training.kill()
    assert training.status == -signal.SIGKILL
    assert 0 < training.times["devices"] < LIMIT


def test_a_moment_that_does_not_come(tmp_path):
    assert not start(tmp_path, "").reach(Moment("devices", 0), LIMIT)
    training = start(tmp_path, "import time; time.sleep(99)")
    with pytest.raises(TimeoutError, match="no 'devices'"):
        training.reach(Moment("devices", 0), 0.01)
    assert training.status == -signal.SIGKILL


def test_its_end(tmp_path):
    training = start(tmp_path, "import sys; print('last words'); sys.exit(3)")
    assert training.finish(LIMIT) == 3
    assert training.output == "last words\n"
    hanging = start(tmp_path, "import time; time.sleep(99)")
    with pytest.raises(TimeoutError, match="did not end within"):
        hanging.finish(0.01)
    assert hanging.status == -signal.SIGKILL


def test_what_it_did_is_recorded(tmp_path):
    training = start(
        tmp_path,
        """
        import pathlib
        pathlib.Path("run").mkdir()
        pathlib.Path("run/metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\\n')
        """,
    )
    assert training.watch(LIMIT) == 0
    assert training.times.keys() == {"start", "step 1"}


def test_the_command_line_changes_settings():
    words = command({"data.prepared": False})
    assert "--config.data.prepared=False" in words and "--workdir=run" in words
    assert not [word for word in words if word == "--config.data.prepared=True"]


def test_it_runs_in_the_folder_of_the_trial(tmp_path):
    training = start(tmp_path, "import os; print(os.getcwd(), os.environ['JAX_PLATFORMS'])")
    assert training.finish(LIMIT) == 0
    assert training.output.split() == [str(tmp_path.resolve()), "cpu"]
