"""Plots of an analysis with matplotlib, which is optional."""

from __future__ import annotations

import pathlib

import numpy as np

from jaxpose.evaluation.analysis import Analysis, size_name
from jaxpose.evaluation.errors import KINDS

NAMES = ("precision_recall.png", "oks.png", "errors.png")
# Colors of the kinds of errors, distinguishable in gray and with color blindness.
COLORS = ("#2f6f4f", "#a6cf98", "#f2c14e", "#f78154", "#4d194d")
_BLUE = "#3b6ea8"


def draw_figures(folder: pathlib.Path, analysis: Analysis) -> list[tuple[str, str]]:
    """Draws the plots `NAMES` into a folder.

    Returns:
      (file name, caption) of each plot.

    Raises:
      ImportError: matplotlib is not installed; the message has the command that installs it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("matplotlib is not installed: pip install 'jaxpose[plots]'") from error

    curve = Figure(figsize=(6, 4.5), layout="constrained")
    axes = curve.subplots()
    for (name, precision), style in zip(analysis.curves().items(), ("-", "--", ":"), strict=True):
        if precision.min() >= 0:
            label = f"{name}, area {100 * precision.mean():.1f}"
            axes.plot(analysis.matching.recall, precision, style, label=label, linewidth=2)
            axes.legend(loc="lower left")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)

    names = analysis.keypoints
    tall = max(3.0, 1.2 + 0.24 * len(names))
    similar = Figure(figsize=(10, tall), layout="constrained")
    left, right = similar.subplots(1, 2)
    means = [analysis.by_keypoint[name]["similarity"] for name in names]
    left.barh(names, np.nan_to_num(means), color=_BLUE)
    left.invert_yaxis()
    left.set(xlabel="mean similarity (term of the OKS)", xlim=(0, 1), title="by keypoint")
    sizes = [size for size in analysis.sizes() if size["people"]]
    texts = [f"{size_name(size)}\n{size['people'] - size['missed']} people" for size in sizes]
    right.bar(texts, [size["oks"] or 0 for size in sizes], color=_BLUE)
    right.set(
        xlabel="square root of the area", ylabel="mean OKS", ylim=(0, 1), title="by person size"
    )
    for axes in (left, right):
        axes.grid(alpha=0.3, axis="x" if axes is left else "y")
        axes.set_axisbelow(True)

    kinds = Figure(figsize=(8, tall + 0.4), layout="constrained")
    axes = kinds.subplots()
    counts = analysis.errors.counts()
    counts = np.concatenate([counts.sum(axis=0, keepdims=True), counts])
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    start = np.zeros(len(shares))
    for number, kind in enumerate(KINDS):
        label = f"{kind} {shares[0, number]:.1f} %"
        axes.barh(["all", *names], shares[:, number], left=start, color=COLORS[number], label=label)
        start += shares[:, number]
    axes.invert_yaxis()
    axes.set(xlabel="labeled keypoints of matched people, %", xlim=(0, 100))
    kinds.legend(loc="outside upper center", ncols=len(KINDS), frameon=False)

    captions = (
        "Precision at each recall, for two OKS thresholds and the mean over the ten of AP.",
        "Mean similarity and OKS of people matched at an OKS of at least 0.5.",
        "Kinds of keypoint errors of people matched at an OKS of at least 0.1; the percentages in "
        "the legend are those of all keypoints.",
    )
    for name, figure in zip(NAMES, (curve, similar, kinds), strict=True):
        figure.savefig(folder / name, dpi=110)
    return list(zip(NAMES, captions, strict=True))
