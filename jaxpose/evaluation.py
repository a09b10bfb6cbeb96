"""From crops to scores: what train.py does every few epochs and eval.py does in full.

Nothing here reads pictures: the caller brings an iterable of batches (see the schema of the input
pipeline) and the annotation file, so the same code scores a model, an average of models, or an
exported file.
"""

import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxpose import annotations, geometry, metrics
from jaxpose.codecs import topdown
from jaxpose.skeletons import Skeleton
from jaxpose.training.mesh import EVERYWHERE, SPLIT, shard_batch

Batch = Mapping[str, np.ndarray]
# A batch of this host -> (keypoints [B, K, 2] in image pixels, scores [B, K]) of all hosts.
Predict = Callable[[Batch], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Poses of N people, one row each, in the order in which they were read.

    keypoints [N, K, 2] in image pixels; scores [N, K]; center, scale [N, 2] of the crop.
    """

    image_id: np.ndarray
    annotation_id: np.ndarray
    box_score: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray


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


def make_decoder(skeleton: Skeleton, *, flip: bool, decode: str) -> Callable:
    """Returns (heatmaps, mirrored, center, scale) -> (keypoints, scores), for use under jit.

    `heatmaps` [B, h, w, K] of the crops and `mirrored` those of the mirrored crops (None unless
    `flip`); keypoints [B, K, 2] are in image pixels. `decode` is "quarter" or "dark".
    """
    to_image = topdown.decode_dark if decode == "dark" else topdown.decode

    def finish(heatmaps, mirrored, center, scale):
        if flip:
            mirrored = topdown.flip_back(mirrored, skeleton.flip_pairs)
            heatmaps = (heatmaps + mirrored) / 2
        return to_image(heatmaps, center, scale)

    return finish


def make_predict(
    model: nn.Module, skeleton: Skeleton, mesh: Mesh, *, flip: bool, decode: str
) -> Callable[[Any, Batch], tuple[np.ndarray, np.ndarray]]:
    """Prediction with a model on the devices of a mesh, compiled once.

    Returns:
        (variables, batch) -> (keypoints, scores): the batch is this host's part, the numpy
        results are those of all hosts, in order. `.program` is the jitted function.
    """
    finish = make_decoder(skeleton, flip=flip, decode=decode)

    def on_device(variables, batch):
        images = geometry.normalize(batch["image"])
        mirrored = None
        if flip:
            both = jnp.concatenate([images, images[:, :, ::-1]])
            heatmaps, mirrored = jnp.split(model.apply(variables, both, train=False), 2)
        else:
            heatmaps = model.apply(variables, images, train=False)
        return finish(heatmaps, mirrored, batch["center"], batch["scale"])

    mapped = jax.shard_map(
        on_device, mesh=mesh, in_specs=(EVERYWHERE, SPLIT), out_specs=SPLIT, check_vma=False
    )

    @jax.jit
    def predict_step(variables, batch):
        return mapped(variables, batch)

    def predict(variables, batch):
        inputs = {key: batch[key] for key in ("image", "center", "scale")}
        return gather(predict_step(variables, shard_batch(inputs, mesh)))

    predict.program = predict_step
    return predict


def make_predict_from_heatmaps(
    heatmaps_of: Callable[[np.ndarray], np.ndarray], skeleton: Skeleton, *, flip: bool, decode: str
) -> Predict:
    """Prediction with something that runs outside JAX, such as an exported file.

    Args:
        heatmaps_of: normalised float32 images [B, H, W, 3] -> heatmaps [B, h, w, K].
    """
    finish = jax.jit(make_decoder(skeleton, flip=flip, decode=decode))

    def predict(batch):
        images = np.asarray(geometry.normalize(batch["image"]))
        mirrored = None
        heatmaps = np.asarray(heatmaps_of(images))
        if flip:
            mirrored = np.asarray(heatmaps_of(np.ascontiguousarray(images[:, :, ::-1])))
        return jax.device_get(finish(heatmaps, mirrored, batch["center"], batch["scale"]))

    return predict


def gather(tree: Any) -> Any:
    """Arrays split over all hosts, or each host's own arrays -> whole numpy arrays, everywhere."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    return jax.tree.map(lambda x: multihost_utils.process_allgather(x, tiled=True), tree)


def predict_all(predict: Predict, batches: Iterable[Batch]) -> Predictions:
    """Poses of every valid example of the batches."""
    rows: dict[str, list[np.ndarray]] = {f.name: [] for f in dataclasses.fields(Predictions)}
    for batch in batches:
        keypoints, scores = predict(batch)
        given = gather({key: batch[key] for key in batch if key != "image"})
        valid = given["valid"]
        for name, column in rows.items():
            values = {"keypoints": keypoints, "scores": scores}.get(name, given.get(name))
            column.append(np.asarray(values)[valid])
    if not rows["image_id"]:
        raise ValueError("nothing to evaluate: the input pipeline gave no batch")
    return Predictions(**{name: np.concatenate(column) for name, column in rows.items()})


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
        values, notes = _mpii_scores(predictions, truth, head_boxes)
        return Evaluation(values, values["Mean"], results, notes, predictions)

    boxes = "detected boxes" if config.data.detections else "annotated boxes"
    notes = [f"{len(predictions.image_id)} {boxes}, {len(truth.images)} images of {truth.path}"]
    with tempfile.TemporaryDirectory() as folder:
        file = truth.path
        if config.data.limit:
            file = pathlib.Path(folder) / truth.path.name
            count = _write_subset(truth, predictions, file)
            notes.append(f"data.limit={config.data.limit}: scored on those {count} people alone")
        values = metrics.coco_keypoints(file, results, truth.skeleton.sigmas)
    if truth.skeleton.torso is not None and not config.data.detections:
        joints, labelled = _truth_of(predictions, truth)
        pck = metrics.pck_torso(predictions.keypoints, joints, labelled, truth.skeleton)
        values |= {"PCK@0.2": pck["PCK@0.2"]}
    return Evaluation(values, values["AP"], results, notes, predictions)


def _truth_of(
    predictions: Predictions, truth: annotations.Dataset
) -> tuple[np.ndarray, np.ndarray]:
    """Annotated joints [N, K, 2] and their labels [N, K] of predictions on annotated boxes."""
    row_of = {int(identity): row for row, identity in enumerate(truth.people.annotation_id)}
    rows = [row_of[int(identity)] for identity in predictions.annotation_id]
    joints = truth.people.keypoints[rows]
    return joints[..., :2], joints[..., 2] > 0


def _write_subset(truth: annotations.Dataset, predictions: Predictions, file: pathlib.Path) -> int:
    """Writes the people of the limited list in the evaluated pictures; returns their number."""
    content = json.loads(truth.path.read_text(encoding="utf-8"))
    people = {int(identity) for identity in truth.people.annotation_id}
    images = {int(identity) for identity in predictions.image_id}
    content["annotations"] = [
        a for a in content["annotations"] if a["image_id"] in images and a["id"] in people
    ]
    content["images"] = [image for image in content["images"] if image["id"] in images]
    file.write_text(json.dumps(content), encoding="utf-8")
    return len(content["annotations"])


# --- MPII ----------------------------------------------------------------------------------------

_UPPER_NECK, _HEAD_TOP = 8, 9


def _mpii_scores(
    predictions: Predictions, truth: annotations.Dataset, head_boxes: pathlib.Path | None
) -> tuple[dict[str, float], list[str]]:
    """PCKh and what it rests on: the official head boxes, or the joints of the head."""
    if truth.format != "mpii":
        raise ValueError(f"config.eval.metric=mpii needs an MPII file; {truth.path} is COCO's form")
    rows = predictions.annotation_id  # row numbers of the annotation file
    if head_boxes is not None:
        joints, labelled, boxes = read_mpii_truth(head_boxes, len(truth.people))
        note = f"head sizes from {head_boxes}"
        # The file counts pixels from 1.
        joints, boxes = joints[rows] - 1, boxes[rows] - 1
        labelled = labelled[rows]
    else:
        joints, labelled = _truth_of(predictions, truth)
        # 0.6 of the head box's diagonal stands for the length of the head; here it is measured.
        head = labelled[:, _UPPER_NECK] & labelled[:, _HEAD_TOP]
        length = np.linalg.norm(joints[:, _HEAD_TOP] - joints[:, _UPPER_NECK], axis=-1)
        boxes = np.zeros((len(rows), 2, 2))
        boxes[:, 1, 0] = length / metrics.mpii.HEAD_SIZE
        labelled = labelled & head[:, None]
        note = (
            "approximate: no head boxes given (config.data.head_boxes=mpii_gt_val.mat), head size "
            f"is the distance from upper neck to head top; {int((~head).sum())} of {len(rows)} "
            "people without both joints are left out"
        )
    return metrics.mpii_pckh(predictions.keypoints, joints, labelled, boxes), [note]


def read_mpii_truth(path: pathlib.Path, people: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads mpii_gt_val.mat.

    Returns:
        joints [N, 16, 2] and head boxes [N, 2, 2] as (x1, y1), (x2, y2), 1-based pixels; labelled
        [N, 16] bool.

    Raises:
        ValueError: it cannot be read, or is of another number of people than the annotations.
    """
    import scipy.io

    try:
        content = scipy.io.loadmat(path)
        missing, joints = content["jnt_missing"], content["pos_gt_src"]
        boxes = content["headboxes_src"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path} cannot be read as mpii_gt_val.mat: {error}") from None
    if joints.shape[-1] != people:
        raise ValueError(f"{path} holds {joints.shape[-1]} people, the annotations hold {people}")
    return np.moveaxis(joints, -1, 0), missing.T == 0, np.moveaxis(boxes, -1, 0)


# --- tables --------------------------------------------------------------------------------------


def table(evaluation: Evaluation, metric: str) -> str:
    """The scores as the papers print them: one row, COCO x100."""
    values = evaluation.metrics
    if metric == "mpii":
        names = [name for name in values]
        shown = [f"{values[name]:.2f}" for name in names]
    else:
        names = list(values)
        shown = [f"{v:.2f}" if "@" in k else f"{100 * v:.2f}" for k, v in values.items()]
        shown = ["-" if v.startswith("-1") else v for v in shown]
    widths = [max(len(a), len(b)) for a, b in zip(names, shown, strict=True)]
    rows = [
        [text.rjust(width) for text, width in zip(row, widths, strict=True)]
        for row in (names, shown)
    ]
    return "\n".join("  ".join(row) for row in rows)
