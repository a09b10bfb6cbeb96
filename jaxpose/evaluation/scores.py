"""Scores of a split: COCO AP/AR or MPII PCKh, PCK of the torso beside them."""

import contextlib
import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

from ml_collections import ConfigDict

from jaxpose import annotations, metrics
from jaxpose.evaluation import mpii
from jaxpose.evaluation.predictions import Batch, Predict, Predictions, predict_all, truth_of


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Scores of a split.

    `metrics` are the named numbers (COCO as fractions, PCK and PCKh in percent); `score` is the
    one by which the best checkpoint is chosen; `results` is the COCO results list; `notes` say
    what the numbers rest on.
    """

    metrics: dict[str, float]
    score: float
    results: list[dict[str, Any]]
    notes: list[str]
    predictions: Predictions


def evaluate(
    predict: Predict,
    batches: Iterable[Batch],
    truth: annotations.Dataset,
    config: ConfigDict,
    *,
    head_boxes: pathlib.Path | None = None,
) -> Evaluation:
    """Predicts and scores a split.

    Args:
        predict: see `make_predict` (with the variables bound) and `make_predict_from_heatmaps`.
        batches: one pass over the split; examples with `valid` False are left out.
        truth: the split's annotations.
        config: the whole configuration; `eval`, `data.detections` and `data.limit` are used.
        head_boxes: mpii_gt_val.mat, for the official PCKh.
    """
    predictions = predict_all(predict, batches)
    results = metrics.assemble_results(
        predictions.image_id,
        predictions.keypoints,
        predictions.scores,
        predictions.box_score,
        predictions.scale,
        annotation_id=predictions.annotation_id,
        category_id=truth.category_id,
        sigmas=truth.skeleton.sigmas,
        rescore_threshold=config.eval.rescore_threshold,
        oks_nms_threshold=config.eval.oks_nms,
    )
    if config.eval.metric == "mpii":
        values, notes = mpii.scores(predictions, truth, head_boxes)
        return Evaluation(values, values["Mean"], results, notes, predictions)

    boxes = "detected boxes" if config.data.detections else "annotated boxes"
    notes = [f"{len(predictions.image_id)} {boxes}, {len(truth.images)} images of {truth.path}"]
    if config.data.limit:
        notes.append(f"data.limit={config.data.limit}: scored on the people of that list alone")
    with annotation_file(truth, predictions, limited=config.data.limit > 0) as file:
        values = metrics.coco_keypoints(file, results, truth.skeleton.sigmas)
    if truth.skeleton.torso is not None and not config.data.detections:
        joints, labelled = truth_of(predictions, truth)
        pck = metrics.pck_torso(predictions.keypoints, joints, labelled, truth.skeleton)
        values |= {"PCK@0.2": pck["PCK@0.2"]}
    return Evaluation(values, values["AP"], results, notes, predictions)


@contextlib.contextmanager
def annotation_file(
    truth: annotations.Dataset, predictions: Predictions, *, limited: bool
) -> Iterator[pathlib.Path]:
    """The annotation file to score against: the split's own or, when the list of people was
    limited, a temporary one with the evaluated pictures and the people of that list alone."""
    if not limited:
        yield truth.path
        return
    content = json.loads(truth.path.read_text(encoding="utf-8"))
    people = {int(identity) for identity in truth.people.annotation_id}
    images = {int(identity) for identity in predictions.image_id}
    content["annotations"] = [
        a for a in content["annotations"] if a["image_id"] in images and a["id"] in people
    ]
    content["images"] = [image for image in content["images"] if image["id"] in images]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / truth.path.name
        path.write_text(json.dumps(content), encoding="utf-8")
        yield path
