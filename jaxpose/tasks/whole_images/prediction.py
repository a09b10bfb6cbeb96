"""Poses of all people in whole images: network, flip test, scales, grouping.

The network, the averaging of its outputs and the search for peaks run on the devices. Each host
then groups the peaks of its own images into people. For an exported file, everything runs on the
host, in numpy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from jaxpose import geometry
from jaxpose.codecs.arrays import image_of, namespace
from jaxpose.poses import Poses, extent
from jaxpose.skeletons import Skeleton
from jaxpose.tasks.protocol import Batch, RunFile, Size

if TYPE_CHECKING:
    import flax.linen as nn
    from jax.sharding import Mesh
    from ml_collections import ConfigDict

# The people of one image: keypoints [N, K, 2] in image pixels, keypoint scores [N, K], person
# scores [N]. A missing keypoint is (0, 0) with score 0.
ImagePoses = tuple[np.ndarray, np.ndarray, np.ndarray]
# A batch of this host -> the people of each of its images (none for invalid examples).
Predict = Callable[[Batch], list[ImagePoses]]

# With "short_side", longer images are shrunk to this ratio of long to short side.
LONGEST = 3


class Codec(Protocol):
    """A module of `jaxpose.codecs` that groups the outputs of a network into people.

    Attributes:
      Grouping: dataclass of the options.
    """

    Grouping: type[Any]

    def find(self, passes: Any, size: Size, options: Any, skeleton: Skeleton) -> Any:
        """The peaks of a batch, for `group`; numpy for numpy arrays, jax under jit."""
        ...

    def group(self, *arrays: Any) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints [N, K, 3] in input pixels and scores [N] of one image."""
        ...


@dataclasses.dataclass(frozen=True)
class ImageDecoder:
    """How the outputs for a whole image become people.

    Attributes:
      codec: module that finds peaks and groups them.
      grouping: the options of the codec.
      flip: whether outputs are averaged with those of the mirrored image.
      scales: sizes to average over, as fractions of the input size; 1 is required, for the tags.
      inside: whether the border around an image is excluded. Training ignores the border, so the
        outputs are arbitrary there. The reference code searches it too, but its borders are narrow.
    """

    codec: Codec
    grouping: Any
    flip: bool = True
    scales: tuple[float, ...] = (1.0,)
    inside: bool = False

    @property
    def image_keys(self) -> dict[float, str]:
        """Scale -> key of the batch for the images at that scale."""
        return {s: "image" if s == 1 else f"image@{s:g}" for s in self.scales}


def options_from(kind: type[Any], settings: Mapping[str, Any]) -> Any:
    """The options of a codec, from the settings of the same names."""
    return kind(**{field.name: settings[field.name] for field in dataclasses.fields(kind)})


def decoder_from_config(codec: Codec, config: ConfigDict) -> ImageDecoder:
    """From `config.eval`, which has the keys of the codec's `Grouping`."""
    return ImageDecoder(
        codec,
        options_from(codec.Grouping, config.eval),
        flip=config.eval.flip,
        scales=tuple(config.eval.scales),
        inside=config.eval.sizing == "fixed",
    )


def decoder_from_metadata(codec: Codec, metadata: Mapping[str, Any]) -> ImageDecoder:
    """With the flip test; finds people inside the image only."""
    return ImageDecoder(codec, codec.Grouping(**metadata["grouping"]), inside=True)


def decoder_for_estimate(decoder: ImageDecoder, flip: bool) -> ImageDecoder:
    """One scale; finds people inside the image only."""
    return dataclasses.replace(decoder, flip=flip, scales=(1.0,), inside=True)


def _find(outputs: Any, size: Size, center: Any, scale: Any, skeleton: Skeleton, decoder) -> Any:
    """The peaks, for `_group`; from numpy arrays or under jit.

    Args:
      outputs: scale -> (outputs for the images, outputs for their mirror images or None).
      size: (H, W) of the images at scale 1; results are in its pixels.
      center, scale: [B, 2], of the views.
    """

    def clear(maps, step):  # step -1 for mirror images
        return tuple(x * _inside(center, scale, x.shape)[:, :, ::step] for x in maps)

    if decoder.inside:
        outputs = {
            key: (clear(maps, 1), None if mirrored is None else clear(mirrored, -1))
            for key, (maps, mirrored) in outputs.items()
        }
    return decoder.codec.find(outputs, size, decoder.grouping, skeleton)


def _inside(center: Any, scale: Any, shape: tuple[int, ...]) -> Any:
    """bool [B, h, w, 1]: whether the center of a heatmap pixel is inside the image."""
    xp = namespace(center)
    height, width = shape[1:3]
    y, x = xp.meshgrid(xp.arange(height) + 0.5, xp.arange(width) + 0.5, indexing="ij")
    pixels = xp.stack([x, y], axis=-1).reshape(1, -1, 2)
    points = geometry.heatmap_to_image(pixels, center, scale, (height, width))
    away = xp.abs(points - center[:, None])  # `center` is that of the image
    return xp.all(away <= center[:, None], axis=-1).reshape(-1, height, width, 1)


def _group(peaks: Any, batch: Batch, skeleton: Skeleton, decoder: ImageDecoder) -> list[ImagePoses]:
    """The people of this host's batch, from the peaks of `_find` as numpy arrays."""
    joints = skeleton.num_joints
    count, height, width = batch["image"].shape[:3]
    valid = batch.get("valid", np.ones(count, bool))
    people = []
    for row in range(count):
        if not valid[row]:
            people.append((np.zeros((0, joints, 2)), np.zeros((0, joints)), np.zeros(0)))
            continue
        keypoints, scores = decoder.codec.group(*image_of(peaks, row), decoder.grouping)
        points = geometry.heatmap_to_image(
            keypoints[..., :2], batch["center"][row], batch["scale"][row], (height, width)
        )
        points = np.where(keypoints[..., 2:] > 0, points, 0)
        people.append((points, keypoints[..., 2], scores))
    return people


def model_predictor(
    model: nn.Module, skeleton: Skeleton, mesh: Mesh, decoder: ImageDecoder
) -> Callable[[Any, Batch], list[ImagePoses]]:
    """Prediction with a model on the devices of a mesh, compiled once per image size.

    Returns:
      A function (variables, batch of this host) -> people of each image in the batch. `.program` is
      the jitted function.
    """
    import jax
    import jax.numpy as jnp

    from jaxpose.mesh import EVERYWHERE, SPLIT, local_rows, shard_batch

    def on_device(variables, images):
        outputs = {}
        for scale, key in decoder.image_keys.items():
            image, mirrored = geometry.normalize(images[key]), None
            if decoder.flip:
                pair = jnp.concatenate([image, image[:, :, ::-1]])
                both: Any = model.apply(variables, pair, train=False)
                maps, mirrored = zip(*(jnp.split(x, 2) for x in both), strict=True)
            else:
                maps = model.apply(variables, image, train=False)
            outputs[scale] = maps, mirrored
        size = images["image"].shape[1:3]
        return _find(outputs, size, images["center"], images["scale"], skeleton, decoder)

    mapped = jax.shard_map(
        on_device, mesh=mesh, in_specs=(EVERYWHERE, SPLIT), out_specs=SPLIT, check_vma=False
    )

    @jax.jit
    def predict_step(variables, images):
        return mapped(variables, images)

    def predict(variables, batch):
        inputs = {key: batch[key] for key in (*decoder.image_keys.values(), "center", "scale")}
        peaks = local_rows(predict_step(variables, shard_batch(inputs, mesh)))
        return _group(peaks, batch, skeleton, decoder)

    predict.program = predict_step  # type: ignore[attr-defined]
    return predict


def file_predictor(run_file: RunFile, skeleton: Skeleton, decoder: ImageDecoder) -> Predict:
    """Prediction with a network that runs outside JAX, such as an exported file."""

    def predict(batch):
        outputs = {}
        for scale, key in decoder.image_keys.items():
            images = np.asarray(geometry.normalize(batch[key]))
            maps, mirrored = tuple(run_file(images)), None
            if decoder.flip:
                mirrored = tuple(run_file(np.ascontiguousarray(images[:, :, ::-1])))
            outputs[scale] = maps, mirrored
        size = batch["image"].shape[1:3]
        peaks = _find(outputs, size, batch["center"], batch["scale"], skeleton, decoder)
        return _group(peaks, batch, skeleton, decoder)

    return predict


@dataclasses.dataclass(frozen=True)
class ImagePredictions:
    """N predicted people of a split, one row each.

    Attributes:
      image_id: [N].
      keypoints: [N, K, 2] in image pixels.
      scores: [N, K], of the keypoints.
      person_score: [N].
      image_ids: ids of all predicted images, including those without people.
    """

    image_id: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    person_score: np.ndarray
    image_ids: np.ndarray

    def results(self, category_id: int) -> list[dict[str, Any]]:
        """The COCO results list: [{image_id, category_id, keypoints (x, y, score), score}]."""
        keypoints = np.concatenate([self.keypoints, self.scores[..., None]], axis=-1)
        return [
            {
                "image_id": int(self.image_id[row]),
                "category_id": category_id,
                "keypoints": keypoints[row].astype(float).ravel().tolist(),
                "score": float(self.person_score[row]),
            }
            for row in range(len(keypoints))
        ]


def predict_all(predict: Predict, batches: Iterable[Batch], num_keypoints: int) -> ImagePredictions:
    """The people of all valid images of all hosts.

    Raises:
      ValueError: no batch.
    """
    from jaxpose.mesh import gather_rows

    image_ids: list[int] = []
    image_id: list[int] = []
    keypoints = [np.zeros((0, num_keypoints, 2), np.float32)]
    scores = [np.zeros((0, num_keypoints), np.float32)]
    person_score = [np.zeros(0, np.float32)]
    count = 0
    for batch in batches:
        count += 1
        for row, (points, of_keypoints, of_people) in enumerate(predict(batch)):
            if not batch["valid"][row]:
                continue
            identity = int(batch["image_id"][row])
            image_ids.append(identity)
            image_id += [identity] * len(points)
            keypoints.append(np.asarray(points, np.float32))
            scores.append(np.asarray(of_keypoints, np.float32))
            person_score.append(np.asarray(of_people, np.float32))
    if not count:
        raise ValueError("nothing to evaluate: the input pipeline returned no batch")
    return ImagePredictions(
        gather_rows(np.asarray(image_id, np.int64)),
        gather_rows(np.concatenate(keypoints)),
        gather_rows(np.concatenate(scores)),
        gather_rows(np.concatenate(person_score)),
        gather_rows(np.asarray(image_ids, np.int64)),
    )


def view(image_size: Size, input_size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Center [2] and scale [2] of the crop that shows a whole image (H, W) at a fixed size."""
    return geometry.bottomup_fit(image_size, input_size)


def sized_view(
    image_size: Size, input_size: Size, sizing: str
) -> tuple[Size, np.ndarray, np.ndarray]:
    """The input size and view of a whole image.

    Args:
      image_size: (H, W) of the image.
      input_size: (H, W) that the network was trained for.
      sizing: "fixed" fits the image into `input_size`; "short_side" resizes the image so that its
        short side is that of `input_size`, and rounds up the long side to multiples of 64 pixels.
        Images with a ratio of sides above 3 are shrunk to fit a ratio of 3.

    Returns:
      Size (H, W) of the input, and center [2] and scale [2] of the crop that fills it.
    """
    if sizing == "fixed":
        return input_size, *view(image_size, input_size)
    size, center, scale = geometry.bottomup_size(image_size, min(input_size))
    longest = LONGEST * min(size)
    if max(size) > longest:
        size = (min(size[0], longest), min(size[1], longest))
        center, scale = geometry.bottomup_fit(image_size, size)
    return size, center, scale


def crop_matrix(
    center: np.ndarray, scale: np.ndarray, input_size: Size, decoder: ImageDecoder
) -> np.ndarray:
    """The matrix [2, 3] of a crop without rotation, the same for all decoders."""
    del decoder
    return geometry.affine(center, scale, 0, input_size)


def estimate(
    predict: Predict,
    image: np.ndarray,
    boxes: np.ndarray | None,
    *,
    num_keypoints: int,
    input_size: Size,
    sizing: str,
    batch_size: int,
    decoder: ImageDecoder,
) -> Poses:
    """Poses of all people in an image, highest person score first.

    Args:
      predict: from `model_predictor`, with the variables bound, or from `file_predictor`.
      image: uint8 RGB [H, W, 3].
      boxes: must be None; the network finds the people itself.
      num_keypoints, batch_size: unused.
      decoder: of `predict`.
      input_size, sizing: see `sized_view`.

    Raises:
      ValueError: boxes are given.
    """
    if boxes is not None:
        raise ValueError("a bottom-up network finds the people itself and takes no boxes")
    size, center, scale = sized_view(image.shape[:2], input_size, sizing)
    crop = geometry.crop(image, crop_matrix(center, scale, size, decoder), size)
    (people,) = predict({"image": crop[None], "center": center[None], "scale": scale[None]})
    keypoints, scores, person_scores = (np.asarray(part, np.float32) for part in people)
    poses = Poses(keypoints, scores, extent(keypoints, scores > 0), person_scores)
    return poses.select(np.argsort(-person_scores, kind="stable"))
