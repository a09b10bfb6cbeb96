"""The input benchmark names every stage, also when pictures are damaged."""

import pathlib
import subprocess
import sys

import pytest

from input_pipeline import benchmark


def test_every_stage_has_a_rate(config):
    (pathlib.Path(config.data.root) / "images" / "train01.png").write_bytes(b"")
    config.max_bad_fraction = 0.5
    rates = benchmark.measure(config, examples=8, steps=2)
    assert list(rates) == ["read", "decode", "augment", "one thread", "graph"]
    assert all(rate > 0 for rate in rates.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    "program,arguments,said",
    [
        ("benchmark", ["--config.batch_sise=3"], "did you mean --config.batch_size?"),
        ("benchmark", ["--config.batch_size=many"], "batch_size=many"),
        # Switches of the network are taken, as train.py takes them; they do not matter here.
        ("benchmark", ["--config.model_options.cbam=False", "--config.data.root=/no"], "/no/"),
        ("tfds_builders", ["--config.data.storag=tfds"], "did you mean --config.data.storage?"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(program, arguments, said, repository):
    command = [sys.executable, "-m", f"input_pipeline.{program}"]
    done = subprocess.run(
        [*command, "--config=configs/check_topdown.py", *arguments],
        cwd=repository, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert last.startswith(f"{program}.py: ") and said in last
