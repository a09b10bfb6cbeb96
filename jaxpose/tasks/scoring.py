"""The scores of a split, and functions for scoring that all tasks share."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxpose import metrics
from jaxpose.annotations import Dataset
from jaxpose.annotations.completion import Ids
from jaxpose.metrics.coco import Truth, read_truth
from jaxpose.tasks.comparison import Comparison


@dataclasses.dataclass(frozen=True)
class Subset:
    """The evaluated part of a split.

    Attributes:
      image_ids: of the evaluated images.
      annotation_ids: of the evaluated people; None means all people in these images.
    """

    image_ids: frozenset[int]
    annotation_ids: frozenset[int] | None = None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Scores of a split.

    Attributes:
      metrics: by name; COCO's as fractions, PCK and PCKh in percent.
      score: the metric that selects the best checkpoint.
      results: the COCO results list.
      notes: sentences about how the metrics were computed.
      predictions: of all examples, in the format of the task.
      comparison: annotated people with their predictions; None for detected boxes, which do not
        belong to annotations.
      truth: the annotated people that were scored; None for PCKh, which is not by OKS.
    """

    metrics: dict[str, float]
    score: float
    results: list[dict[str, Any]]
    notes: list[str]
    predictions: Any
    comparison: Comparison | None
    truth: Truth | None = None


@dataclasses.dataclass(frozen=True)
class Case:
    """One image of the report, with annotated and predicted poses.

    Attributes:
      image_id: of the image.
      caption: one line.
      annotated, predicted: keypoints [K, 2] and scores [K] of each person; without scores (None),
        all keypoints are drawn.
      region: (x0, y0, x1, y1), the part of the image to show; None shows the whole image.
    """

    image_id: int
    caption: str
    annotated: list[tuple[np.ndarray, np.ndarray | None]]
    predicted: list[tuple[np.ndarray, np.ndarray | None]]
    region: tuple[int, int, int, int] | None = None


def annotated_pose(comparison: Comparison, row: int | np.integer) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints [K, 2] of an annotated person, and scores [K]: 1 if labeled, else 0."""
    return comparison.keypoints[row], comparison.labeled[row].astype(np.float32)


def torso_pck(comparison: Comparison | None, dataset: Dataset) -> dict[str, float]:
    """PCK@0.2 by torso size, in percent; empty without a comparison or a torso."""
    if comparison is None or dataset.skeleton.torso is None:
        return {}
    pck = metrics.pck_torso(
        comparison.predicted, comparison.keypoints, comparison.labeled, dataset.skeleton
    )
    return {"PCK@0.2": pck["PCK@0.2"]}


def score_by_oks(
    dataset: Dataset,
    subset: Subset | None,
    results: list[dict[str, Any]],
    metric: str,
    area: str,
) -> tuple[dict[str, float], Truth]:
    """Computes AP and AR of COCO or CrowdPose.

    Args:
      dataset: the annotations.
      subset: the part of the dataset to score; None for all of it.
      results: the COCO results list, with the ids of the annotation file.
      metric: "coco" or "crowdpose".
      area: `config.eval.area`; CrowdPose's metric always takes the area of the box.

    Returns:
      The metrics by name, and the annotated people.

    Raises:
      ValueError: annotations that do not suit the metric.
    """
    with annotation_file(dataset, subset) as file:
        of_box = metric == "crowdpose" or area == "box"
        truth = read_truth(file, area_of_box=of_box, category=dataset.category)
    if metric == "crowdpose":
        return metrics.crowdpose(truth, results), truth
    return metrics.coco_keypoints(truth, results, dataset.skeleton.sigmas), truth


@contextlib.contextmanager
def annotation_file(dataset: Dataset, subset: Subset | None) -> Iterator[pathlib.Path]:
    """The annotation file to score against.

    For a subset, this is a temporary file with the annotations of the subset.
    """
    if subset is None:
        yield dataset.path
        return
    content = json.loads(dataset.path.read_bytes())
    image_id, person_id = Ids(content["images"]), Ids(content["annotations"])
    chosen = subset.annotation_ids
    content["annotations"] = [
        record
        for record in content["annotations"]
        if image_id(record["image_id"]) in subset.image_ids
        and (chosen is None or person_id(record["id"]) in chosen)
    ]
    content["images"] = [i for i in content["images"] if image_id(i["id"]) in subset.image_ids]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / dataset.path.name
        path.write_text(json.dumps(content), encoding="utf-8")
        yield path
