"""Resizing in ONNX files: by scales, which OpenCV and other importers read."""

import numpy as np
import pytest

from jaxpose import ops
from jaxpose.export import onnx_forms
from tests.helpers.networks import Function, images, initialized, run_jax, run_onnx, weight

SIZE = (12, 16)


@pytest.mark.parametrize("method", ["bilinear", "nearest"])
def test_scales_give_the_size_and_the_pixels_in_single_and_double_precision(method):
    for before in range(1, 65):
        for after in range(1, 129):
            scales = onnx_forms.scales((before, 2), (after, 4), method)
            if scales is None:
                # A whole factor is always exact; so is every size, if pixels are interpolated.
                assert method == "nearest" and after % before
                continue
            scale, exact = scales[0], np.arange(after) * before // after
            assert scales.dtype == np.float32 and scales[1] == 2
            assert abs(scale * before / after - 1) < 4e-7
            for number in (np.float32, np.float64):
                assert int(number(before) * number(scale)) == after
                if method == "nearest":
                    pixels = np.floor(np.arange(after).astype(number) / number(scale))
                    np.testing.assert_array_equal(pixels, exact)


@pytest.mark.parametrize("method", ops.RESIZE_METHODS)
@pytest.mark.parametrize("size", [(24, 32), (25, 31), (7, 5)])
@pytest.mark.parametrize("batch", [None, 3])
def test_scales_and_sizes_give_the_same_maps(size, method, batch, tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    import cv2

    def resized(m, x):
        return ops.resize(ops.conv(x, weight(m, "lift", (1, 1, 3, 4))), size=size, method=method)

    model = Function(resized)
    variables, x = initialized(model, SIZE), images(SIZE, batch=3)
    files = [tmp_path / "scales.onnx", tmp_path / "sizes.onnx"]
    by_scales = run_onnx(model, variables, x, files[0], batch=batch)
    np.testing.assert_allclose(by_scales, run_jax(model, variables, x), rtol=1e-5, atol=1e-5)
    monkeypatch.setattr(onnx_forms, "scales", lambda before, after, method: None)
    # ONNX Runtime has a kernel of its own for constant scales, which rounds differently.
    by_sizes = run_onnx(model, variables, x, files[1], batch=batch)
    np.testing.assert_allclose(by_scales, by_sizes, rtol=1e-5, atol=1e-5)
    kinds = [[node.op_type for node in onnx.load(file).graph.node] for file in files]
    # Sizes of an open batch are computed; where scales are not exact, both files have them.
    computed = ["Shape", "Slice", "Concat"] if batch is None else []
    assert kinds[1] == ["Conv", *computed, "Resize"]
    monkeypatch.undo()
    if onnx_forms.scales(SIZE, size, method) is not None:
        assert kinds[0] == ["Conv", "Resize"]
        cv2.dnn.readNetFromONNX(str(files[0]))
