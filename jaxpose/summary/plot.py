"""`jaxpose models --plot`: published scores against multiply-adds and against measured latency."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxpose import models, tasks
from jaxpose.choices import choose_from
from jaxpose.files import check_outputs, expand, path_argument
from jaxpose.models.published import Row
from jaxpose.summary.counting import count
from jaxpose.wording import quantity

# Dataset of `published.Row` -> title of its panel.
PANELS = {
    "coco": "COCO val2017, AP as published",
    "coco test-dev": "COCO test-dev2017, AP as published",
    "crowdpose": "CrowdPose test, AP as published",
    "mpii": "MPII val, PCKh@0.5 as published",
    "coco-wholebody": "COCO-WholeBody val, AP of the whole body as published",
}
_MARKERS = ("o", "s", "^", "D")
_COLORS = ("#3b6ea8", "#d1495b", "#2f6f4f", "#8d5a97")
_MACS = "multiply-adds of one image, G (exact, counted here)"


class Point(NamedTuple):
    """A published score of a model at one size. `x` is in G or ms."""

    model: str
    row: Row
    x: float

    @property
    def label(self) -> str:
        """Model and input size."""
        return f"{self.model} {_size(self.row)}"


def add_arguments(parser: Any) -> None:
    """Adds the arguments of the plot to those of `jaxpose models`."""
    parser.add_argument(
        "--plot",
        metavar="FILE.png",
        type=path_argument,
        help="draw published scores against multiply-adds (needs matplotlib)",
    )
    parser.add_argument(
        "--latency",
        nargs="+",
        default=[],
        metavar="JSON",
        type=path_argument,
        help="with --plot: also plot scores against the latency in these files of "
        "`jaxpose benchmark networks --json JSON`",
    )
    parser.add_argument(
        "--dataset",
        nargs="+",
        default=list(PANELS),
        metavar="NAME",
        help=f"with --plot: only these datasets, of {', '.join(map(repr, PANELS))}",
    )


def plot(
    file: str | pathlib.Path,
    latency: Sequence[str | pathlib.Path] = (),
    datasets: Sequence[str] = tuple(PANELS),
) -> str:
    """Draws one panel per dataset, and one more with latencies; returns a line for the log.

    Raises:
      ValueError: an unknown dataset, a file that is not of `jaxpose benchmark networks`, or one of
        them that the plot would overwrite.
      ImportError: matplotlib is not installed; the message has the command that installs it.
    """
    for name in datasets:
        if name not in PANELS:
            raise ValueError(f"--dataset {name!r}: {choose_from(name, PANELS)}")
    file, inputs = expand(file), [expand(path) for path in latency]
    check_outputs([file], inputs)
    measured, terms = read_latency(inputs)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("matplotlib is not installed: pip install 'jaxpose[plots]'") from error
    rows = [(name, row) for name in models.list_models() for row in first_rows(name)]
    rows = [(name, row) for name, row in rows if row.dataset in datasets]
    panels = []
    for dataset in datasets:
        chosen = [(name, row) for name, row in rows if row.dataset == dataset]
        panels.append((PANELS[dataset], _MACS, [_counted(name, row) for name, row in chosen]))
        timed = [
            Point(name, row, measured[name, _size(row)])
            for name, row in chosen
            if (name, _size(row)) in measured
        ]
        if timed:
            panels.append((f"{PANELS[dataset]}; latency measured", terms, timed))
    if measured and not any(x_label == terms for _, x_label, _ in panels):
        raise ValueError(
            f"no scores are published for the models and sizes in {', '.join(map(str, inputs))}"
        )
    figure = Figure(figsize=(13, 8.5 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    every_axes = figure.subplots(len(panels), squeeze=False)[:, 0]
    for axes, (title, x_label, points) in zip(every_axes, panels, strict=True):
        draw_panel(axes, title, x_label, points)
    figure.canvas.draw()  # the layout; labels are placed in its pixels
    for axes, (_, _, points) in zip(every_axes, panels, strict=True):
        place_labels(axes, points)
    figure.set_layout_engine("none")
    figure.savefig(file, dpi=figure.dpi)
    total = sum(len(points) for _, _, points in panels)
    return f"{file}: {quantity(total, 'score')} in {quantity(len(panels), 'panel')}"


def first_rows(name: str) -> list[Row]:
    """Returns the first published row of a model for each dataset and input size."""
    rows: dict[tuple, Row] = {}
    for row in models.info(name).published:
        rows.setdefault((row.dataset, row.input_size), row)
    return list(rows.values())


def read_latency(
    files: Sequence[str | pathlib.Path],
) -> tuple[dict[tuple[str, str], float], str]:
    """Returns (model, "HxW") -> ms, and the conditions of the measurement for an axis.

    Raises:
      ValueError: a file has another form, or the files were measured under other conditions.
    """
    measured: dict[tuple[str, str], float] = {}
    conditions: dict[str, str] = {}
    for file in files:
        try:
            content = json.loads(pathlib.Path(file).read_bytes())
            terms = f"{content['terms']['onnx']}\n{content['terms']['host']}"
            rows = {(row["model"], row["input"]): float(row["onnx_ms"]) for row in content["rows"]}
        except (OSError, ValueError, KeyError, TypeError):
            raise ValueError(
                f"{file}: not a file of `jaxpose benchmark networks MODEL... --json FILE`"
            ) from None
        conditions[terms] = os.fspath(file)
        measured |= rows
    if len(conditions) > 1:
        raise ValueError(
            f"{' and '.join(conditions.values())} were measured under different conditions"
        )
    return measured, next(iter(conditions), "")


def draw_panel(axes: Any, title: str, x_label: str, points: Sequence[Point]) -> None:
    """Draws the scores of one dataset; sizes of a model are connected."""
    of_task: dict[str, list[Point]] = {}
    of_model: dict[str, list[Point]] = {}
    for point in points:
        of_task.setdefault(models.task_name(point.model), []).append(point)
        of_model.setdefault(point.model, []).append(point)
    for members in of_model.values():
        ordered = sorted((p.x, p.row.score) for p in members)
        axes.plot(*zip(*ordered, strict=True), color="#bbbbbb", linewidth=0.8, zorder=1)
    for number, name in enumerate(tasks.TASKS):
        if name in of_task:
            x, y = [p.x for p in of_task[name]], [p.row.score for p in of_task[name]]
            axes.scatter(
                x, y, s=28, zorder=3, label=tasks.get(name).TITLE,
                marker=_MARKERS[number % len(_MARKERS)], color=_COLORS[number % len(_COLORS)],
            )  # fmt: skip
    axes.set(title=title, xlabel=x_label, xscale="log")
    axes.xaxis.set_major_formatter("{x:g}")
    if points and max(p.x for p in points) < 10 * min(p.x for p in points):
        axes.xaxis.set_minor_formatter("{x:g}")  # no power of ten, or one, is on the axis
    else:
        axes.xaxis.set_minor_formatter("")
    axes.margins(0.08)
    axes.grid(alpha=0.25, which="both")
    axes.legend(loc="lower right")


def place_labels(axes: Any, points: Sequence[Point]) -> None:
    """Writes model and size next to each point, at the nearest place that is free."""
    renderer = axes.figure.canvas.get_renderer()
    frame = axes.get_window_extent(renderer)
    places = axes.transData.transform([(p.x, p.row.score) for p in points])
    taken = [np.array([x - 5, y - 5, x + 5, y + 5]) for x, y in places]
    legend = axes.get_legend().get_window_extent(renderer)
    taken.append(np.array([legend.x0, legend.y0, legend.x1, legend.y1]))
    directions = [np.pi * n / 8 for n in (0, 8, 4, 12, 2, 14, 6, 10, 1, 15, 7, 9, 3, 13, 5, 11)]
    for point, (x, y) in sorted(zip(points, places, strict=True), key=lambda pair: tuple(pair[1])):
        white = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5}
        text = axes.text(0, 0, point.label, fontsize=7.5, transform=None, zorder=4, bbox=white)
        size = text.get_window_extent(renderer)
        half = np.array([size.width / 2 + 2, size.height / 2 + 1])
        best, least = None, np.inf
        for distance in range(7, 130, 6):
            for angle in directions:
                # The nearest point of the label is about `distance` from the point.
                way = np.array([np.cos(angle), np.sin(angle)])
                center = np.array([x, y]) + way * distance + np.sign(way.round(6)) * half
                box = np.concatenate([center - half, center + half])
                inside = (
                    box[0] >= frame.x0
                    and box[1] >= frame.y0
                    and box[2] <= frame.x1
                    and box[3] <= frame.y1
                )
                covered = sum(_overlap(box, other) for other in taken)
                if inside and covered < least:
                    best, least = box, covered
            if least == 0:
                break
        if best is None:
            best = np.concatenate([(x, y) - half, (x, y) + half])
        taken.append(best)
        text.set_position((best[0] + 2, best[1] + 1 - (size.y0 if size.y0 < 0 else 0)))
        nearest = np.clip((x, y), best[:2], best[2:])
        if np.hypot(*(nearest - (x, y))) > 10:
            ends = axes.transData.inverted().transform([nearest, (x, y)])
            axes.plot(*ends.T, ":", color="#555555", linewidth=0.8, zorder=2)


def _overlap(box: np.ndarray, other: np.ndarray) -> float:
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    return float(np.prod(np.maximum(sides, 0)))


def _counted(name: str, row: Row) -> Point:
    return Point(name, row, count(name, row.input_size, row.num_keypoints).macs / 1e9)


def _size(row: Row) -> str:
    return f"{row.input_size[0]}x{row.input_size[1]}"
