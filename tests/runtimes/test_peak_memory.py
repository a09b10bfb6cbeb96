"""The memory of one file, measured in a process of its own."""

import subprocess
import sys

import pytest

from jaxpose.runtimes import peak_memory
from tests.helpers import tiny_files


@pytest.mark.slow
def test_the_memory_is_that_of_the_file(tmp_path):
    pytest.importorskip("onnxruntime")
    path = tiny_files.write(tmp_path / "a.onnx")
    few = peak_memory.own_memory_mb(path, threads=1)
    many = peak_memory.own_memory_mb(path, threads=1, batch=2048)  # 25 MB of images alone
    assert 0 < few < 100 and many > few + 25


def test_the_peak_of_this_process():
    code = (
        "from jaxpose.runtimes.peak_memory import peak_mb; before = peak_mb(); "
        "held = b'1' * 64 * 2**20; print(before, peak_mb())"
    )  # in a process of its own, which has no freed memory to use again
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    before, after = map(float, printed.split())
    assert 60 < after - before < 100 and after < 1e3


def test_a_file_that_cannot_run_is_one_line(tmp_path):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "a.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(ValueError, match="memory could not be measured: .*cannot be read") as error:
        peak_memory.own_memory_mb(path, threads=1)
    assert "\n" not in str(error.value)
