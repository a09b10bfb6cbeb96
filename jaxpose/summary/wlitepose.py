"""`jaxpose models --paper wlitepose`: the sizes printed in the WLitePose paper, and ours.

Printed numbers are those of Tables I to X, in millions and 1e9. Computed numbers are from
`jaxpose.summary.count`, with multiply-adds in the convention "ptflops", which LitePose's own
printed numbers follow. No model is tuned to match a number.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from jaxpose import models, tables
from jaxpose.models.wlitepose_ablations import TABLES, TEXT_TOPOLOGY, Ablation
from jaxpose.summary.counting import Count, count

COMMAND = "jaxpose models --paper wlitepose > docs/wlitepose.md"
NUM_KEYPOINTS = 14  # of CrowdPose, the dataset of the ablations


class Case(NamedTuple):
    """A network with its options and its printed numbers (or None)."""

    label: str
    model: str
    options: Mapping[str, Any]
    params: float | None
    macs: float | None


def _network(label: str, model: str) -> Case:
    """A network with its numbers in Tables I to V."""
    published = models.info(model).published
    row = next(r for r in published if (r.dataset, r.source) == ("crowdpose", "WLitePose paper"))
    return Case(label, model, {}, row.params, row.gflops)


NETWORKS = (
    _network("LitePose-S", "litepose_s"),
    _network("LitePose-XS", "litepose_xs"),
    _network("WLitePose-S", "wlitepose_s"),
    _network("WLitePose-XS", "wlitepose_xs"),
)
ABLATIONS = tuple((table, row) for table, rows in TABLES.items() for row in rows)

_VARIANTS = (
    ("A: no pooling, k = 5, no batch norm in DFC", {"preset": "A"}),
    ("B: no pooling, k = 7", {"preset": "B"}),
    ("C: pooling, k = 5", {"preset": "C"}),
    ("literal, expansion 9", {"expansion": 9}),
)
_READ: tuple[tuple[str, Ablation | Case], ...] = (
    ("VI Exp-1", TABLES["VI"][1]),
    *((row.label, row) for row in NETWORKS[2:]),
)
CLOSEST = tuple(
    Case(f"{label}; {name}", row.model, {**options, **row.options}, row.params, row.macs)
    for label, options in _VARIANTS
    for name, row in _READ
)

_TERMS = """\
Parameters are in millions; multiply-adds are in 1e9 for one image with 14 keypoints, S at 448x448,
XS at 256x256. *Printed* numbers are from the paper. *Computed* numbers are from this library, in
the convention of LitePose's printed numbers (`ptflops`: transposed convolutions at their output
positions, two per element of a batch norm, one per element of an activation). *True* counts the
multiply-adds of convolutions only, like `jaxpose summary`. LitePose's own rows agree in all
digits."""

_ABLATIONS = """\
Each row is a recipe of `configs/` with some settings changed on the command line of `train.py`,
each with the prefix `--config.`. *AP* is that of the paper, on the CrowdPose test set; no row was
trained here."""

_TOPOLOGY = """\
In section III, stage 4 ends at 1/32 of the input. Fusions and deconvolutions then lead to 1/4, and
the light module of 32 channels to 1/2. Here, three fusion deconvolutions lead from 1/32 to 1/4. The
last one has 32 channels (S), so on COCO the light module has 66 input channels, as in the paper.
Inputs must be multiples of 64, because the DFC branch halves the maps of stage 4."""

_REASONS = """\
There is no public code, and the printed rows contradict the text, each other, or arithmetic:

* **The stages do not add up.** Blocks are replaced independently, so the increases of the four
  single stages in Table VII must sum to that of "All". Even with every rounding in their favor, the
  single rows add at least 0.87 M and 0.88 G to LitePose-S, but the row "All" adds at most 0.62 M
  and 0.57 G.
* **Stage 1 grows too much.** It has six blocks of 16 channels, so +0.12 M is 20 k more per block.
  The whole block of LitePose has 8.2 k, the DFC branch adds 0.5 k, and a 7x7 depthwise convolution
  on 16 channels instead of 96 saves 3.9 k.
* **Attention on pooled vectors costs almost nothing.** SE, CBAM and CA work on means and add at
  most 0.02 G to the block without attention. The printed numbers are 0.7 to 1.1 G above their
  baseline in Table X, and CA is 0.4 G above SE.
* **Moving the convolution up saves more than printed.** The 7x7 convolution on the channels of the
  input instead of six times as many saves 0.94 G, including all consequences; the printed saving is
  between 0.33 and 0.43 G.
* **The light module is light.** The printed increase is 0.22 to 0.32 M, but the module has 8.4 k
  parameters; a quarter of a million at 1/2 of the resolution would cost 12 G. The module also
  replaces LitePose's last fusion deconvolution and head, which cost more, so the total decreases.
* **32 channels in 3 groups** (section III-B) are impossible; this library uses 33 by default.
* **1/32 costs less.** In section III, the backbone ends at 1/32. The 5.0 G printed for LitePose are
  those of its code, which ends at 1/16; a stage at 1/32 has a quarter of the pixels.
* **S and XS need different blocks.** Expansion 9, 10, 12 instead of 6 gives S 3.41, 3.74, 4.40 M
  and XS 1.93, 2.11, 2.48 M; the printed numbers are 3.6 and 2.3.

The default, preset `literal`, follows sections III-B and III-C except for the 33 channels. The
stride of the backbone is that of LitePose's code, not of section III. It is smaller than LitePose.
In presets A, B and C, attention weights the expanded channels, contrary to eq. (11),
and the first block of a stage is LitePose's. Each of them comes close to a few printed numbers and
misses the rest (last table). They are fits, not evidence of the authors' code."""


def report() -> str:
    """The document, as Markdown."""
    return "\n".join(
        [
            "# WLitePose: printed and computed sizes",
            "",
            f"Generated by `{COMMAND}`.",
            "",
            _TERMS,
            "",
            "## Tables I to V: the networks",
            "",
            _table("network", NETWORKS),
            "",
            "## Tables VI to X: the ablations, preset `literal`",
            "",
            _ABLATIONS,
            "",
            _ablation_table(ABLATIONS),
            "",
            "## The topology of the text",
            "",
            _TOPOLOGY,
            "",
            _ablation_table(("", row) for row in TEXT_TOPOLOGY),
            "",
            "## Why the numbers cannot agree",
            "",
            _REASONS,
            "",
            "## The closest variants",
            "",
            _table("variant; row", CLOSEST),
        ]
    )


def _table(what: str, cases: tuple[Case, ...]) -> str:
    rows = [(case.label, f"`{_call(case)}`", *_sizes(case)) for case in cases]
    return tables.markdown([(what, "model", *_SIZES), *rows])


def _ablation_table(ablations: Iterable[tuple[str, Ablation]]) -> str:
    rows = [
        (
            f"{table} {row.label}".strip(),
            f"`{row.recipe}`",
            _settings(row),
            f"{row.ap}",
            *_sizes(row),
        )
        for table, row in ablations
    ]
    return tables.markdown([("table, row", "recipe", "settings", "AP", *_SIZES), *rows])


def _settings(row: Ablation) -> str:
    words = []
    for key, value in row.settings.items():
        quote = '"' if isinstance(value, tuple) else ""
        words.append(f"{key}={quote}{value}{quote}")
    return f"`{' '.join(words)}`" if words else ""


_SIZES = ("printed", "computed", "difference", "true")


def _sizes(case: Case | Ablation) -> tuple[str, str, str, str]:
    """Cells of a row with parameters and multiply-adds."""
    ours = computed(case)
    pairs = [(case.params, ours.params / 1e6), (case.macs, ours.ptflops / 1e9)]
    return (
        " / ".join("-" if p is None else f"{p}" for p, _ in pairs),
        " / ".join(f"{c:.3f}" for _, c in pairs),
        " / ".join(_difference(p, c) for p, c in pairs),
        f"{ours.macs / 1e9:.3f}",
    )


def computed(case: Case | Ablation) -> Count:
    """Our count of a row."""
    return _count(case.model, tuple(sorted(case.options.items())))


@functools.cache
def _count(model: str, options: tuple[tuple[str, Any], ...]) -> Count:
    return count(model, models.default_size(model), NUM_KEYPOINTS, **dict(options))


def _difference(printed: float | None, computed: float) -> str:
    if printed is None:
        return "-"
    return "none" if f"{computed:.1f}" == f"{printed:.1f}" else f"{computed - printed:+.2f}"


def _call(case: Case) -> str:
    options = "".join(f", {key}={value!r}" for key, value in case.options.items())
    return f"{case.model}{options}"
