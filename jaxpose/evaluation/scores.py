"""Scores of a split: COCO AP/AR, CrowdPose's or MPII PCKh, PCK of the torso beside them."""

import contextlib
import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from flax import linen as nn
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxpose import annotations, metrics
from jaxpose.evaluation import comparison, mpii
from jaxpose.evaluation.comparison import Comparison
from jaxpose.evaluation.people import (
    FoundPeople,
    PeopleOptions,
    make_people_from_outputs,
    make_people_predict,
    predict_people,
)
from jaxpose.evaluation.predictions import (
    Batch,
    Predictions,
    make_predict,
    make_predict_from_heatmaps,
    predict_all,
)
from jaxpose.skeletons import Skeleton


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Scores of a split.

    `metrics` are the named numbers (COCO as fractions, PCK and PCKh in percent); `score` is the
    one by which the best checkpoint is chosen; `results` is the COCO results list; `notes` say
    what the numbers rest on. `compared` sets annotated people beside predictions; None on detected
    boxes, which belong to nobody.
    """

    metrics: dict[str, float]
    score: float
    results: list[dict[str, Any]]
    notes: list[str]
    predictions: Predictions | FoundPeople
    compared: Comparison | None


def make_predictor(
    model: nn.Module, skeleton: Skeleton, mesh: Mesh, config: ConfigDict
) -> Callable[[Any, Batch], Any]:
    """(variables, batch) -> what `evaluate` takes from a model of `config.task`."""
    if config.task != "topdown":
        return make_people_predict(model, skeleton, mesh, PeopleOptions.from_config(config))
    return make_predict(model, skeleton, mesh, **_decoding(config))


def make_predictor_from_file(
    run_file: Callable[[np.ndarray], Any], skeleton: Skeleton, config: ConfigDict
) -> Callable[[Batch], Any]:
    """The same of something outside JAX: normalised float32 images -> the network's outputs."""
    if config.task != "topdown":
        options = PeopleOptions.from_config(config)
        return make_people_from_outputs(run_file, skeleton, options)
    return make_predict_from_heatmaps(run_file, skeleton, **_decoding(config))


def _decoding(config: ConfigDict) -> dict[str, Any]:
    """How crops are decoded, as `make_decoder` takes it."""
    return {"flip": config.eval.flip, "decode": config.eval.decode, "sigma": config.sigma}


def evaluate(
    predict: Callable[[Batch], Any],
    batches: Iterable[Batch],
    truth: annotations.Dataset,
    config: ConfigDict,
    *,
    head_boxes: pathlib.Path | None = None,
) -> Evaluation:
    """Predicts and scores a split.

    Args:
        predict: of the task of `config`: see `make_predict` and `make_people_predict` (with the
            variables bound), `make_predict_from_heatmaps` and `make_people_from_outputs`.
        batches: one pass over the split; examples with `valid` False are left out.
        truth: the split's annotations.
        config: the whole configuration; `task`, `eval`, `data.detections` and `data.limit` are
            used.
        head_boxes: mpii_gt_val.mat, for the official PCKh.

    Returns:
        The scores by `config.eval.metric`, the results, and the predictions beside the annotations.

    Raises:
        ValueError: no batch, annotations that are not of that metric, predictions that do not fit
            the annotations, or head boxes that cannot be read.
    """
    if config.task != "topdown":
        return _evaluate_people(predict, batches, truth, config)
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
    compared = None if config.data.detections else comparison.of_boxes(predictions, truth)
    if config.eval.metric == "mpii":
        values, notes = mpii.scores(predictions, truth, head_boxes)
        return Evaluation(values, values["Mean"], results, notes, predictions, compared)

    boxes = "detected boxes" if config.data.detections else "annotated boxes"
    notes = [f"{len(predictions.image_id)} {boxes}, {len(truth.images)} images of {truth.path}"]
    if config.data.limit:
        notes.append(f"data.limit={config.data.limit}: scored on the people of that list alone")
    with annotation_file(truth, predictions, limited=config.data.limit > 0) as file:
        values = metrics.coco_keypoints(file, results, truth.skeleton.sigmas)
    values |= _pck(compared, truth)
    return Evaluation(values, values["AP"], results, notes, predictions, compared)


def _evaluate_people(
    predict: Callable[[Batch], Any],
    batches: Iterable[Batch],
    truth: annotations.Dataset,
    config: ConfigDict,
) -> Evaluation:
    """`evaluate` of a bottom-up network: one result a person, scored as the network scores it."""
    found = predict_people(predict, batches, truth.skeleton.num_joints)
    results = found.results(truth.category_id)
    compared = comparison.of_pictures(found, truth)
    notes = [f"{len(found.image_id)} people found in {len(found.pictures)} images of {truth.path}"]
    if config.data.limit:
        notes.append(f"data.limit={config.data.limit}: scored on the pictures of that list alone")
    with annotation_file(truth, found, limited=config.data.limit > 0) as file:
        if config.eval.metric == "crowdpose":
            values = metrics.crowdpose(file, results)
        else:
            values = metrics.coco_keypoints(file, results, truth.skeleton.sigmas)
    pck = _pck(compared, truth)
    if pck:
        missed = np.count_nonzero(~np.isfinite(compared.predicted).all((1, 2)))
        notes.append(
            "PCK: each annotated person is compared with the found one of greatest OKS; all joints "
            f"are wrong for {missed} of {len(compared.image_id)} in pictures where nobody was found"
        )
    return Evaluation(values | pck, values["AP"], results, notes, found, compared)


def _pck(compared: Comparison | None, truth: annotations.Dataset) -> dict[str, float]:
    if compared is None or truth.skeleton.torso is None:
        return {}
    pck = metrics.pck_torso(compared.predicted, compared.joints, compared.labelled, truth.skeleton)
    return {"PCK@0.2": pck["PCK@0.2"]}


@contextlib.contextmanager
def annotation_file(
    truth: annotations.Dataset, predictions: Predictions | FoundPeople, *, limited: bool
) -> Iterator[pathlib.Path]:
    """The annotation file to score against: the split's own or, when the list of people (pictures)
    was limited, a temporary one with the evaluated pictures and the people of that list alone."""
    if not limited:
        yield truth.path
        return
    content = json.loads(truth.path.read_text(encoding="utf-8"))
    if isinstance(predictions, FoundPeople):
        images = set(predictions.pictures.tolist())
        chosen = [a for a in content["annotations"] if a["image_id"] in images]
    else:
        people = {int(identity) for identity in truth.people.annotation_id}
        images = {int(identity) for identity in predictions.image_id}
        chosen = [
            a for a in content["annotations"] if a["image_id"] in images and a["id"] in people
        ]
    content["annotations"] = chosen
    content["images"] = [image for image in content["images"] if image["id"] in images]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / truth.path.name
        path.write_text(json.dumps(content), encoding="utf-8")
        yield path
