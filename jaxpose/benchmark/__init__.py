"""`jaxpose benchmark`: latency of networks and files, of finding people, and of training steps.

Every figure is printed with its terms (runtime, threads, shapes, what is left out), and contestants
are measured in turns within one process, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import argparse

from jaxpose.benchmark import grouping, latency, networks, training

_VERBS = {
    "latency": (latency, "time of one forward pass: ONNX Runtime, PyTorch, JAX"),
    "grouping": (grouping, "bottom-up: time of the network, and from its maps to people"),
    "train": (training, "examples/s of the training step, time to the first one, memory"),
    "networks": (networks, "several networks in one table: counts, latency, training step"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb: one sub-verb for each kind of measurement."""
    verbs = parser.add_subparsers(dest="benchmark", required=True, metavar="WHAT")
    for name, (module, text) in _VERBS.items():
        module.add_arguments(verbs.add_parser(name, help=text, description=text))


def run(args: argparse.Namespace) -> int:
    """Runs the chosen measurement."""
    return _VERBS[args.benchmark][0].run(args)
