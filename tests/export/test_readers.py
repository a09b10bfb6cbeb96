"""ONNX files in every program that reads them: ONNX Runtime, OpenCV, OpenVINO, MNN and tract.

OpenCV is always installed; the others are skipped where they are missing
(`pip install openvino MNN tract`). The outputs are compared with PyTorch's, without the rewrites of
the export graph.
"""

import functools

import numpy as np
import pytest

import jaxpose
from jaxpose import export
from tests.export.test_walker import CASES
from tests.export.test_walker import SIZE as SMALL
from tests.helpers.networks import Function, calibrated, images, initialized, run_torch
from tests.helpers.readers import READERS
from tests.helpers.zoo import every

PAPERS = [
    "hwl_mobilenetv3",
    "wlitepose_s",
    "lite_csw_hrnet_18",
    "lightweight_hrnet_rm2",
    "el_hrnet_w32",
]
OTHERS = ["simplebaseline_mobilenetv2", "litepose_s", "lite_hrnet_18", "hrnet_w32"]
SIZE = (64, 96)
# Of the largest value. MNN rounds more: 1.3e-3 for EL-HRNet and 1.6e-4 for Lightweight HRNet, where
# every other program stays below 4e-5.
TOLERANCES = {name: 3e-3 if name == "mnn" else 1e-4 for name in READERS}


def channels_first(outputs):
    parts = outputs if isinstance(outputs, tuple) else (outputs,)
    return [np.asarray(part).transpose(0, 3, 1, 2) for part in parts]


def assert_reads(reader, path, x, expected):
    """The program reads the file and gives the expected outputs, image by image."""
    names = [f"heatmaps_{i}" if i else "heatmaps" for i in range(len(expected))]
    run = READERS[reader](path, (1, *x.shape[1:]), names)
    for i in range(len(x)):
        outputs = run(np.ascontiguousarray(x[i : i + 1]))
        for actual, whole in zip(outputs, expected, strict=True):
            assert actual.shape == whole[i : i + 1].shape
            difference = np.abs(actual - whole[i : i + 1]).max()
            assert difference <= TOLERANCES[reader] * np.abs(whole).max()


@pytest.mark.parametrize("batch", [None, 1])
@pytest.mark.parametrize("reader", ["onnxruntime", "opencv_classic", "opencv_new"])
@pytest.mark.parametrize("case", CASES)
def test_every_operator(case, reader, batch, tmp_path):
    for package in ("torch", "onnx", "onnxruntime"):
        pytest.importorskip(package)
    model, variables, x, expected = operator(case)
    path = tmp_path / "m.onnx"
    export.to_onnx(model, variables, SMALL, path, metadata={"jaxpose": "test"}, batch=batch)
    assert_reads(reader, path, x, expected)


@functools.cache
def operator(case):
    model = Function(CASES[case])
    variables, x = initialized(model, SMALL), images(SMALL)
    expected = run_torch(model, variables, x, fold_bn=False)
    return model, variables, x.transpose(0, 3, 1, 2), channels_first(expected)


@functools.cache
def network(name):
    """(model, variables, images, outputs of PyTorch), the outputs of order 1."""
    model = jaxpose.create_model(name)
    x = images(SIZE)
    variables = calibrated(model, x)
    expected = run_torch(model, variables, x, fold_bn=False)
    return model, variables, x.transpose(0, 3, 1, 2), channels_first(expected)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", every([*PAPERS, *OTHERS]))
def test_every_network(name, reader, tmp_path):
    for package in ("torch", "onnx", "onnxruntime"):
        pytest.importorskip(package)
    model, variables, x, expected = network(name)
    path = tmp_path / "m.onnx"
    export.to_onnx(model, variables, SIZE, path, metadata={"jaxpose": "test"})
    assert_reads(reader, path, x, expected)
