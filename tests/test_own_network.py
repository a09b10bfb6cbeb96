"""The code and the commands of docs/own_network.md, run from a folder of their own."""

import importlib
import json
import os
import re
import shlex
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from jaxpose import cli, models, runs
from tests.helpers import tiny_runs

train = importlib.import_module("train")

PAGE = (tiny_runs.ROOT / "docs" / "own_network.md").read_text()
NETWORK, SHORT_NAME = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [
    shlex.split(line) for line in re.search(r"```bash\n(.*?)```", PAGE, re.DOTALL)[1].splitlines()
]
# What makes a command of the page a short one.
SHORT = {
    "train.py": [
        "--config.data.generated.num_train=8", "--config.data.generated.num_val=4",
        "--config.batch_size=4", "--config.eval.batch_size=4", "--config.epochs=1",
        "--config.input_size=(64, 64)", "--config.model_options.width=8",
    ],
    "benchmark": ["--size=64x64", "--threads=1", "--warmup=0", "--runs=1", "--seconds=0"],
}  # fmt: skip
PROGRAMS = ["train.py", "eval.py", "summary", "export", "benchmark"]
NAME = "mypackage.pose:SmallPose"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with the page's package; what it imports is forgotten afterwards."""
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "pose.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    importlib.invalidate_caches()
    yield tmp_path
    for module in ("mypackage", "mypackage.pose"):
        sys.modules.pop(module, None)


def test_the_network_is_what_its_task_needs(folder):
    facts = models.info(NAME)
    assert (facts.task, facts.input_size) == ("topdown", (128, 96))
    model = models.create_model(NAME, 14, width=8, dtype=jnp.bfloat16, bn_axis="data")
    images = jax.ShapeDtypeStruct((2, *facts.input_size, 3), jnp.float32)
    heatmaps, variables = jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=False), images
    )
    assert (heatmaps.shape, heatmaps.dtype) == ((2, 32, 24, 14), jnp.float32)
    assert set(variables) == {"params", "batch_stats"}


def test_the_summary_and_the_short_name(folder, register, capsys):
    assert cli.main(COMMANDS[2][1:]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{NAME}, 128x96, 17 keypoints"
    total = next(line for line in lines if line.startswith("total")).split()
    exec(SHORT_NAME, {})
    assert capsys.readouterr().out.strip() == total[-1].replace(",", "")
    assert "small_pose" in models.list_models()


def test_the_page_has_every_command_once():
    programs = [next(word for word in command if word in PROGRAMS) for command in COMMANDS]
    assert programs == PROGRAMS


@pytest.mark.slow
def test_the_commands(folder):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("torch")
    root = tiny_runs.ROOT
    # An installed `jaxpose` does not have the current folder on its path, and neither has -P.
    starts = {"python": [sys.executable], "jaxpose": [sys.executable, "-P", "-m", "jaxpose"]}
    environment = tiny_runs.environment() | {"PYTHONPATH": str(root)}
    printed = {}
    for (program, *words), name in zip(COMMANDS, PROGRAMS, strict=True):
        words = [
            re.sub(r"^(--config=)?(?=(train|eval)\.py|configs/)", rf"\g<1>{root}/", w)
            for w in words
        ]
        done = subprocess.run(
            [*starts[program], *words, *SHORT.get(name, [])], env=environment, cwd=folder,
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        printed[name] = done.stdout
    assert json.loads((folder / "runs/small/config.json").read_text())["config"]["model"] == NAME
    assert (folder / "runs/small/report/metrics.json").is_file()
    assert "difference of the outputs from those of the model" in printed["export"]
    assert (folder / "runs/small/export/SmallPose_64x64.onnx").is_file()
    assert "onnxruntime" in printed["benchmark"]

    # A run whose network is gone says so in one line.
    os.rename(folder / "mypackage", folder / "moved")
    done = subprocess.run(
        [sys.executable, root / "eval.py", "--workdir=runs/small"], env=environment, cwd=folder,
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 2 and "no module 'mypackage'" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_network_without_batch_norm_is_trained(tmp_path):
    data = tiny_runs.write_people(tmp_path / "data")
    name = "tests.models.test_lookup:Bare"  # which declares no task, either
    config = tiny_runs.config(data, model=name, epochs=1.0, ema_decay=0.5)
    assert train.main(config, str(tmp_path / "run")) == 0
    run = runs.read_run(tmp_path / "run")
    assert run.variables["batch_stats"] == {}
    initial = models.initial_variables(run.model, config.input_size, config.seed)["params"]
    before, after = (jax.tree.leaves(tree) for tree in (initial, run.variables["params"]))
    assert all((x != y).any() for x, y in zip(before, after, strict=True))
