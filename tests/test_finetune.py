"""docs/finetune.md: its commands run as they are printed, with a small checkpoint and sizes."""

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import models, runs
from jaxpose.convert import to_torch_state_dict
from tests.helpers import tiny_runs
from tests.helpers.checkpoints import save_torch

MODEL = "simplebaseline_mobilenetv2"
NAME = "simplebaseline_mobilenetv2-coco-256x192-gaussian-55a04c35"
JOINTS = {"nose": 0, "left_wrist": 9, "right_wrist": 10, "left_tip": 15, "right_tip": 16}
SMALL = (
    "--config.input_size=(64,64)", "--config.epochs=1", "--config.batch_size=4",
    "--config.schedule.warmup_steps=1", "--config.max_bad_fraction=0.1",
)  # fmt: skip


def commands(text):
    """The commands of a page: the lines of its plain code blocks, without comments."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines() if not language else ():
            yield shlex.split(line, comments=True)


def write_data(folder):
    """`tiny_runs.write_people` with five keypoints, as train.json and val.json."""
    tiny_runs.write_people(folder, people=8)
    content = json.loads((folder / "people.json").read_text())
    content["categories"][0] |= {"keypoints": list(JOINTS), "skeleton": []}
    for record in content["annotations"]:
        points = np.reshape(record["keypoints"], (17, 3))[list(JOINTS.values())]
        record |= {"keypoints": points.ravel().tolist(), "num_keypoints": 5}
    for name in ("train.json", "val.json"):
        (folder / name).write_text(json.dumps(content))
    (folder / "people.json").unlink()


def write_table(folder):
    """A table with one checkpoint of random weights under the name of the public one."""
    variables = models.initial_variables(models.create_model(MODEL, 17), (64, 64))
    state_dict = to_torch_state_dict(MODEL, variables)
    file = folder / "weights.pth"
    save_torch(state_dict, file)
    row = {
        "name": NAME, "model": MODEL, "url": file.name, "dataset": "coco", "input": "256x192",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }  # fmt: skip
    (folder / "table.json").write_text(json.dumps([row]))


@pytest.mark.slow
def test_every_command_of_the_page_runs(repository, tmp_path):
    write_data(tmp_path / "mydata")
    write_table(tmp_path)
    environment = tiny_runs.environment() | {"PYTHONPATH": str(repository)}
    output = {}
    for words in commands((repository / "docs" / "finetune.md").read_text()):
        program, *arguments = words
        if program == "python":
            words = [str(repository / arguments[0]), *arguments[1:]]
            words = [word.replace("=configs/", f"={repository}/configs/") for word in words]
        else:
            assert program == "jaxpose"
            words = ["-m", *words]
        if "train.py" in words[0]:
            words += SMALL
        if arguments[0] == "import":
            words += ["--table", "table.json"]
        done = subprocess.run(
            [sys.executable, *words], env=environment, cwd=tmp_path, capture_output=True, text=True,
            timeout=900,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
        output[tuple(words)] = done.stdout + done.stderr
    head, everything = (text for words, text in output.items() if "train.py" in words[0])
    assert re.search(r"^frozen +backbone/\* +2,223,872 +23.2%$", head, re.M)
    assert re.search(r"^taken +165 +9,565,440 ", head, re.M)
    assert "3 of 5 keypoints have the same name: nose, left_wrist, right_wrist" in head
    assert re.search(r"^rate x 0.1 +backbone/\* +2,223,872 +23.2%$", everything, re.M)
    assert re.search(r"^taken +167 ", everything, re.M)
    assert sorted(os.listdir(tmp_path / "drawn"))
    # The frozen backbone is that of the checkpoint, to the bit; in the second run it learned.
    backbones = [
        runs.read_run(tmp_path / "runs" / name).variables for name in ("coco", "head", "mine")
    ]
    old, frozen, trained = (
        [variables[part]["backbone"] for part in ("params", "batch_stats")]
        for variables in backbones
    )
    jax.tree.map(np.testing.assert_array_equal, old, frozen)
    changed = jax.tree.map(lambda a, b: not jnp.array_equal(a, b), old, trained)
    assert all(jax.tree.leaves(changed))
