"""`jaxpose benchmark`: times of networks, exported files, grouping, training steps and input.

Results are printed with their conditions: runtime, threads, shapes, and what is not included. All
candidates are measured in turn in one process, so that a busy machine slows all of them equally.
"""

from __future__ import annotations

import argparse

from jaxpose.benchmark import (
    formats,
    grouping,
    hwl_table5,
    input_images,
    latency,
    networks,
    training,
)

_VERBS = {
    "latency": (
        latency,
        "time one forward pass of exported files, run folders and models, here or on a phone",
    ),
    "formats": (formats, "compare formats and precisions: errors, size, latency, operators"),
    "grouping": (grouping, "time a bottom-up network and the grouping of its outputs into people"),
    "train": (
        training,
        "measure the training step: examples per second, time to the first step, memory",
    ),
    "input": (
        input_images,
        "measure the images per second of the input pipeline alone, stage by stage",
    ),
    "networks": (networks, "compare several networks: size, latency, training step"),
    "hwl-table5": (
        hwl_table5,
        "measure the frames per second of the six networks in Table V of the HWL paper",
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose benchmark`, one subcommand per measurement."""
    verbs = parser.add_subparsers(dest="benchmark", required=True, metavar="WHAT")
    for name, (module, text) in _VERBS.items():
        module.add_arguments(verbs.add_parser(name, help=text, description=text))


def run(args: argparse.Namespace) -> int:
    """Runs the chosen measurement."""
    return _VERBS[args.benchmark][0].run(args)
