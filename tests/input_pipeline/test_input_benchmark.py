"""The input benchmark reports every stage, even when images are damaged."""

import pathlib
import subprocess
import sys
import types

import pytest

from input_pipeline import benchmark, tfds_builders


def test_every_stage_has_a_rate(config):
    (pathlib.Path(config.data.root) / "images" / "train01.png").write_bytes(b"")
    config.max_bad_fraction = 0.5
    rates = benchmark.measure(config, examples=8, steps=2)
    assert list(rates) == ["read", "decode", "augment", "one thread", "graph"]
    assert all(rate > 0 for rate in rates.values())


@pytest.mark.parametrize("program", [benchmark, tfds_builders])
def test_files_that_cannot_be_written_are_one_line(config, tmp_path, monkeypatch, capsys, program):
    (tmp_path / "file").write_text("text")
    config.data.storage = "tfds"
    config.data.tfds_dir = str(tmp_path / "file")
    monkeypatch.setattr(program, "_CONFIG", types.SimpleNamespace(value=config), raising=False)
    monkeypatch.setattr(program, "_STEPS", types.SimpleNamespace(value=1), raising=False)
    with pytest.raises(SystemExit) as exit_info:
        program.main()
    last = capsys.readouterr().err.strip().splitlines()[-1]
    name = pathlib.Path(program.__file__).name
    assert (
        exit_info.value.code == 2
        and last.startswith(f"{name}: ")
        and str(tmp_path / "file") in last
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "program,arguments,message",
    [
        ("benchmark", ["--config.batch_sise=3"], "did you mean --config.batch_size?"),
        ("benchmark", ["--config.batch_size=many"], "batch_size=many"),
        # Options of the network are accepted as in train.py, and have no effect here.
        (
            "benchmark",
            ["--config.model_options.cbam=False", "--config.data.root=/no"],
            "config.data.root=/no: no such folder",
        ),
        ("tfds_builders", ["--config.data.storag=tfds"], "did you mean --config.data.storage?"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(program, arguments, message, repository):
    command = [sys.executable, "-m", f"input_pipeline.{program}"]
    done = subprocess.run(
        [*command, "--config=configs/check_topdown.py", *arguments],
        cwd=repository, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert last.startswith(f"{program}.py: ") and message in last
