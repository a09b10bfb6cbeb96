"""`jaxpose models`: all models, with our counts and the published numbers."""

from __future__ import annotations

import argparse

from jaxpose import models, tables
from jaxpose.summary import document, plot, wlitepose

PAPERS = {"wlitepose": wlitepose.report}

HEADER = (
    "model",
    "input",
    "K",
    "params",
    "MACs",
    "counted M",
    "counted G",
    "published M",
    "published G",
    "convention",
    "score",
    "source",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose models`."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--names", action="store_true", help="print only the names")
    what.add_argument(
        "--markdown",
        action="store_true",
        help="print Markdown, one table per paper, with reasons for differences",
    )
    what.add_argument(
        "--paper",
        choices=PAPERS,
        help="print Markdown that compares all sizes in one paper with ours",
    )
    plot.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Prints or draws the models."""
    if args.latency and not args.plot:
        raise ValueError("--latency needs --plot FILE.png")
    if args.plot:
        print(plot.plot(args.plot, args.latency, args.dataset))
    elif args.paper:
        print(PAPERS[args.paper]())
    elif args.markdown:
        print(document.document())
    elif args.names:
        print("\n".join(models.list_models()))
    else:
        print(zoo_table())
    return 0


def zoo_table() -> str:
    """One line per published row of every model, with our exact counts."""
    rows: list[tuple[str, ...]] = [HEADER]
    for name in models.list_models():
        for line in document.lines_of(models.info(name)):
            row = line.row
            counted: tuple[str, ...] = ("-",) * 2
            cited: tuple[str, ...] = ("-",) * 5
            if row is not None:
                millions, giga = line.ours.printed(row.convention)
                counted = (f"{millions:.2f}", f"{giga:.2f}")
                params = "-" if row.params is None else f"{row.params}"
                cited = (
                    params,
                    f"{row.gflops:.2f}",
                    row.convention,
                    document.score_of(row),
                    row.source,
                )
            rows.append((name, *line.cells, *counted, *cited))
    return tables.text(rows)
