"""int8 LiteRT files: their size, their errors, their names and what they need."""

import importlib
import sys

import jax
import numpy as np
import pytest

from jaxpose import PoseEstimator, cli, export
from jaxpose.export import command
from jaxpose.export.litert import quantize
from jaxpose.export.targets import CALIBRATED, Options
from jaxpose.runtimes import FileError
from jaxpose.runtimes.litert_file import open_litert, read_litert_metadata
from tests.helpers.networks import Function, initialized, run_jax, source_of
from tests.helpers.precisions import METADATA, SIZE, both, crops, errors, heatmaps, normalized

PRECISIONS = pytest.mark.parametrize("precision", list(quantize.RECIPES))
LARGEST = {"int8-weight-only": 0.02, "int8-dynamic": 0.03, "int8-static": 0.1}  # of the outputs


def written(folder, precision, function=both):
    model = Function(function)
    variables = initialized(model, SIZE)
    path = folder / f"{precision}.tflite"
    names = METADATA if function is both else {"jaxpose": "test"}
    options = {"calibration": crops()} if precision in CALIBRATED else {}
    export.to_litert(model, variables, SIZE, path, metadata=names, precision=precision, **options)
    return path, model, variables


@PRECISIONS
def test_outputs_keep_names_order_and_values(precision, tmp_path, capfd):
    pytest.importorskip("ai_edge_quantizer")
    path, model, variables = written(tmp_path, precision)
    printed = capfd.readouterr()
    assert printed.out == "" and "Calibration" not in printed.err
    assert read_litert_metadata(path) == METADATA | {"layout": "NHWC", "precision": precision}
    interpreter = importlib.import_module("ai_edge_litert.interpreter")
    runner = interpreter.Interpreter(str(path)).get_signature_runner("serving_default")
    assert list(runner.get_input_details()) == ["image"]
    assert sorted(runner.get_output_details()) == ["maps", "tags"]
    x = normalized(2)
    outputs = open_litert(path)[1](x)
    assert {output.dtype for output in outputs} == {np.dtype(np.float32)}
    for error in errors(outputs, run_jax(model, variables, x)):
        assert 1e-4 < error < LARGEST[precision]


@PRECISIONS
def test_kernels_are_int8_with_a_scale_per_channel(precision, tmp_path):
    pytest.importorskip("ai_edge_quantizer")
    path, *_ = written(tmp_path, precision, heatmaps)
    full, *_ = written(tmp_path, "fp32", heatmaps)
    assert path.stat().st_size < 0.35 * full.stat().st_size
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    (graph,) = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0).subgraphs
    kernels = [t for t in graph.tensors if len(t.shape) == 4 and t.shape[0] in (64, 17)]
    scales = {t.shape[0]: len(t.quantization.scale) for t in kernels if t.type == 9}  # INT8
    assert scales == {64: 64, 17: 17}
    image, output = (graph.tensors[i[0]].type for i in (graph.inputs, graph.outputs))
    assert (image, output) == (schema.TensorType.FLOAT32, schema.TensorType.FLOAT32)


def test_metadata_and_weights_behind_the_flatbuffer(tmp_path):
    """The quantizer puts contents of 1024 bytes and more at the end of the file."""
    pytest.importorskip("ai_edge_quantizer")
    model = Function(heatmaps)
    variables, path = initialized(model, SIZE), tmp_path / "m.tflite"
    metadata = {"jaxpose": "test", "skeleton": "x" * 5000}
    export.to_litert(model, variables, SIZE, path, metadata=metadata, precision="int8-dynamic")
    assert read_litert_metadata(path)["skeleton"] == metadata["skeleton"]
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(FileError, match="cannot be read: truncated or damaged"):
        open_litert(path)


@PRECISIONS
def test_a_verified_file_estimates_poses(precision, tmp_path):
    pytest.importorskip("ai_edge_quantizer")
    source = source_of(Function(heatmaps), "tiny", "topdown", SIZE)
    options = Options(precision, calibration=crops())
    path, agreement = command.export_file(source, "litert", tmp_path, None, options)
    assert path.name == f"tiny_64x64_{precision}.tflite" and agreement.holds
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert PoseEstimator(path)(np.zeros((90, 70, 3), np.uint8)).keypoints.shape == (1, 17, 2)


def test_ranges_come_from_the_images(tmp_path):
    pytest.importorskip("ai_edge_quantizer")
    model = Function(heatmaps)
    variables = initialized(model, SIZE)
    found = []
    for calibration in (crops(), np.full((4, *SIZE, 3), 120, np.uint8)):
        path = tmp_path / "m.tflite"
        options = {"precision": "int8-static", "calibration": calibration}
        export.to_litert(model, variables, SIZE, path, metadata={"jaxpose": "test"}, **options)
        x = normalized(2)
        found += errors([export.run_file(path)(x)], [run_jax(model, variables, x)])
    assert found[1] > 5 * found[0]  # gray images have narrow ranges


def test_static_needs_images():
    pytest.importorskip("ai_edge_litert")
    model = Function(heatmaps)
    variables = initialized(model, SIZE)
    options = {"metadata": {}, "precision": "int8-static"}
    with pytest.raises(ValueError, match="needs images to calibrate on"):
        export.to_litert(model, variables, SIZE, "never.tflite", **options)


def test_an_unknown_precision_is_refused():
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(ValueError, match="did you mean 'int8-static'"):
        export.to_litert(None, {}, SIZE, "never.tflite", metadata={}, precision="int8-statik")


def test_a_missing_quantizer_is_one_line(monkeypatch, capsys):
    pytest.importorskip("ai_edge_litert")
    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", None)
    words = ["hwl_mobilenetv3", "--init", "random", "--to", "litert", "--precision", "int8-dynamic"]
    assert cli.main(["export", *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "pip install ai-edge-quantizer" in error


@PRECISIONS
def test_a_collapsed_file_leaves_nothing(precision, tmp_path, monkeypatch):
    pytest.importorskip("ai_edge_quantizer")
    source = source_of(Function(heatmaps), "tiny", "topdown", SIZE)
    empty = jax.tree.map(np.zeros_like, source.variables)
    to_litert = export.to_litert
    monkeypatch.setattr(
        export, "to_litert", lambda model, _, *rest, **kw: to_litert(model, empty, *rest, **kw)
    )
    with pytest.raises(export.MismatchError, match="does not agree"):
        command.export_file(
            source, "litert", tmp_path, None, Options(precision, calibration=crops())
        )
    assert list(tmp_path.iterdir()) == []
