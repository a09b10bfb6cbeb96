"""`jaxpose export --to coreml`: programs that are compared with the model without running them."""

import json
import os
import shutil
import sys

import jax
import numpy as np
import pytest

import jaxpose
from jaxpose import PoseEstimator, cli, export, ops
from jaxpose.export import command, coreml
from jaxpose.export.targets import Options
from jaxpose.runtimes import coreml_file, files_of, size_of
from jaxpose.tasks.agreement import MismatchError
from tests.helpers.networks import Function, initialized, source_of, weight

SIZE = (64, 48)
off_macos = pytest.mark.skipif(sys.platform == "darwin", reason="Core ML runs here")


@pytest.fixture(autouse=True)
def packages():
    pytest.importorskip("torch")
    pytest.importorskip("coremltools")


def body(m, x):
    x = ops.conv(x, weight(m, "stem", (4, 4, 3, 8)), stride=4)
    x = x * weight(m, "factor", (1, 1, 1, 8)) / ops.activation(x, kind="sigmoid")
    x = ops.conv_transpose(ops.activation(x, kind="relu"), weight(m, "up", (4, 4, 8, 8)))
    return ops.conv(x, weight(m, "final", (1, 1, 8, 17)))


def source(function=body):
    return source_of(Function(function), "tiny", "topdown", SIZE)


def written(folder, precision="fp32"):
    network = source()
    path = folder / "m.mlpackage"
    arguments = (network.model, network.variables, SIZE, path)
    options = {"metadata": network.metadata(), "precision": precision}
    export.to_coreml(*arguments, **options)
    return network, path, options


@off_macos
@pytest.mark.parametrize("precision, ending", [("fp32", ""), ("fp16", "_fp16")])
def test_an_agreeing_file_gets_its_name(precision, ending, tmp_path):
    for _ in range(2):  # the second replaces the first
        path, agreement = command.export_file(
            source(), "coreml", tmp_path, None, Options(precision)
        )
        assert agreement is None
        assert [p.name for p in tmp_path.iterdir()] == [f"tiny_64x48{ending}.mlpackage"]
    assert coreml_file.read_coreml_metadata(path) == source().metadata() | {"precision": precision}
    weights = path / "Data" / "com.apple.CoreML" / "weights" / "weight.bin"
    assert files_of(path) == (path,) and size_of(path) > weights.stat().st_size > 0


def test_half_precision_halves_the_weights(tmp_path):
    single, half = (written(tmp_path / precision, precision)[1] for precision in ("fp32", "fp16"))
    size = [
        (path / "Data" / "com.apple.CoreML" / "weights" / "weight.bin").stat().st_size
        for path in (single, half)
    ]
    assert size[1] < 0.6 * size[0]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(
    "leaf, message",
    [
        ("stem", "the weight is not that of the model"),
        ("final", "the weight is not that of the model"),
        ("up", "the weight is not that of the model"),
    ],
)
def test_other_weights_are_found(leaf, message, precision, tmp_path):
    network, path, options = written(tmp_path, precision)
    export.check_coreml(network.model, network.variables, SIZE, path, **options)
    params = dict(network.variables["params"])
    params[leaf] = np.array(params[leaf])
    params[leaf].flat[-1] *= 1.01
    other = {**network.variables, "params": params}
    with pytest.raises(MismatchError, match=message):
        export.check_coreml(network.model, other, SIZE, path, **options)


def test_other_metadata_and_precisions_are_found(tmp_path):
    network, path, options = written(tmp_path)
    arguments = (network.model, network.variables, SIZE, path)
    with pytest.raises(MismatchError, match="metadata"):
        export.check_coreml(*arguments, **options | {"metadata": {"jaxpose": "0"}})
    stored = options["metadata"] | {"precision": "fp32"}
    graph = export.build_graph(*arguments[:3])
    with pytest.raises(MismatchError, match="weight is not that of the model"):
        coreml.check(path, graph, stored, "fp16")
    with pytest.raises(MismatchError, match="image: .*64, 48.* in the file, .*32, 48"):
        export.check_coreml(network.model, network.variables, (32, 48), path, **options)


def test_a_disagreeing_file_leaves_nothing(tmp_path, monkeypatch):
    original = source()
    wrong = jax.tree.map(lambda a: np.asarray(a) * np.float32(1.001), original.variables)
    to_coreml = export.to_coreml
    monkeypatch.setattr(
        export, "to_coreml", lambda model, _, *rest, **kw: to_coreml(model, wrong, *rest, **kw)
    )
    with pytest.raises(MismatchError, match="not that of the model"):
        command.export_file(original, "coreml", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_before_it_stays_if_the_name_cannot_be_given(tmp_path, monkeypatch):
    path = tmp_path / "m.mlpackage"
    path.mkdir()
    (path / "old").touch()
    replace = os.replace

    def refuse(origin, target):
        if target == path and not (origin / "old").exists():
            raise OSError("no space left on device")
        replace(origin, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no space"):
        export.write_verified(lambda part: part.mkdir(), lambda part: None, path)
    assert list(tmp_path.iterdir()) == [path] and (path / "old").exists()


def test_a_weight_beyond_float16_names_its_module(tmp_path):
    network = source(lambda m, x: ops.conv(x, 1e6 * weight(m, "stem", (4, 4, 3, 17)), stride=4))
    export.to_coreml(network.model, network.variables, SIZE, tmp_path / "m.mlpackage", metadata={})
    with pytest.raises(export.ExportError, match="beyond the range of float16"):
        command.export_file(network, "coreml", tmp_path, None, Options("fp16"))
    assert [file.name for file in tmp_path.iterdir()] == ["m.mlpackage"]


@off_macos
def test_running_it_elsewhere_is_one_line(tmp_path):
    _, path, _ = written(tmp_path)
    with pytest.raises(export.FileError, match="m.mlpackage: Core ML runs on macOS only") as error:
        PoseEstimator(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["empty", "truncated", "manifest"])
def test_damaged_folders_are_one_line(damage, tmp_path):
    _, path, _ = written(tmp_path)
    model = path / "Data" / "com.apple.CoreML" / "model.mlmodel"
    if damage == "empty":
        shutil.rmtree(path)
        path.mkdir()
    elif damage == "truncated":
        model.write_bytes(model.read_bytes()[:-100])
    else:
        (path / "Manifest.json").write_text("{")
    with pytest.raises(export.FileError, match="m.mlpackage: cannot be read: ") as error:
        coreml_file.read_coreml_metadata(path)
    assert "\n" not in str(error.value)


@off_macos
def test_the_command_says_that_it_was_not_run(tmp_path, capsys):
    words = ["export", "hwl_mobilenetv3", "--init", "random", "--size", "64x64", "--to", "coreml"]
    assert cli.main([*words, "-o", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "not run" in text and "was not run, because Core ML runs on macOS only" in text


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", ["lite_csw_hrnet_18", "litepose_s"])
def test_networks(name, precision, tmp_path):
    model = jaxpose.create_model(name)
    variables = initialized(model, (64, 64))
    options = {"metadata": json.loads('{"jaxpose": "test"}'), "precision": precision}
    path = tmp_path / "m.mlpackage"
    export.to_coreml(model, variables, (64, 64), path, **options)
    export.check_coreml(model, variables, (64, 64), path, **options)
