"""`jaxpose models`: every model with this library's counts beside the published numbers."""

from __future__ import annotations

import argparse

from jaxpose import models
from jaxpose.summary.command import align
from jaxpose.summary.counting import count

HEADER = (
    "model",
    "input",
    "K",
    "params",
    "MACs",
    "mmcv G",
    "published M",
    "published G",
    "score",
    "source",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose models`."""
    parser.add_argument("--names", action="store_true", help="names only")


def run(args: argparse.Namespace) -> int:
    """Prints the zoo."""
    print("\n".join(models.list_models()) if args.names else zoo_table())
    return 0


def zoo_table() -> str:
    """One line per published row of every model, with our exact counts first."""
    lines = [HEADER]
    for name in models.list_models():
        info = models.info(name)
        # A model without a published row is still listed, at its own size.
        cases = [(row.input_size, row.num_keypoints, row) for row in info.published]
        for size, keypoints, row in cases or [(info.input_size, 17, None)]:
            ours = count(name, size, keypoints)
            cited = ("-", "-", "-", "-")
            if row is not None:
                score = f"{row.dataset} {row.metric} {row.score}"
                cited = (f"{row.params}", f"{row.gflops:.2f}", score, row.source)
            lines.append(
                (
                    name,
                    f"{size[0]}x{size[1]}",
                    f"{keypoints}",
                    f"{ours.params:,}",
                    f"{ours.macs:,}",
                    f"{ours.mmcv / 1e9:.2f}",
                    *cited,
                )
            )
    return "\n".join(align(lines))
