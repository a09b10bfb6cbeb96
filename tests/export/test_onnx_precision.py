"""ONNX files in float16 and int8."""

import numpy as np
import pytest

from jaxpose import PoseEstimator, export, ops
from jaxpose.export import command
from jaxpose.export.targets import CALIBRATED, Options
from tests.helpers.networks import Function, initialized, run_jax, source_of, weight
from tests.helpers.precisions import METADATA, SIZE, both, crops, errors, heatmaps, normalized

PRECISIONS = pytest.mark.parametrize("precision", ["fp16", "int8-static"])


def written(path, precision, batch=None, calibration=None):
    model = Function(both)
    variables = initialized(model, SIZE)
    if precision in CALIBRATED:
        calibration = crops(7) if calibration is None else calibration
    options = {"metadata": METADATA, "precision": precision, "batch": batch}
    export.to_onnx(model, variables, SIZE, path, calibration=calibration, **options)
    return model, variables


def largest_error(path, model, variables):
    x = normalized(3)
    return max(errors(export.run_file(path)(x), run_jax(model, variables, x)))


@PRECISIONS
@pytest.mark.parametrize("batch", [None, 2])
def test_names_metadata_and_batch_stay(precision, batch, tmp_path):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "m.onnx"
    model, variables = written(path, precision, batch)
    assert export.read_metadata(path) == METADATA | {"precision": precision}
    stored = onnx.load(path)
    onnx.checker.check_model(stored, full_check=True)
    float32 = onnx.TensorProto.FLOAT
    for value in (*stored.graph.input, *stored.graph.output):
        size = value.type.tensor_type.shape.dim[0]
        assert (size.dim_value or size.dim_param) == (batch or "batch")
        assert value.type.tensor_type.elem_type == float32
    assert [value.name for value in stored.graph.output] == ["maps", "tags"]
    # Without VNNI instructions, the sum of two int8 products saturates at 16 bits: 0.07 was seen.
    limits = {"fp16": (1e-6, 3e-3), "int8-static": (1e-4, 0.1)}[precision]
    assert limits[0] < largest_error(path, model, variables) < limits[1]


@pytest.mark.parametrize("precision, share", [("fp16", 0.55), ("int8-static", 0.4)])
def test_weights_take_less_space(precision, share, tmp_path):
    pytest.importorskip("onnx")
    full, small = tmp_path / "full.onnx", tmp_path / "small.onnx"
    written(full, "fp32")
    written(small, precision)
    assert small.stat().st_size < share * full.stat().st_size


def test_kernels_have_a_scale_per_channel(tmp_path):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "m.onnx"
    written(path, "int8-static")
    stored = {x.name: onnx.numpy_helper.to_array(x) for x in onnx.load(path).graph.initializer}
    kernels = {name: x for name, x in stored.items() if x.dtype == np.int8 and x.ndim == 4}
    shapes = sorted(x.shape for x in kernels.values())
    assert shapes == [(17, 64, 1, 1), (64, 3, 4, 4), (64, 64, 3, 3)]
    for name, kernel in kernels.items():
        assert stored[name.replace("_quantized", "_scale")].shape == kernel.shape[:1]


def test_ranges_come_from_the_images(tmp_path):
    pytest.importorskip("onnx")
    found = []
    for calibration in (crops(7), np.full((4, *SIZE, 3), 120, np.uint8)):
        model, variables = written(tmp_path / "m.onnx", "int8-static", calibration=calibration)
        found.append(largest_error(tmp_path / "m.onnx", model, variables))
    assert found[1] > 5 * found[0]  # gray images have narrow ranges


@PRECISIONS
def test_a_verified_file_estimates_poses(precision, tmp_path):
    pytest.importorskip("onnx")
    source = source_of(Function(heatmaps), "tiny", "topdown", SIZE)
    options = Options(precision, calibration=crops())
    path, agreement = command.export_file(source, "onnx", tmp_path, None, options)
    assert path.name == f"tiny_64x64_{precision}.onnx" and agreement.holds
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert PoseEstimator(path)(np.zeros((90, 70, 3), np.uint8)).keypoints.shape == (1, 17, 2)


def test_weights_beyond_float16_are_refused(tmp_path):
    pytest.importorskip("onnx")
    model = Function(lambda m, x: ops.conv(x, weight(m, "head", (1, 1, 3, 2), 1e6)))
    options = {"metadata": {"jaxpose": "test"}, "precision": "fp16"}
    variables = {"params": {"head": np.full((1, 1, 3, 2), 1e5, np.float32)}}
    with pytest.raises(export.ExportError, match="head.*100000 is beyond the range of float16"):
        export.to_onnx(model, variables, SIZE, tmp_path / "m.onnx", **options)
    assert list(tmp_path.iterdir()) == []


def test_static_needs_images():
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match="needs images to calibrate on"):
        written("never.onnx", "int8-static", calibration=crops(0))
