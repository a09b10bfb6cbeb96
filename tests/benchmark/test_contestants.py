"""The files that can be timed."""

import dataclasses

import pytest

from jaxpose.benchmark import contestants
from jaxpose.runtimes import RUNTIMES


def test_files_without_a_runtime_here_are_refused(tmp_path, monkeypatch):
    file = tmp_path / "a.tflite"
    file.touch()
    missing = dataclasses.replace(RUNTIMES["litert"], available=False)
    monkeypatch.setitem(RUNTIMES, "litert", missing)
    with pytest.raises(ValueError, match="a.tflite: litert files cannot be timed on this machine"):
        list(contestants.of_file(file, "a", [1], (32, 32), 1))
