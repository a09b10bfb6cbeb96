"""All people of a picture: a network, its mirror test and sizes, grouping, and back.

The network, the averaging of its maps and the search for peaks run on the devices; people are put
together from the peaks on the host, each host doing its own pictures.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxpose import codecs, geometry
from jaxpose.codecs import associative_embedding
from jaxpose.evaluation.predictions import Batch, gather_rows
from jaxpose.mesh import EVERYWHERE, SPLIT, shard_batch
from jaxpose.skeletons import Skeleton

# Of one picture: keypoints [N, K, 2] in image pixels, their scores [N, K], scores of the people
# [N]. A joint that was not found stands at (0, 0) with score 0.
People = tuple[np.ndarray, np.ndarray, np.ndarray]
# A batch of this host -> the people of each of its pictures (nobody where it is not valid).
PredictPeople = Callable[[Batch], list[People]]


@dataclasses.dataclass(frozen=True)
class PeopleOptions:
    """How people are read from a network.

    flip: average with the mirror image. scales: sizes that are averaged over, as shares of the
    nominal one; 1, among them, gives the tags. grouping: from maps to people, the options of one of
    the codecs in `codecs.PEOPLE`. inside: nothing is looked for in the border around a picture,
    where training leaves the maps to themselves; the reference looks there, too, but its borders
    are narrow.
    """

    flip: bool = True
    scales: tuple[float, ...] = (1.0,)
    grouping: Any = associative_embedding.Grouping()
    inside: bool = False

    @classmethod
    def from_config(cls, config: ConfigDict) -> "PeopleOptions":
        """The options of a configuration: its task says which codec, `eval` the rest."""
        grouping = codecs.grouping_from(config.task, config.eval)
        inside = config.eval.sizing == "fixed"
        return cls(config.eval.flip, tuple(config.eval.scales), grouping, inside)

    @property
    def images(self) -> dict[float, str]:
        """Scale -> the batch's key of the pictures at that scale."""
        return {s: "image" if s == 1 else f"image@{s:g}" for s in self.scales}


def _make_finish(skeleton: Skeleton, options: PeopleOptions) -> Callable:
    """Returns (outputs, size, center, scale) -> what `_group` reads, for use under jit.

    `outputs` is scale -> (maps of the pictures, maps of their mirror images or None); `size` (H, W)
    that of the pictures at scale 1, on whose grid the results are; `center` and `scale` [B, 2] say
    where they were seen.
    """
    find = codecs.of_grouping(options.grouping).find

    def finish(outputs, size, center, scale):
        def clear(maps, step):  # -1 for those of mirror images
            return tuple(x * _inside(center, scale, x.shape)[:, :, ::step] for x in maps)

        if options.inside:
            outputs = {
                key: (clear(maps, 1), mirrored and clear(mirrored, -1))
                for key, (maps, mirrored) in outputs.items()
            }
        return find(outputs, size, options.grouping, skeleton)

    return finish


def _inside(center: jax.Array, scale: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """bool [B, h, w, 1]: whether the middle of a pixel of maps [B, h, w, C] is in the picture."""
    height, width = shape[1:3]
    y, x = jnp.meshgrid(jnp.arange(height) + 0.5, jnp.arange(width) + 0.5, indexing="ij")
    grid = jnp.stack([x, y], axis=-1).reshape(1, -1, 2)
    points = geometry.heatmap_to_image(grid, center, scale, (height, width))
    away = jnp.abs(points - center[:, None])  # the center is the picture's
    return jnp.all(away <= center[:, None], axis=-1).reshape(-1, height, width, 1)


def _group(found: Any, batch: Batch, skeleton: Skeleton, options: PeopleOptions) -> list[People]:
    """People from the numpy arrays of `_make_finish` for this host's batch."""
    group, joints = codecs.of_grouping(options.grouping).group, skeleton.num_joints
    count, *size = batch["image"].shape[:3]
    valid = batch.get("valid", np.ones(count, bool))
    people = []
    for i in range(count):
        if not valid[i]:
            people.append((np.zeros((0, joints, 2)), np.zeros((0, joints)), np.zeros(0)))
            continue
        row = jax.tree.map(lambda x, i=i: x[i], found)
        keypoints, scores = group(*row, options.grouping)
        points = geometry.heatmap_to_image(
            keypoints[..., :2], batch["center"][i], batch["scale"][i], size
        )
        points = np.where(keypoints[..., 2:] > 0, points, 0)
        people.append((points, keypoints[..., 2], scores))
    return people


def make_people_predict(
    model: nn.Module, skeleton: Skeleton, mesh: Mesh, options: PeopleOptions
) -> Callable[[Any, Batch], list[People]]:
    """Prediction with a model on the devices of a mesh, compiled once for each size of pictures.

    Returns:
        (variables, batch) -> people of each picture of the batch, which is this host's part (see
        the schema of the input pipeline). `.program` is the jitted function.
    """
    finish = _make_finish(skeleton, options)

    def on_device(variables, images):
        outputs = {}
        for scale, key in options.images.items():
            image, mirrored = geometry.normalize(images[key]), None
            if options.flip:
                both = jnp.concatenate([image, image[:, :, ::-1]])
                both = model.apply(variables, both, train=False)
                maps, mirrored = zip(*(jnp.split(x, 2) for x in both), strict=True)
            else:
                maps = model.apply(variables, image, train=False)
            outputs[scale] = maps, mirrored
        size = images["image"].shape[1:3]
        return finish(outputs, size, images["center"], images["scale"])

    mapped = jax.shard_map(
        on_device, mesh=mesh, in_specs=(EVERYWHERE, SPLIT), out_specs=SPLIT, check_vma=False
    )

    @jax.jit
    def predict_step(variables, images):
        return mapped(variables, images)

    def predict(variables, batch):
        inputs = {key: batch[key] for key in (*options.images.values(), "center", "scale")}
        found = _own_rows(predict_step(variables, shard_batch(inputs, mesh)))
        return _group(found, batch, skeleton, options)

    predict.program = predict_step
    return predict


def make_people_from_outputs(
    outputs_of: Callable[[np.ndarray], Sequence[np.ndarray]],
    skeleton: Skeleton,
    options: PeopleOptions,
) -> PredictPeople:
    """Prediction with something that runs outside JAX, such as an exported file.

    Args:
        outputs_of: normalised float32 images [B, H, W, 3] -> all maps of the network.
    """
    finish = jax.jit(_make_finish(skeleton, options), static_argnums=1)

    def predict(batch):
        outputs = {}
        for scale, key in options.images.items():
            images = np.asarray(geometry.normalize(batch[key]))
            maps, mirrored = tuple(outputs_of(images)), None
            if options.flip:
                mirrored = tuple(outputs_of(np.ascontiguousarray(images[:, :, ::-1])))
            outputs[scale] = maps, mirrored
        size = batch["image"].shape[1:3]
        found = jax.device_get(finish(outputs, size, batch["center"], batch["scale"]))
        return _group(found, batch, skeleton, options)

    return predict


def _own_rows(tree: Any) -> Any:
    """Arrays split over the devices of all hosts -> numpy arrays of this host's rows, in order."""
    if jax.process_count() == 1:
        return jax.device_get(tree)

    def rows(array: jax.Array) -> np.ndarray:
        shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start or 0)
        return np.concatenate([np.asarray(shard.data) for shard in shards])

    return jax.tree.map(rows, tree)


@dataclasses.dataclass(frozen=True)
class FoundPeople:
    """N people that were found in a split, one row each.

    image_id [N]; keypoints [N, K, 2] in image pixels; scores [N, K] of the joints; person_score
    [N]; pictures: ids of all pictures that were looked at.
    """

    image_id: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    person_score: np.ndarray
    pictures: np.ndarray

    def results(self, category_id: int) -> list[dict[str, Any]]:
        """COCO results list: [{image_id, category_id, keypoints (x, y, score), score}]."""
        joints = np.concatenate([self.keypoints, self.scores[..., None]], axis=-1)
        return [
            {
                "image_id": int(self.image_id[row]),
                "category_id": category_id,
                "keypoints": joints[row].astype(float).ravel().tolist(),
                "score": float(self.person_score[row]),
            }
            for row in range(len(joints))
        ]


def predict_people(
    predict: PredictPeople, batches: Iterable[Batch], num_joints: int
) -> FoundPeople:
    """People of every valid picture of the batches, of all hosts."""
    pictures: list[int] = []
    image_id: list[int] = []
    keypoints = [np.zeros((0, num_joints, 2), np.float32)]
    scores = [np.zeros((0, num_joints), np.float32)]
    person_score = [np.zeros(0, np.float32)]
    looked = 0
    for batch in batches:
        looked += 1
        for row, (points, of_joints, of_people) in enumerate(predict(batch)):
            if not batch["valid"][row]:
                continue
            identity = int(batch["image_id"][row])
            pictures.append(identity)
            image_id += [identity] * len(points)
            keypoints.append(np.asarray(points, np.float32))
            scores.append(np.asarray(of_joints, np.float32))
            person_score.append(np.asarray(of_people, np.float32))
    if not looked:
        raise ValueError("nothing to evaluate: the input pipeline gave no batch")
    return FoundPeople(
        gather_rows(np.asarray(image_id, np.int64)),
        *(gather_rows(np.concatenate(parts)) for parts in (keypoints, scores, person_score)),
        gather_rows(np.asarray(pictures, np.int64)),
    )
