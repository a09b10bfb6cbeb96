"""Resizing in ONNX files: by scales, which OpenCV and other importers read."""

import numpy as np
import pytest

from jaxpose import ops
from jaxpose.export import onnx_builder
from tests.helpers.networks import Function, images, initialized, run_jax, run_onnx, weight

SIZE = (12, 16)


def test_scales_give_the_size_in_single_and_double_precision():
    for before in range(1, 65):
        for after in range(1, 129):
            scales = onnx_builder._scales((before, 2), (after, 4))
            if scales is None:
                assert after % before  # a whole factor is always exact
                continue
            assert scales.dtype == np.float32 and scales[1] == 2
            assert int(np.float32(before) * scales[0]) == int(before * float(scales[0])) == after


@pytest.mark.parametrize("method", ops.RESIZE_METHODS)
@pytest.mark.parametrize("size", [(24, 32), (25, 31), (7, 5)])
def test_scales_and_sizes_give_the_same_maps(size, method, tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    import cv2

    def resized(m, x):
        return ops.resize(ops.conv(x, weight(m, "lift", (1, 1, 3, 4))), size=size, method=method)

    model = Function(resized)
    variables, x = initialized(model, SIZE), images(SIZE, batch=3)
    files = [tmp_path / "scales.onnx", tmp_path / "sizes.onnx"]
    by_scales = run_onnx(model, variables, x, files[0])
    np.testing.assert_allclose(by_scales, run_jax(model, variables, x), rtol=1e-5, atol=1e-5)
    monkeypatch.setattr(onnx_builder, "_scales", lambda before, after: None)
    # ONNX Runtime has a kernel of its own for constant scales, which rounds differently.
    by_sizes = run_onnx(model, variables, x, files[1])
    np.testing.assert_allclose(by_scales, by_sizes, rtol=1e-6, atol=1e-6)
    for file in files:
        for node in onnx.load(file).graph.node:
            assert "axes" not in {attribute.name for attribute in node.attribute}
    monkeypatch.undo()
    if onnx_builder._scales(SIZE, size) is not None:
        cv2.dnn.readNetFromONNX(str(files[0]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["simplebaseline_mobilenetv2", "lite_hrnet_18"])
def test_opencv_computes_what_onnx_runtime_computes(name, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    import cv2

    import jaxpose

    model = jaxpose.create_model(name, num_keypoints=17)
    variables, x = initialized(model, (64, 64)), images((64, 64), batch=2)
    file = tmp_path / "m.onnx"
    expected = run_onnx(model, variables, x, file)
    network = cv2.dnn.readNetFromONNX(str(file))
    for image, heatmaps in zip(x, expected, strict=True):  # OpenCV reads one image per call
        network.setInput(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
        got = network.forward()[0].transpose(1, 2, 0)
        np.testing.assert_allclose(got, heatmaps, atol=1e-4 * abs(expected).max())
