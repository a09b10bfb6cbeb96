"""The table at the end of `jaxpose export`: every file with its differences from the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxpose import tables
from jaxpose.runtimes import size_of
from jaxpose.tasks import Agreement
from jaxpose.tasks.agreement import MOVED, tolerance_of
from jaxpose.wording import quantity

if TYPE_CHECKING:
    from jaxpose.export.scores import Score


@dataclass(frozen=True)
class Entry:
    """A written and verified file.

    Attributes:
      path: of the file.
      target: export target.
      precision: of its weights.
      agreement: its differences from the model; None if this system has no runtime for it.
      fp32_path: where the target's float32 file of the network is, or would be.
      score: its metric and that of the model, if they were evaluated.
    """

    path: Path
    target: str
    precision: str
    agreement: Agreement | None
    fp32_path: Path
    score: Score | None = None

    @property
    def bytes(self) -> int:
        """Size of all files of the network."""
        return size_of(self.path)

    @property
    def share(self) -> float | None:
        """Size as a fraction of the float32 file's; None without one."""
        return self.bytes / size_of(self.fp32_path) if self.fp32_path.exists() else None

    @property
    def only_outputs(self) -> bool:
        """Whether the keypoints were not judged: random weights in reduced precision."""
        agreement = self.agreement
        return agreement is not None and agreement.tolerance != tolerance_of(self.precision)

    def as_json(self) -> dict[str, Any]:
        """The row of `--json`; null where a value does not exist or is not finite."""
        agreement, score = self.agreement, self.score
        distances = agreement.distances if agreement else None
        values = {
            "file": str(self.path),
            "target": self.target,
            "precision": self.precision,
            "bytes": self.bytes,
            "share_of_fp32": self.share,
            "run": agreement is not None,
            "error_max": agreement and agreement.error,
            "error_mean": agreement and agreement.mean_error,
            "keypoint_mean_px": distances and distances.mean,
            "keypoint_median_px": distances and distances.median,
            "keypoint_p99_px": distances and distances.p99,
            "keypoint_max_px": distances and distances.largest,
            "keypoints_moved": distances and distances.moved,
            "keypoints": distances and distances.keypoints,
            "ties": agreement and agreement.ties,
            "images": agreement and agreement.images,
            "keypoints_judged": agreement is not None and not self.only_outputs,
            "metric": score.metric if score else None,
            "metric_model": score.model if score else None,
            "metric_file": score.file if score else None,
            "metric_difference": score.difference if score else None,
        }
        return {key: _finite(value) for key, value in values.items()}


def as_text(entries: Sequence[Entry]) -> str:
    """The table, and sentences about its columns."""
    scored = [entry.score for entry in entries if entry.score]
    metric = scored[0].metric if scored else ""
    header = (
        "file,KB,% of fp32,precision,largest error %,mean error %,median px,p99 px,max px,"
        f">{MOVED:g} px %,keypoints,ties"
    ).split(",")
    rows = [header + [metric, "difference"] * bool(metric)]
    rows += [_cells(entry, bool(metric)) for entry in entries]
    run = [entry.agreement for entry in entries if entry.agreement]
    notes = []
    if run:
        notes.append(
            "error: difference of the outputs from those of the model, as a fraction of their "
            "largest value; px: distance of the keypoints from those of the model, "
            f"{quantity(run[0].images, 'image')}"
        )
    if any(agreement.ties for agreement in run):
        notes.append("ties: keypoints that rounding decides; they are left out")
    if any(entry.only_outputs for entry in entries):
        notes.append(
            "random weights: files of reduced precision are judged by their outputs alone, because "
            "keypoints mean nothing on the flat heatmaps of an untrained network"
        )
    notes += [
        f"{entry.path.name} was not run, because Core ML runs on macOS only. Its inputs, outputs, "
        "convolutions, weights and metadata were read back and compared with the model."
        for entry in entries
        if entry.agreement is None
    ]
    if scored:
        notes.append(f"{metric} of the model: {scored[0].model:.2f}")
    return "\n".join([tables.text(rows), *notes])


def _cells(entry: Entry, scored: bool) -> list[str]:
    agreement, score = entry.agreement, entry.score
    cells = [
        str(entry.path),
        f"{entry.bytes / 1024:.0f}",
        "-" if entry.share is None else f"{100 * entry.share:.1f}",
        entry.precision,
    ]
    cells += ["not run"] * 8 if agreement is None else _differences(agreement)
    if scored:
        cells += [f"{score.file:.2f}", f"{score.difference:+.2f}"] if score else ["-", "-"]
    return cells


def _differences(agreement: Agreement) -> list[str]:
    distances = agreement.distances
    return [
        f"{100 * agreement.error:.5f}",
        f"{100 * agreement.mean_error:.5f}",
        f"{distances.median:.4f}",
        f"{distances.p99:.4f}",
        f"{distances.largest:.4f}",
        f"{100 * distances.moved:.2f}",
        str(distances.keypoints),
        str(agreement.ties),
    ]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
