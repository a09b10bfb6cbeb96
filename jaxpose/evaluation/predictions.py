"""Poses of people from their crops: a model, its mirror test, the codec, back to the picture."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh

from jaxpose import geometry, jax_api
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


def make_decoder(skeleton: Skeleton, *, flip: bool, decode: str, sigma: float) -> Callable:
    """Returns (heatmaps, mirrored, center, scale) -> (keypoints, scores), for use under jit.

    `heatmaps` [B, h, w, K] of the crops and `mirrored` those of the mirrored crops (None unless
    `flip`); keypoints [B, K, 2] are in image pixels. `decode` is "quarter" or "dark", `sigma` that
    of the targets that the network was trained on, in heatmap pixels.
    """
    to_image = topdown.decoder(decode, sigma)

    def finish(heatmaps, mirrored, center, scale):
        if flip:
            mirrored = topdown.flip_back(mirrored, skeleton.flip_pairs)
            heatmaps = (heatmaps + mirrored) / 2
        return to_image(heatmaps, center, scale)

    return finish


def make_predict(
    model: nn.Module, skeleton: Skeleton, mesh: Mesh, *, flip: bool, decode: str, sigma: float
) -> Callable[[Any, Batch], tuple[np.ndarray, np.ndarray]]:
    """Prediction with a model on the devices of a mesh, compiled once.

    Returns:
        (variables, batch) -> (keypoints, scores): the batch is this host's part, the numpy
        results are those of all hosts, in order. `.program` is the jitted function.
    """
    finish = make_decoder(skeleton, flip=flip, decode=decode, sigma=sigma)

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
    heatmaps_of: Callable[[np.ndarray], np.ndarray],
    skeleton: Skeleton,
    *,
    flip: bool,
    decode: str,
    sigma: float,
) -> Predict:
    """Prediction with something that runs outside JAX, such as an exported file.

    Args:
        heatmaps_of: normalised float32 images [B, H, W, 3] -> heatmaps [B, h, w, K].
    """
    finish = jax.jit(make_decoder(skeleton, flip=flip, decode=decode, sigma=sigma))

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

    def whole(x):
        words = x.view(np.uint32) if x.dtype.itemsize == 8 else x  # JAX would cut 64 bits to 32
        return np.asarray(jax_api.process_allgather(words, tiled=True)).view(x.dtype)

    return jax.tree.map(whole, tree)


def gather_rows(rows: np.ndarray) -> np.ndarray:
    """Each host's rows [n, ...], their number differing -> those of all hosts, host by host."""
    if jax.process_count() == 1:
        return rows
    counts = gather(np.array([len(rows)]))
    if not counts.any():
        return rows
    padding = [(0, counts.max() - len(rows))] + [(0, 0)] * (rows.ndim - 1)
    padded = gather(np.pad(rows, padding)).reshape(len(counts), -1, *rows.shape[1:])
    return np.concatenate([part[:count] for part, count in zip(padded, counts, strict=True)])


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
