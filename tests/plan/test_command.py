"""`jaxpose plan` on the CPU, and for a TPU slice if libtpu is installed."""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import types

import jax
import pytest

from jaxpose import cli
from jaxpose.plan import command, compilation, report, search, topology
from jaxpose.plan.step import batch_shapes, check_settings
from jaxpose.training.setup import make_setup
from tests.helpers import tiny_runs

RECIPE = "configs/check_topdown.py:tests.helpers.tiny_runs:TinyHeatmaps"
SMALL = ("--config.input_size=(64, 64)",)


@pytest.fixture
def plan(repository, tmp_path, monkeypatch):
    """A function of arguments that runs the command and returns (status, plan)."""
    monkeypatch.chdir(repository)

    def call(*arguments):
        file = tmp_path / "plan.json"
        options = [f"--config={RECIPE}", *SMALL, f"--cache={tmp_path}", f"--json={file}"]
        status = cli.main(["plan", *options, *arguments])
        return status, json.loads(file.read_text())

    return call


@pytest.mark.slow
def test_cpu(plan, capsys):
    status, made = plan("--topology=cpu", "--batch-per-chip=2")
    text = capsys.readouterr().out
    assert status == 0 and made["memory"]["fits"] and not made["cached"]
    assert made["batch_size"] == 2 and made["num_keypoints"] == 17
    # Nothing is padded on the CPU: the step's arguments are those of the call.
    assert made["memory"]["arguments"] == made["memory"]["unpadded_arguments"] > 0
    assert made["cost_analysis"]["flops"] > 0 and "bounds" not in made
    assert "cost analysis per chip" in text and "fits: " in text

    again = plan("--topology=cpu", "--batch-per-chip=2")[1]
    assert again["cached"]
    assert {**again, "cached": False} == made
    more = plan("--topology=cpu", "--batch-per-chip=4")[1]
    assert not more["cached"]
    assert more["cost_analysis"]["flops"] > 1.5 * made["cost_analysis"]["flops"]


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["--topology=cpu", "--batch-per-chip=3", "--config.accumulate=2"], "the nearest is 4"),
        (["--topology=cpu", "--batch-per-chip=0"], "--batch-per-chip=0 must be at least 1"),
        (["--topology=v5e:5x3"], "did you mean v5e:4x4?"),
        (["--topology=cpu", "--largest-batch"], "the memory of cpu is not limited"),
        (["--topology=cpu", "--json=nowhere/plan.json"], "nowhere: no such folder"),
    ],
)
def test_mistakes_are_one_line(arguments, message, repository, monkeypatch, capsys):
    monkeypatch.chdir(repository)
    assert cli.main(["plan", f"--config={RECIPE}", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("jaxpose plan: ") and message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["--config=configs/hwll.py"], "did you mean 'configs/hwl.py'?"),
        (["--config=configs/hwl.py", "--config.batchsize=2"], "did you mean --config.batch_size?"),
        (["--config=configs/hwl.py", "--fast"], "Unknown command line flag 'fast'"),
        (["--config=configs/hwl.py", "more"], "unrecognized arguments: more"),
    ],
)
def test_mistakes_in_settings_are_one_line(arguments, message, repository, monkeypatch, capsys):
    monkeypatch.chdir(repository)
    with pytest.raises(SystemExit) as stop:
        cli.main(["plan", "--topology=cpu", *arguments])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("jaxpose plan: ") and message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "message,needed,available",
    [
        (
            "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO "
            "temporaries (256.00G) exceeds available HBM (15.75G).",
            256.0,
            15.75,
        ),
        (
            "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory "
            "space hbm. Used 20.50G of 15.75G hbm. Exceeded hbm capacity by 4.75G.",
            20.5,
            15.75,
        ),
        ("RESOURCE_EXHAUSTED: Out of memory", None, None),
    ],
)
def test_a_step_that_does_not_fit(message, needed, available, tmp_path):
    config = tiny_runs.config(tmp_path)
    target = topology.find_target("cpu")
    compiled = compilation.Compiled("", {}, {}, message, 1.0)
    made = report.make_plan(config, "r.py", target, 17, 2**20, compiled)
    memory = made["memory"]
    assert not memory["fits"]
    assert memory["needed"] == (needed and needed * 2**30)
    assert memory["capacity"] == (available and available * 2**30)
    text = report.as_text(made)
    assert "arguments, unpadded  1.0" in text
    excess = f"{needed - available:.2f} GiB too much" if needed else "does not fit"
    assert excess in text


@pytest.mark.parametrize("accumulate,most,found", [(1, 400, 384), (3, 400, 384), (3, 383, 360)])
@pytest.mark.parametrize("tpu", [True, False])
def test_the_search_fills_the_lanes_of_a_tpu(tpu, accumulate, most, found, tmp_path, capsys):
    config = tiny_runs.config(tmp_path, accumulate=accumulate)
    target = types.SimpleNamespace(chip=object() if tpu else None)
    step = 8 if accumulate == 1 else 24
    batch = command._largest(lambda batch: batch <= most, config, target, None)
    assert batch == (found if tpu else most // step * step)
    assert "the search ends" not in capsys.readouterr().err
    batch = command._largest(lambda batch: True, config, target, None)
    unit = 128 * accumulate if tpu else step
    assert batch == search.MOST // unit * unit
    assert f"the search ends at {search.MOST} per chip" in capsys.readouterr().err


def test_the_memory_of_a_device_is_the_limit():
    sizes = {"arguments": 90, "outputs": 80, "aliased": 70, "temporaries": 20, "peak": 110}
    compiled = compilation.Compiled("", {**sizes, "code": 5}, {}, "", 1.0)
    assert compiled.needed == 90 + 80 - 70 + 20 + 5
    cpu = topology.find_target("cpu")
    answers = [
        compiled.fits(dataclasses.replace(cpu, capacity=capacity)) for capacity in (None, 125, 124)
    ]
    assert answers == [True, True, False]


def test_results_are_kept_and_damaged_ones_made_again(tmp_path):
    target = topology.find_target("cpu")

    def compiled(add):
        lowered = jax.jit(lambda x: x @ x + add).lower(jax.ShapeDtypeStruct((4, 4), "float32"))
        return compilation.compile_step(lowered, target, tmp_path)

    made = compiled(1)
    assert not made.cached and made.cost["flops"] >= 2 * 4**3 and "ENTRY" in made.text
    assert compiled(1) == dataclasses.replace(made, cached=True)
    assert not compiled(2).cached
    for entry in tmp_path.glob("*.json.gz"):
        entry.write_bytes(entry.read_bytes()[:100])
    again = compiled(1)
    assert not again.cached and again.memory == made.memory
    assert len(list(tmp_path.iterdir())) == 2


def test_a_result_is_that_of_the_same_names(tmp_path):
    target = topology.find_target("cpu")

    def square(x):
        return x @ x

    def is_kept(name, function):
        scoped = jax.jit(jax.named_scope(name)(function))
        lowered = scoped.lower(jax.ShapeDtypeStruct((4, 4), "float32"))
        compiled = compilation.compile_step(lowered, target, tmp_path)
        assert f"/{name}/" in compiled.text
        return compiled.cached

    kept = [is_kept(name, square) for name in ("stem", "stem", "head")]
    assert kept == [False, True, False]

    def square(x):
        return x @ x

    assert is_kept("stem", square)  # the lines of the source do not count


@pytest.mark.parametrize(
    "make", [tiny_runs.config, tiny_runs.crowd_config, tiny_runs.fields_config]
)
def test_the_batch_is_that_of_the_input_pipeline(make, tmp_path):
    batch = pytest.importorskip("input_pipeline.batch")
    config = make(tmp_path)
    assert check_settings(config, topology.find_target("cpu"), 2) == 2
    shapes = batch_shapes(make_setup(config, 17, 1.0, 1), 17)
    if "max_people" in config:
        spec = batch.bottomup_training_spec((64, 64), 17, config.max_people)
    else:
        spec = batch.topdown_spec((64, 64), 17)
    assert shapes == {key: ((2, *spec[key][1]), spec[key][0]) for key in shapes}
    assert {"image", "keypoints"} <= set(shapes)


def outside(repository, tmp_path, *arguments):
    """The plan of a process of its own, which starts with other devices."""
    file = tmp_path / "plan.json"
    command = [sys.executable, "-m", "jaxpose", "plan", f"--config={RECIPE}", *SMALL]
    command += [f"--cache={tmp_path}", f"--json={file}", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run(command, cwd=repository, env=environment, check=True, capture_output=True)
    return json.loads(file.read_text())


@pytest.mark.slow
def test_several_devices_exchange_one_array(repository, tmp_path):
    made = outside(repository, tmp_path, "--topology=cpu:8", "--batch-per-chip=2")
    assert made["chips"] == 8 and made["batch_size"] == 16
    # TinyHeatmaps: two convolutions with batch norm (scale and bias; mean and variance), a third
    # convolution, and the loss.
    size = 4 * (5 * 5 * (3 * 16 + 16 * 24) + 4 * (16 + 24) + 24 * 17 + 1)
    expected = {"count": 1, "arrays": 1, "bytes": size, "dtypes": {"f32": size}}
    assert made["collectives"] == {"all-reduce": expected}
    # Gradients of frozen parameters are left out.
    made = outside(
        repository, tmp_path, "--topology=cpu:8", "--batch-per-chip=2",
        "--config.freeze=quarter/conv/*",
    )  # fmt: skip
    assert made["collectives"]["all-reduce"]["bytes"] == size - 4 * 5 * 5 * 16 * 24
    made = outside(
        repository, tmp_path, "--topology=cpu:8", "--batch-per-chip=2", "--config.batch_norm=global"
    )
    # Each of the two batch norms exchanges its mean and variance, and the gradients of both.
    kinds = {kind: each["count"] for kind, each in made["collectives"].items()}
    assert kinds == {"all-reduce": 1 + 2 * 3}


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="libtpu is not installed")
def test_tpu(repository, tmp_path):
    arguments = ("--topology=v5e:2x2", "--batch-per-chip=8", "--config.dtype=bfloat16")
    made = outside(repository, tmp_path, *arguments)
    assert made["memory"]["fits"] and made["chips"] == 4 and not made["cached"]
    total, phases = made["total"], made["phases"]
    for key in ("cycles", "hbm_bytes", "flops", "instructions"):
        assert total[key] == sum(cost[key] for cost in phases.values())
        assert total[key] == sum(cost[key] for cost in made["operators"].values())
    # The backward pass computes the gradients of kernels and of all inputs but the image.
    forward, backward = phases["forward"]["flops"], phases["backward"]["flops"]
    assert forward < backward < 2 * forward
    assert made["operators"]["conv"]["flops"] == total["flops"] == forward + backward
    assert total["cycles"] > 0
    gradient = 5 * 5 * (3 * 16 + 16 * 24) + 2 * (16 + 24) + 24 * 17
    rest = 2 * (16 + 24) + 1  # statistics and loss
    size = 4 * (gradient + rest)
    expected = {"count": 1, "arrays": 1, "bytes": size, "dtypes": {"f32": size}}
    assert made["collectives"] == {"all-reduce": expected}
    lower = outside(repository, tmp_path, *arguments, "--config.reduce_dtype=bfloat16")
    dtypes = {"bf16": 2 * gradient, "f32": 4 * rest}
    expected = {"count": 2, "arrays": 2, "bytes": sum(dtypes.values()), "dtypes": dtypes}
    assert lower["collectives"] == {"all-reduce": expected}
    again = outside(repository, tmp_path, *arguments)
    assert again["cached"] and {**again, "cached": False} == made
