"""`jaxpose benchmark input`: the speed of the input pipeline, measured by input_pipeline.benchmark.

The input pipeline imports TensorFlow and is only in a checkout, so it runs in a process of its own.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys

MODULE = "input_pipeline.benchmark"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose benchmark input`."""
    parser.add_argument(
        "--config",
        metavar="RECIPE",
        required=True,
        help="FILE.py or FILE.py:VARIANT; --config.key=value changes a setting, as in train.py",
    )
    parser.add_argument(
        "--steps", type=int, default=30, help="batches of the whole pipeline (default: 30)"
    )
    parser.add_argument(
        "--chip-speed",
        metavar="N|FILE",
        action="append",
        default=[],
        help="images per second that one chip trains, or a file of `jaxpose plan --json`: also "
        "prints how many cores feed it; may be repeated",
    )
    parser.set_defaults(overrides=[])  # --config.key=value: `cli.main`


def run(args: argparse.Namespace) -> int:
    """Runs the measurement and returns its exit status.

    Raises:
      ValueError: the current folder is not a checkout.
    """
    if not pathlib.Path(*MODULE.split(".")).with_suffix(".py").is_file():
        raise ValueError(
            "benchmark input measures input_pipeline, which is not installed: run "
            "the command in a checkout of the project"
        )
    words = [f"--config={args.config}", *args.overrides, f"--steps={args.steps}"]
    words += [f"--chip_speed={speed}" for speed in args.chip_speed]
    return subprocess.run([sys.executable, "-m", MODULE, *words]).returncode
