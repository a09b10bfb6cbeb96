"""eval.py --exported: files of every format, and files that cannot be evaluated."""

import dataclasses
import importlib
import json

import numpy as np
import pytest

from jaxpose import models, runs, runtimes, skeletons
from jaxpose.evaluation import command_line
from jaxpose.evaluation.network import open_exported
from jaxpose.export import command
from jaxpose.export.source import from_run
from jaxpose.export.targets import TARGETS
from tests.helpers import tiny_runs
from tests.helpers.evaluation import report

eval_program = importlib.import_module("eval")
NETWORK = "tests.helpers.tiny_runs:TinyHeatmaps"
# Exporting to PyTorch takes several seconds.
FORMATS = [
    pytest.param(name, marks=[pytest.mark.slow] if name == "torch" else [])
    for name, runtime in runtimes.RUNTIMES.items()
    if runtime.available
]


@pytest.fixture(scope="module")
def folder(people, tmp_path_factory):
    """A run folder of an untrained network of three layers."""
    config = tiny_runs.config(people, model=NETWORK, **{"eval.batch_size": 5})
    model = models.create_model(NETWORK, 17)
    variables = models.initial_variables(model, (64, 64), 0)
    run = tmp_path_factory.mktemp("runs") / "tiny"
    runs.write_run(run, config.to_dict(), skeletons.COCO, variables)
    return run


@pytest.fixture(scope="module")
def file_of(folder):
    """Exports the run to a target, once; skips if its packages are missing."""
    written = {}

    def make(target):
        runtime = runtimes.RUNTIMES[target]
        for package in (*TARGETS[target].packages, runtime.package):
            pytest.importorskip(package)
        if target not in written:
            written[target] = command.export_file(from_run(folder), target, folder / "export")[0]
        return written[target]

    return make


def source_of(file):
    return command_line.Source(str(file), file.parent, exported=str(file))


def keypoints(folder):
    results = json.loads((folder / "results.json").read_text())
    return np.stack([np.reshape(r["keypoints"], (-1, 3)) for r in results])


@pytest.mark.slow
@pytest.mark.parametrize("target", FORMATS)
def test_a_file_gives_the_poses_of_its_run(target, folder, file_of, tmp_path):
    """12 people in batches of 5: the last batch has 2."""
    config, source = tiny_runs.source_of(folder)
    assert eval_program.main(config, source, tmp_path / "run", worst=0) == 0
    assert eval_program.main(config, source_of(file_of(target)), tmp_path / "file", worst=0) == 0
    ours, theirs = keypoints(tmp_path / "run"), keypoints(tmp_path / "file")
    assert ours.shape == theirs.shape == (12, 17, 3)
    distance = np.linalg.norm((ours - theirs)[..., :2], axis=-1)
    assert np.mean(distance < 0.05) > 0.98  # ties of two pixels may fall to either side
    assert report(tmp_path / "file")["source"] == str(file_of(target))


@pytest.mark.parametrize("target", FORMATS)
def test_the_flag_takes_files_of_every_format(target, file_of):
    values = type("Flags", (), dict.fromkeys(("workdir", "checkpoint", "untrained", "results")))()
    values.exported = str(file_of(target))
    source = command_line.find_source(values)
    assert source.exported == values.exported and source.folder.name.endswith("_eval")


def test_the_help_names_every_format():
    done = tiny_runs.run("--helpshort", program="eval.py")
    words = " ".join(done.stdout.split())
    assert f"written by `jaxpose export`: {', '.join(runtimes.SUFFIXES.values())}." in words


# --- files that cannot be evaluated --------------------------------------------------------------


@pytest.mark.parametrize("damage", ["half", "random", "empty"])
@pytest.mark.parametrize("target", FORMATS)
def test_a_damaged_file_is_one_line(target, damage, file_of, folder, tmp_path):
    config, _ = tiny_runs.source_of(folder)
    original = file_of(target)
    for number in range(len(runtimes.files_of(original))):
        copies = []
        for part in runtimes.files_of(original):
            copies.append(tmp_path / part.name)
            copies[-1].write_bytes(part.read_bytes())
        data = copies[number].read_bytes()
        noise = np.random.default_rng(0).integers(0, 256, len(data), np.uint8).tobytes()
        copies[number].write_bytes(
            {"half": data[: len(data) // 2], "random": noise, "empty": b""}[damage]
        )
        with pytest.raises(ValueError, match="cannot be read: ") as error:
            eval_program.main(config, source_of(copies[0]), tmp_path / "report", worst=0)
        assert "\n" not in str(error.value) and copies[number].stem in str(error.value)
    assert not (tmp_path / "report").exists()


def changed(file_of, folder, tmp_path, **changes):
    """The ONNX file of the run with other metadata."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    source = from_run(folder)
    path = tmp_path / "other.onnx"
    source = dataclasses.replace(source, **changes)
    TARGETS["onnx"].write(source, path, command.DEFAULT)
    return path


def test_a_file_of_another_model_is_refused(file_of, folder, tmp_path):
    config, _ = tiny_runs.source_of(folder)
    file = changed(file_of, folder, tmp_path, name="lite_hrnet_18")
    with pytest.raises(ValueError, match=f"is the model lite_hrnet_18, .* for {NETWORK}") as error:
        eval_program.main(config, source_of(file), tmp_path / "report", worst=0)
    assert "\n" not in str(error.value) and not (tmp_path / "report").exists()


def test_a_file_with_other_keypoints_is_refused(file_of, folder, tmp_path):
    config, _ = tiny_runs.source_of(folder)
    model = models.create_model(NETWORK, 16)
    variables = models.initial_variables(model, (64, 64), 0)
    file = changed(
        file_of, folder, tmp_path, model=model, variables=variables, skeleton=skeletons.MPII
    )
    with pytest.raises(ValueError, match="other.onnx has 16 keypoints .* dataset has 17") as error:
        eval_program.main(config, source_of(file), tmp_path / "report", worst=0)
    assert "\n" not in str(error.value) and not (tmp_path / "report").exists()


def test_a_file_of_another_task_is_refused(folder, file_of):
    config = tiny_runs.crowd_config(folder)
    with pytest.raises(ValueError, match="is for the task topdown, but the settings are for"):
        open_exported(str(file_of("onnx")), config)


@pytest.mark.parametrize("target", FORMATS)
def test_a_missing_runtime_is_named(target, file_of, folder, tmp_path, monkeypatch):
    file, package = file_of(target), runtimes.RUNTIMES[target].package
    config, _ = tiny_runs.source_of(folder)
    monkeypatch.setitem(importlib.import_module("sys").modules, package, None)
    with pytest.raises(ImportError, match=f"^{package} is not installed: pip install") as error:
        eval_program.main(config, source_of(file), tmp_path / "report", worst=0)
    assert "\n" not in str(error.value) and not (tmp_path / "report").exists()
