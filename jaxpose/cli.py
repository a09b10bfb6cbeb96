"""The `jaxpose` command: a verb is a module with `add_arguments(parser)` and `run(args) -> int`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from jaxpose import memory

# verb -> (module, help). A module is imported when its verb is called: `jaxpose --help` is instant.
VERBS = {
    "models": ("jaxpose.summary.zoo", "the zoo: parameters and MACs, published beside ours"),
    "summary": ("jaxpose.summary", "parameters and MACs per stage of one model"),
    "predict": ("jaxpose.predict.command", "draw the people of pictures, write COCO-format JSON"),
    "export": ("jaxpose.export.command", "write a verified ONNX or PyTorch file"),
    "import": ("jaxpose.convert.command", "a public PyTorch checkpoint as a run folder"),
    "benchmark": ("jaxpose.benchmark", "latency of files, time of training steps"),
    "settings": ("jaxpose.config.command", "settings with defaults and meanings, or of a recipe"),
    "data": ("jaxpose.datacheck", "check a dataset before training, draw a sample sheet"),
}


def main(argv: list[str] | None = None) -> int:
    """Parses the verb and runs it.

    Bad input, and files that cannot be read or written, become one line on stderr and exit status 2
    (JAXPOSE_TRACEBACK=1 shows where it was raised).
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="jaxpose", description="Lightweight pose estimation")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    chosen = next((word for word in argv if not word.startswith("-")), None)
    module = None
    for verb, (name, text) in VERBS.items():
        child = verbs.add_parser(verb, help=text, description=text)
        if verb == chosen:
            module = importlib.import_module(name)
            module.add_arguments(child)
    args = parser.parse_args(argv)
    memory.keep_freed()
    assert module is not None  # parse_args has refused everything else
    try:
        return module.run(args) or 0
    except (ValueError, OSError, ImportError) as error:
        if os.environ.get("JAXPOSE_TRACEBACK"):
            raise
        print(f"jaxpose {args.verb}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
