"""The `jaxpose` command; a verb is a module with `add_arguments(parser)` and `run(args) -> int`."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys

from jaxpose import memory
from jaxpose.interrupts import report_interrupts

# verb -> (module, help). A module is imported only when its verb is called, so --help is instant.
VERBS = {
    "models": (
        "jaxpose.summary.zoo",
        "list all models with parameters and MACs, published and ours",
    ),
    "summary": ("jaxpose.summary", "show parameters and MACs of one model by stage"),
    "predict": (
        "jaxpose.predict.command",
        "predict poses in images and videos; write drawings and JSON",
    ),
    "compare": (
        "jaxpose.predict.compare",
        "draw the poses of several networks side by side",
    ),
    "export": ("jaxpose.export.command", "export a model to verified files"),
    "weights": ("jaxpose.weights.command", "list the public checkpoints for `jaxpose import`"),
    "import": (
        "jaxpose.convert.command",
        "convert a public checkpoint to a run folder, by name or from a file",
    ),
    "benchmark": ("jaxpose.benchmark", "measure latency, training speed and the input pipeline"),
    "plan": (
        "jaxpose.plan.command",
        "compile the training step for a TPU slice, without a TPU: memory, time, traffic",
    ),
    "settings": (
        "jaxpose.config.command",
        "list settings with defaults and meanings, or the values of a recipe",
    ),
    "data": (
        "jaxpose.datacheck.command",
        "check a dataset before training and draw a sample sheet",
    ),
}


def main(argv: list[str] | None = None) -> int:
    """Parses the command line and runs the verb.

    Invalid input and files that cannot be read or written are reported in one line on stderr, with
    exit status 2. JAXPOSE_TRACEBACK=1 shows the traceback instead.

    Args:
      argv: arguments after the name of the program; None for those of the process.

    Returns:
      The exit status.
    """
    if argv is None:
        report_interrupts("jaxpose")  # also during the imports
        argv = sys.argv[1:]
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may have any bytes
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = argparse.ArgumentParser(
        prog="jaxpose", description="Lightweight human pose estimation in JAX"
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    chosen = next((word for word in argv if not word.startswith("-")), None)
    module = None
    for verb, (name, text) in VERBS.items():
        child = verbs.add_parser(verb, help=text, description=text)
        if verb == chosen:
            module = importlib.import_module(name)
            module.add_arguments(child)
    args, rest = parser.parse_known_args(argv)
    if rest and getattr(args, "file", "") is None and not rest[0].startswith("-"):
        args.file = rest.pop(0)  # argparse takes an optional file after options for absent
    if hasattr(args, "overrides"):  # --config.key=value, which argparse cannot declare
        args.overrides, rest = rest, []
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    memory.keep_freed()
    assert module is not None  # parse_args rejects everything else
    try:
        return module.run(args) or 0
    except KeyboardInterrupt:
        print(f"jaxpose {args.verb}: interrupted", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError) as error:
        if os.environ.get("JAXPOSE_TRACEBACK"):
            raise
        print(f"jaxpose {args.verb}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
