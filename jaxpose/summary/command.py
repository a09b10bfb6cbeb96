"""`jaxpose summary MODEL`: a table of stages, and the published numbers."""

from __future__ import annotations

import argparse

from jaxpose import models, tables, tasks
from jaxpose.models.sizes import parse_size
from jaxpose.summary.counting import CONVENTIONS, Count, count
from jaxpose.wording import quantity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose summary`."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a name from `jaxpose models`, or package.module:ClassName",
    )
    parser.add_argument("--size", metavar="HxW", help="input size (default: that of the model)")
    parser.add_argument(
        "--keypoints",
        type=int,
        metavar="K",
        help="number of keypoints (default: COCO's 17; 18 with the neck for part affinity fields)",
    )
    parser.add_argument(
        "--convention",
        default="true",
        metavar="|".join(CONVENTIONS),
        help="counting convention (default: true)",
    )


def run(args: argparse.Namespace) -> int:
    """Prints the table."""
    size = parse_size(args.size) if args.size else None
    num_keypoints, task = args.keypoints, models.info(args.model).task
    if num_keypoints is None:
        num_keypoints = 17 if task is None else tasks.get(task).network_keypoints(17)
    print(report(args.model, size, num_keypoints, args.convention))
    return 0


def report(
    name: str, size: tuple[int, int] | None, num_keypoints: int, convention: str = "true"
) -> str:
    """The text that `jaxpose summary` prints."""
    if convention not in CONVENTIONS:
        known = ", ".join(CONVENTIONS)
        raise ValueError(f"--convention {convention!r} is unknown; choose from {known}")
    info = models.info(name)
    result = count(name, size or models.default_size(name), num_keypoints)
    cost, params, _ = CONVENTIONS[convention]
    title = "MACs" if cost == "macs" else f"FLOPs ({convention})"

    def numbers(row):
        return f"{getattr(row, params):,}", f"{getattr(row, cost):,}"

    rows = [("stage", "output", "params", title)]
    for stage in result.stages:
        rows.append((stage.name, "x".join(map(str, stage.output)), *numbers(stage)))
    rows.append(("total", "", *numbers(result)))
    height, width = result.input_size
    lines = [f"{name}, {height}x{width}, {quantity(num_keypoints, 'keypoint')}", tables.text(rows)]
    return "\n".join([*lines, *_published(info, result)])


def _published(info: models.ModelInfo, result: Count) -> list[str]:
    """One line per published row with this input size and number of keypoints, with its note."""
    lines = []
    for row in info.published:
        if (row.input_size, row.num_keypoints) == (result.input_size, result.num_keypoints):
            params = "" if row.params is None else f"{row.params}M params, "
            counted = result.printed(row.convention)
            lines.append(
                f"published: {params}{row.gflops:.2f} G ({row.convention}), "
                f"{row.dataset} {row.metric} {row.score} ({row.source}); "
                f"here: {counted[0]:.1f}M, {counted[1]:.2f} G"
            )
            if row.note:
                lines.append(f"  {row.note}")
    return lines
