"""Damaged, foreign and absent .tflite files, and an absent package: one line each."""

import importlib
import sys

import numpy as np
import pytest

from jaxpose import export, ops, runtimes
from jaxpose.runtimes.litert_file import open_litert, read_litert_metadata
from tests.helpers.networks import Function, initialized, weight

SIZE = (8, 8)


def write(path, metadata=None):
    pytest.importorskip("ai_edge_litert")
    model = Function(lambda m, x: ops.conv(x, weight(m, "kernel", (3, 3, 3, 40)), padding=1))
    variables = initialized(model, SIZE)
    export.to_litert(model, variables, SIZE, path, metadata=metadata or {"jaxpose": "test"})
    return path.read_bytes()


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 0.5, 0.9, 0.99])
def test_truncated_files_are_one_line(kept, tmp_path):
    path = tmp_path / "m.tflite"
    data = write(path)
    path.write_bytes(data[: int(kept * len(data))])
    for read in (read_litert_metadata, open_litert, runtimes.read_metadata, runtimes.run_file):
        with pytest.raises(ValueError, match="m.tflite: cannot be read: ") as error:
            read(path)
        assert "\n" not in str(error.value)


def test_other_files_are_one_line(tmp_path):
    path = tmp_path / "m.tflite"
    write(path)
    for content in (b"", b"PK\x03\x04 a zip archive", np.zeros(4096, np.uint8).tobytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="cannot be read: not a .tflite file"):
            runtimes.run_file(path)
    with pytest.raises(FileNotFoundError, match="absent.tflite"):
        runtimes.run_file(tmp_path / "absent.tflite")


def test_a_file_without_metadata_runs_but_is_not_ours(tmp_path):
    path = tmp_path / "m.tflite"
    write(path)
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    flatbuffers = importlib.import_module("flatbuffers")
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    model.metadata = []
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    assert runtimes.run_file(path)(np.zeros((2, *SIZE, 3))).shape == (2, *SIZE, 40)
    with pytest.raises(ValueError, match="not written by `jaxpose export`"):
        runtimes.read_metadata(path)


def test_a_missing_package_is_one_line(tmp_path, monkeypatch):
    path = tmp_path / "m.tflite"
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    for use in (runtimes.run_file, runtimes.read_metadata):
        with pytest.raises(ImportError, match="not installed: pip install ai-edge-litert"):
            use(path)
    model = Function(lambda m, x: x)
    with pytest.raises(ImportError, match="not installed: pip install ai-edge-litert"):
        export.to_litert(model, {}, SIZE, path, metadata={})
