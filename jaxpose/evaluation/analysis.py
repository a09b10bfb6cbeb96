"""Analyzes errors: precision and recall, OKS by person size, kinds of keypoint errors."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from jaxpose.evaluation.errors import KINDS, NEAR, PRECISE, Errors, classify
from jaxpose.evaluation.matching import LOOSE, THRESHOLDS, Matching, match
from jaxpose.metrics.oks import oks
from jaxpose.skeletons import Skeleton
from jaxpose.tasks.scoring import Evaluation

Table = list[list[str]]  # first row: column names

# Limits of the square root of a person's area, in pixels. COCO's people are medium from 32 and
# large from 96.
SIZES = (0, 32, 64, 96, 192, math.inf)


@dataclasses.dataclass(frozen=True)
class Analysis:
    """The errors of an evaluation by OKS.

    Attributes:
      keypoints: names.
      matching: the annotated people with their results.
      similarity: [P], OKS of the results matched at 0.5; NaN without a match.
      errors: kinds of keypoint errors.
      by_keypoint: from `metrics.per_keypoint`.
    """

    keypoints: tuple[str, ...]
    matching: Matching
    similarity: np.ndarray
    errors: Errors
    by_keypoint: dict[str, dict[str, float]]

    def curves(self) -> dict[str, np.ndarray]:
        """Returns precision [101] by name: at OKS 0.50, at 0.75, and the mean of AP's ten."""
        precision = self.matching.precision
        return {
            "OKS 0.50": precision[THRESHOLDS.index(0.5)],
            "OKS 0.75": precision[THRESHOLDS.index(0.75)],
            "OKS 0.50:0.95": precision.mean(axis=0),
        }

    def sizes(self) -> list[dict[str, Any]]:
        """Returns people, missed people and mean OKS of the others, by `SIZES`."""
        side = np.sqrt(self.matching.area)
        rows = []
        for low, high in zip(SIZES[:-1], SIZES[1:], strict=True):
            values = self.similarity[(side >= low) & (side < high)]
            matched = values[~np.isnan(values)]
            rows.append(
                {
                    "from_px": low,
                    "to_px": high if math.isfinite(high) else None,
                    "people": len(values),
                    "missed": len(values) - len(matched),
                    "oks": float(matched.mean()) if len(matched) else None,
                }
            )
        return rows

    def size_table(self) -> Table:
        """Returns the table of `sizes`, without empty rows."""
        rows = [["person size", "people", "missed", "mean OKS"]]
        for size in filter(lambda size: size["people"], self.sizes()):
            mean = "-" if size["oks"] is None else f"{size['oks']:.3f}"
            rows.append([size_name(size), str(size["people"]), str(size["missed"]), mean])
        return rows

    def error_table(self, *, by_keypoint: bool) -> Table:
        """Returns the shares of the kinds of errors in percent, over all and of each keypoint."""
        counts = self.errors.counts()
        rows = [["keypoint errors", *(f"{kind} %" for kind in KINDS), "keypoints"]]
        named = [("all", counts.sum(axis=0))]
        if by_keypoint:
            named += list(zip(self.keypoints, counts, strict=True))
        for name, row in named:
            total = row.sum()
            shares = [f"{100 * n / total:.1f}" if total else "-" for n in row]
            rows.append([name, *shares, str(total)])
        return rows

    def as_json(self) -> dict[str, Any]:
        """Returns the content of analysis.json; a value that does not exist is null."""
        counts = self.errors.counts()
        matched = ~np.isnan(self.matching.loose).any(axis=(1, 2))

        def kinds(row: np.ndarray) -> dict[str, int]:
            return dict(zip(KINDS, row.tolist(), strict=True))

        return {
            "precision_recall": {
                "recall": self.matching.recall.round(2).tolist(),
                "precision": {
                    name: None if values.min() < 0 else values.round(5).tolist()
                    for name, values in self.curves().items()
                },
            },
            "by_size": self.sizes(),
            "by_keypoint": {
                name: {k: v if math.isfinite(v) else None for k, v in values.items()}
                for name, values in self.by_keypoint.items()
            },
            "errors": {
                "definition": f"people matched at OKS >= {LOOSE}; good: ks >= {PRECISE}; jitter: "
                f"ks >= {NEAR}; inversion: ks >= {NEAR} to another keypoint of the same person; "
                f"swap: ks >= {NEAR} to a keypoint of another person; miss: the rest",
                "matched_people": int(matched.sum()),
                "missed_people": int((~matched).sum()),
                "unmatched_results": self.matching.unmatched,
                "left_right_inversions": int(self.errors.mirrored.sum()),
                "all": kinds(counts.sum(axis=0)),
                "by_keypoint": {
                    name: kinds(row) for name, row in zip(self.keypoints, counts, strict=True)
                },
            },
        }


def analyze(
    evaluation: Evaluation, skeleton: Skeleton, by_keypoint: dict[str, dict[str, float]]
) -> Analysis:
    """Analyzes an evaluation by OKS.

    Args:
      evaluation: from `task.evaluate`.
      skeleton: of the annotations.
      by_keypoint: from `metrics.per_keypoint`.
    """
    assert evaluation.truth is not None
    matching = match(evaluation.truth, evaluation.results, skeleton.sigmas)
    similarity = oks(
        matching.strict, matching.keypoints, matching.area, skeleton.sigmas, matching.labeled
    )
    return Analysis(
        skeleton.joints, matching, similarity, classify(matching, skeleton), by_keypoint
    )


def size_name(size: dict[str, Any]) -> str:
    """Returns the limits of a size as text."""
    if size["to_px"] is None:
        return f"{size['from_px']} px and more"
    return f"{size['from_px']}-{size['to_px']} px"
