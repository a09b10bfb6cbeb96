"""The input benchmark reports every stage, even when images are damaged."""

import dataclasses
import json
import pathlib
import subprocess
import sys
import types

import pytest

from configs import common
from input_pipeline import benchmark, tfds_builders
from jaxpose import cli
from jaxpose.benchmark import input_images
from jaxpose.plan.chips import CHIPS
from jaxpose.plan.compilation import Compiled
from jaxpose.plan.report import make_plan
from jaxpose.plan.topology import find_target

SIZE = (256, 192)


def test_every_stage_has_a_rate(config):
    (pathlib.Path(config.data.root) / "images" / "train01.png").write_bytes(b"")
    config.max_bad_fraction = 0.5
    stages = benchmark.measure(config, examples=8, steps=2)
    assert list(stages) == ["read", "decode", "augment", "one thread", "graph"]
    assert all(stage.rate > 0 and stage.cost > 0 for stage in stages.values())
    assert [stage.examples for stage in stages.values()][-2:] == [8, 8]
    assert stages["read"].examples == 8 and stages["decode"].examples in (7, 8)


STAGES = {
    "read": benchmark.Stage(100, 0.1, 0.05),
    "decode": benchmark.Stage(100, 1.0, 0.5),
    "augment": benchmark.Stage(100, 0.5, 0.1),
    "one thread": benchmark.Stage(100, 2.0, 0.8),
    "graph": benchmark.Stage(200, 2.0, 2.0),
}


def test_shares_compare_processor_time():
    rows = {name: cells for name, *cells in benchmark.stage_table(STAGES, 2)}
    assert rows["decode: the bound"] == ["100", "5.000", "100%"]
    assert rows["one thread"] == ["50", "8.000", "62%"]
    assert rows["graph, 2 workers"] == ["100", "10.000", "50%"]
    assert rows["read"][-1] == "-"
    assert benchmark.share_line(STAGES, 2) == (
        "the graph reaches 50% of the bound by processor time, 50% by wall-clock (100 of 200 "
        "images/s with 2 threads)"
    )


def test_cores_that_feed_a_chip():
    speeds = [benchmark.ChipSpeed(1000), benchmark.ChipSpeed(2500, "v5e")]
    header, *rows = benchmark.chip_table(STAGES, speeds)
    assert len(header) == 3
    assert rows == [("1,000 images/s", "10.0", "5.0"), ("v5e: 2,500 images/s", "25.0", "12.5")]


@pytest.mark.parametrize("text", ["0", "-1", "fast", "nan", "inf"])
def test_chip_speed_is_a_positive_number(text):
    speeds = [benchmark.ChipSpeed(10), benchmark.ChipSpeed(2.5)]
    assert benchmark.speeds_of(["10", "2.5"], SIZE) == speeds
    with pytest.raises(ValueError, match=f"--chip-speed={text}: give images per second"):
        benchmark.speeds_of([text], SIZE)


HLO = """HloModule step, is_scheduled=true

ENTRY %main (p: f32[8]) -> f32[8] {
  %p = f32[8]{0} parameter(0)
  ROOT %n = f32[8]{0} negate(%p), backend_config={"estimated_cycles":"3000000"}
}
"""


def write_plan(path, chip="v5e", size=SIZE, refused=""):
    """Writes a plan with 128 images per chip as `jaxpose plan --json` does; returns its name."""
    target = dataclasses.replace(find_target("cpu"), chip=CHIPS.get(chip))
    compiled = Compiled("" if refused else HLO, {}, {}, refused, 1.0)
    config = common.get_config()
    config.input_size = size
    config.batch_size = 128
    path.write_text(json.dumps(make_plan(config, "recipe.py", target, 17, 0, compiled)))
    return str(path)


def test_the_speed_of_a_chip_is_that_of_its_plan(tmp_path):
    path = write_plan(tmp_path / "hwl.py:coco,256x192.json")
    seconds = 3e6 / 1.5e9  # the clock of v5e
    speeds = benchmark.speeds_of([path, "10"], SIZE)
    assert [speed.chip for speed in speeds] == ["v5e", ""]
    assert [speed.rate for speed in speeds] == pytest.approx([128 / seconds, 10])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"chip": "cpu"}, "the plan has no cycles; make one for a TPU"),
        ({"refused": "RESOURCE_EXHAUSTED: Out of memory"}, "does not fit in the memory"),
        ({"size": (448, 448)}, "the plan is for an input of 448x448, --config has 256x192"),
    ],
)
def test_a_plan_without_the_speed_of_this_input_is_refused(changes, message, tmp_path):
    path = write_plan(tmp_path / "plan.json", **changes)
    with pytest.raises(ValueError, match=message) as caught:
        benchmark.speeds_of([path], SIZE)
    assert str(caught.value).startswith(f"--chip-speed={path}: ")


@pytest.mark.parametrize("content", ["", "[]", "3", "{}", '{"input_size": 4}', "\xff"])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "file.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match="a file that `jaxpose plan --json FILE` has written"):
        benchmark.speeds_of([str(path)], SIZE)


def test_jaxpose_passes_the_settings_on(monkeypatch, tmp_path, capsys):
    commands = []

    def run(command):
        commands.append(command)
        return types.SimpleNamespace(returncode=3)

    monkeypatch.setattr(input_images.subprocess, "run", run)
    words = "--config=a.py:b --chip-speed 10 --config.seed=1 --chip-speed=20 --steps 4".split()
    assert cli.main(["benchmark", "input", *words]) == 3
    assert commands[0][2:] == [
        *("input_pipeline.benchmark", "--config=a.py:b", "--config.seed=1", "--steps=4"),
        *("--chip_speed=10", "--chip_speed=20"),
    ]
    monkeypatch.chdir(tmp_path)
    assert cli.main(["benchmark", "input", "--config=a.py"]) == 2
    assert "in a checkout of the project" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["benchmark", "latency", "file.onnx", "--none"])


@pytest.mark.parametrize("program", [benchmark, tfds_builders])
def test_files_that_cannot_be_written_are_one_line(config, tmp_path, monkeypatch, capsys, program):
    (tmp_path / "file").write_text("text")
    config.data.storage = "tfds"
    config.data.tfds_dir = str(tmp_path / "file")
    monkeypatch.setattr(program, "_CONFIG", types.SimpleNamespace(value=config), raising=False)
    monkeypatch.setattr(program, "_STEPS", types.SimpleNamespace(value=1), raising=False)
    monkeypatch.setattr(program, "_CHIP_SPEED", types.SimpleNamespace(value=[]), raising=False)
    with pytest.raises(SystemExit) as exit_info:
        program.main()
    last = capsys.readouterr().err.strip().splitlines()[-1]
    name = pathlib.Path(program.__file__).name
    assert (
        exit_info.value.code == 2
        and last.startswith(f"{name}: ")
        and str(tmp_path / "file") in last
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "program,arguments,message",
    [
        ("benchmark", ["--config.batch_sise=3"], "did you mean --config.batch_size?"),
        ("benchmark", ["--config.batch_size=many"], "batch_size=many"),
        ("benchmark", ["--steps=0"], "--steps=0"),
        # Options of the network are accepted as in train.py, and have no effect here.
        (
            "benchmark",
            ["--config.model_options.cbam=False", "--config.data.root=/no"],
            "config.data.root=/no: no such folder",
        ),
        ("tfds_builders", ["--config.data.storag=tfds"], "did you mean --config.data.storage?"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(program, arguments, message, repository):
    command = [sys.executable, "-m", f"input_pipeline.{program}"]
    done = subprocess.run(
        [*command, "--config=configs/check_topdown.py", *arguments],
        cwd=repository, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert last.startswith(f"{program}.py: ") and message in last
