"""`jaxpose models --markdown`: docs/zoo.md, every published number beside what is counted here.

One table a paper. Nothing in the models is tuned to close a gap; a row that cannot agree says why.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

from jaxpose import models, tables, tasks
from jaxpose.models.published import MODELS, ModelInfo, Row
from jaxpose.summary.counting import Count, count

COMMAND = "jaxpose models --markdown > docs/zoo.md"

HEADER = (
    "model",
    "input",
    "joints",
    "parameters",
    "multiply-adds",
    "counted M / G",
    "published M / G",
    "convention",
    "score",
    "source",
    "≠ because",
)

_TERMS = """\
*Parameters* and *multiply-adds* are exact: all parameters, and the multiply-adds of convolutions
for one image, as `jaxpose summary MODEL` lists them stage by stage. Papers count in other ways;
*counted* is this library in the convention of the row's source, *published* what is printed there,
both in millions of parameters and in G of what the source calls FLOPs or MACs. The last column has
the reason where the two differ at the printed digits, or where what they agree on is not the truth;
everywhere else they agree. *Score* is the source's, never ours: COCO AP on val2017 (or as said)
with flip test, top-down networks on detector boxes; CrowdPose AP on test; MPII PCKh@0.5 on val.

* `true`: the multiply-adds alone.
* `mmcv`: mmcv's counter; also biases, batch norm (2 an element), ReLU and pooling.
* `ptflops`: LitePose's counter; transposed convolutions at their output (four times too many), and
  batch norm, activations and pooling.
* `hrnet`: the summary in HRNet's code, 1 G = 2^30; transposed convolutions at their output, the
  parameters of a module as often as it is called (EL-HRNet's attention, EfficientNet's blocks).
* `higher`: the same, 1 G = 1e9.
* `torchstat`: Lite-HRNet's counter, 1 G = 2^30; also biases, batch norm, ReLU, pooling and the
  enlarging in a fusion.
* `torchstat1000`: the same, 1 G = 1000 * 2^20."""

_WITHOUT_MODEL = """\
Numbers of these papers' tables that belong to no network here:

* HigherHRNet-W16 and -W24 at 512x512 (WLitePose, Table III: 7.2 M / 12.5 G and 14.9 M / 25.3 G).
  No configuration of them is public, and no rule of widths, modules and blocks gives both rows.
  Scaling the widths alone gives 7.48 M / 16.9 G and 16.31 M / 30.0 G in the convention of the
  table's other rows, `ptflops`.
* Lite-HRNet-30 and Dite-HRNet-30 as WLitePose compares with them (Tables IV and V: 1.8 M, 2.4 G at
  256x256 and 7.2 G at 448x448). They are called top-down there, but the networks above have 0.4 and
  1.3 G for a person; what was put on them, and how people were found, is not said.
* Large or older networks that the papers compare with and this library does not have: Hourglass and
  HRNet-W32 with associative embedding, PifPaf, PersonLab and OpenPose (Lightweight HRNet, Table
  VIII); SimpleBaseline of ResNet-152 (Lite CSW-HRNet, Table 3); ScaleNAS, Stacked Hourglass and
  Hourglass with U-Net (EL-HRNet, Tables 2 and 4).
* WLitePose's ablations: [wlitepose.md](wlitepose.md)."""


def document() -> str:
    """The document, as Markdown."""
    papers: dict[str, list[ModelInfo]] = {}
    for name in models.list_models():
        info = models.info(name)
        if info.paper:  # registered networks have none
            papers.setdefault(info.paper, []).append(info)
    lines = ["# The zoo: published numbers and counted ones", "", f"Made by `{COMMAND}`.", ""]
    lines += [_TERMS, ""]
    for paper, members in papers.items():
        title = f"{tasks.get(models.task_name(members[0].name)).TITLE}."
        rows = [HEADER, *(row for info in members for row in _rows(info))]
        lines += [f"## {paper}", "", title, "", tables.markdown(rows), ""]
    return "\n".join([*lines, "## Printed, and without a model", "", _WITHOUT_MODEL])


class Line(NamedTuple):
    """A model at one size: a published row beside what is counted here, or that count alone."""

    info: ModelInfo
    ours: Count
    row: Row | None

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """Input size, joints, parameters and multiply-adds, as they are printed."""
        height, width = self.ours.input_size
        exact = f"{self.ours.params:,}", f"{self.ours.macs:,}"
        return (f"{height}x{width}", f"{self.ours.num_keypoints}", *exact)


def lines_of(info: ModelInfo) -> Iterator[Line]:
    """A line for each published row; a model without one has a line at its own size."""
    for row in info.published:
        yield Line(info, count(info.name, row.input_size, row.num_keypoints), row)
    if not info.published:
        yield Line(info, count(info.name, models.default_size(info.name)), None)


def score_of(row: Row) -> str:
    """What the source reports."""
    return f"{row.dataset} {row.metric} {row.score}"


def _rows(info: ModelInfo) -> list[tuple[str, ...]]:
    """Cells of a model's rows."""
    rows: list[tuple[str, ...]] = []
    for line in lines_of(info):
        row = line.row
        cited: tuple[str, ...] = ("-",) * 5 + ("",)
        if row is not None:
            params, giga = line.ours.printed(row.convention)
            printed = "-" if row.params is None else f"{row.params}"
            cited = (
                f"{params:.2f} / {giga:.2f}",
                f"{printed} / {_shown(row)}",
                row.convention,
                score_of(row),
                row.source,
                _why(line.ours, row),
            )
        rows.append((f"`{info.name}`", *line.cells, *cited))
    return rows


def agrees(ours: Count, row: Row) -> bool:
    """Whether a published row is what its convention counts, rounded to the digits printed."""
    params, giga = ours.printed(row.convention)
    pairs = [(giga, _shown(row))]
    if row.params is not None:
        pairs.append((params, f"{row.params}"))
    return all(f"{counted:.{_digits(printed)}f}" == printed for counted, printed in pairs)


def _why(ours: Count, row: Row) -> str:
    """The reason, where a row differs or counts parameters twice."""
    reasons = [] if agrees(ours, row) else [row.note]
    twice = ours.printed(row.convention)[0] - ours.params / 1e6
    if twice:
        reasons.append(f"{twice:.2f} M of the parameters are counted twice")
    return "; ".join(reasons)


def _shown(row: Row) -> str:
    """G as printed, with as many digits as the source has; two where it prints another unit."""
    return f"{row.gflops:.{_source_digits()[row.source]}f}"


@functools.cache
def _source_digits() -> dict[str, int]:
    digits: dict[str, int] = {}
    for model in MODELS:
        for row in model.published:
            known = digits.get(row.source, 0)
            digits[row.source] = max(known, min(2, _digits(f"{row.gflops}")))
    return digits


def _digits(number: str) -> int:
    return len(number.partition(".")[2])
