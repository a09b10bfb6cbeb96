"""Poses of people from crops: network, flip test, decoder, and the way back to the image."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from jaxpose import geometry
from jaxpose.poses import Poses
from jaxpose.skeletons import Skeleton
from jaxpose.tasks.protocol import Batch, RunFile, Size

if TYPE_CHECKING:
    import flax.linen as nn
    from jax.sharding import Mesh

# A batch of this host -> (keypoints [B, K, 2] in image pixels, scores [B, K]) of all hosts.
Predict = Callable[[Batch], tuple[np.ndarray, np.ndarray]]


class CropDecoder(Protocol):
    """How the outputs for a crop become a pose.

    Attributes:
      flip: whether the outputs are averaged with those for the mirrored crop.
      udp: whether the crops are those of UDP, `geometry.affine(udp=True)`.
    """

    @property
    def flip(self) -> bool: ...

    @property
    def udp(self) -> bool: ...

    def decode(
        self, outputs: Any, mirrored: Any, center: Any, scale: Any, skeleton: Skeleton
    ) -> tuple[Any, Any]:
        """Keypoints [B, K, 2] in image pixels and scores [B, K]; numpy or jax arrays.

        Args:
          outputs: outputs of the network for the crops.
          mirrored: outputs of the network for the mirrored crops; None without the flip test.
          center, scale: [B, 2], of the crops.
          skeleton: has the left-right pairs that swap in a mirrored crop.
        """
        ...


@dataclasses.dataclass(frozen=True)
class CropPredictions:
    """Poses of N people, one row each, in the order of the examples.

    Attributes:
      image_id, annotation_id, box_score: [N], of the boxes.
      center, scale: [N, 2], of the crops.
      keypoints: [N, K, 2] in image pixels.
      scores: [N, K].
    """

    image_id: np.ndarray
    annotation_id: np.ndarray
    box_score: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray


def model_predictor(
    model: nn.Module, skeleton: Skeleton, mesh: Mesh, decoder: CropDecoder
) -> Callable[[Any, Batch], tuple[np.ndarray, np.ndarray]]:
    """Prediction with a model on the devices of a mesh, compiled once.

    Returns:
      A function (variables, batch of this host) -> (keypoints, scores) of all hosts, in order, as
      numpy arrays. `.program` is the jitted function.
    """
    import jax
    import jax.numpy as jnp

    from jaxpose.mesh import EVERYWHERE, SPLIT, gather, shard_batch

    def on_device(variables, batch):
        images = geometry.normalize(batch["image"])
        mirrored = None
        if decoder.flip:
            pair = jnp.concatenate([images, images[:, :, ::-1]])
            both = model.apply(variables, pair, train=False)
            outputs = jax.tree.map(lambda x: jnp.split(x, 2)[0], both)
            mirrored = jax.tree.map(lambda x: jnp.split(x, 2)[1], both)
        else:
            outputs = model.apply(variables, images, train=False)
        return decoder.decode(outputs, mirrored, batch["center"], batch["scale"], skeleton)

    mapped = jax.shard_map(
        on_device, mesh=mesh, in_specs=(EVERYWHERE, SPLIT), out_specs=SPLIT, check_vma=False
    )

    @jax.jit
    def predict_step(variables, batch):
        return mapped(variables, batch)

    def predict(variables, batch):
        inputs = {key: batch[key] for key in ("image", "center", "scale")}
        return gather(predict_step(variables, shard_batch(inputs, mesh)))

    predict.program = predict_step  # type: ignore[attr-defined]
    return predict


def file_predictor(run_file: RunFile, skeleton: Skeleton, decoder: CropDecoder) -> Predict:
    """Prediction with a network that runs outside JAX, such as an exported file."""

    def predict(batch):
        images = np.asarray(geometry.normalize(batch["image"]))
        outputs = run_file(images)
        mirrored = run_file(np.ascontiguousarray(images[:, :, ::-1])) if decoder.flip else None
        return decoder.decode(outputs, mirrored, batch["center"], batch["scale"], skeleton)

    return predict


def predict_all(predict: Predict, batches: Iterable[Batch]) -> CropPredictions:
    """Poses of all valid examples of all hosts.

    Raises:
      ValueError: no batch.
    """
    from jaxpose.mesh import gather

    names = [field.name for field in dataclasses.fields(CropPredictions)]
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for batch in batches:
        keypoints, scores = predict(batch)
        inputs = gather({key: batch[key] for key in batch if key != "image"})
        values = inputs | {"keypoints": keypoints, "scores": scores}
        for name, column in columns.items():
            column.append(np.asarray(values[name])[inputs["valid"]])
    if not columns["image_id"]:
        raise ValueError("nothing to evaluate: the input pipeline returned no batch")
    return CropPredictions(**{name: np.concatenate(column) for name, column in columns.items()})


def view(image_size: Size, input_size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Center [2] and scale [2] of the crop of a person whose box is the whole image (H, W)."""
    height, width = image_size
    return geometry.box_to_center_scale((0, 0, width, height), input_size)


def estimate(
    predict: Predict,
    image: np.ndarray,
    boxes: np.ndarray | None,
    *,
    num_keypoints: int,
    input_size: Size,
    sizing: str,
    batch_size: int,
    decoder: CropDecoder,
) -> Poses:
    """Poses of the people in the boxes, in the order of the boxes.

    Args:
      predict: from `model_predictor`, with the variables bound, or from `file_predictor`.
      image: uint8 RGB [H, W, 3].
      boxes: [N, 4] (x, y, w, h) in pixels, or [N, 5] with the score of the box, which multiplies
        the score of the person; None: the whole image is the box of one person.
      num_keypoints: K.
      input_size: (H, W) of a crop.
      sizing: "fixed", the only choice for crops.
      batch_size: largest number of people per call. The last call is padded to a power of two: few
        programs are compiled, and one person does not cost as much as a whole batch.
      decoder: of `predict`.

    Raises:
      ValueError: boxes of another shape, that are not finite, or without width or height.
    """
    height, width = image.shape[:2]
    boxes, box_scores = _split_boxes([[0, 0, width, height]] if boxes is None else boxes)
    center, scale = geometry.box_to_center_scale(boxes, input_size)
    keypoints = [np.zeros((0, num_keypoints, 2), np.float32)]
    scores = [np.zeros((0, num_keypoints), np.float32)]
    for start in range(0, len(boxes), batch_size):
        rows = slice(start, start + batch_size)
        count = len(center[rows])
        padded = min(1 << (count - 1).bit_length(), batch_size)
        batch = _padded_batch(image, center[rows], scale[rows], input_size, padded, decoder)
        points, of_keypoints = predict(batch)
        keypoints.append(np.asarray(points)[:count])
        scores.append(np.asarray(of_keypoints)[:count])
    all_scores = np.concatenate(scores)
    person_scores = all_scores.mean(axis=1)
    if box_scores is not None:
        person_scores = person_scores * box_scores
    return Poses(np.concatenate(keypoints), all_scores, boxes, person_scores)


def _split_boxes(boxes: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """(boxes [N, 4], scores [N] or None) of boxes [N, 4] or [N, 5].

    Raises:
      ValueError: another shape, or boxes that are not finite, or without width or height.
    """
    form = "boxes must be [N, 4] as (x, y, w, h), or [N, 5] with a score"
    try:
        array = np.asarray(boxes, np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"{form}, as numbers") from None
    if array.shape == (0,):  # an empty list
        array = array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] not in (4, 5):
        raise ValueError(f"{form}, got shape {list(array.shape)}")
    if not np.isfinite(array).all() or (array[:, 2:4] <= 0).any():
        raise ValueError("boxes must be (x, y, w, h) with positive width and height")
    return array[:, :4], array[:, 4] if array.shape[1] == 5 else None


def crop_matrix(
    center: np.ndarray, scale: np.ndarray, input_size: Size, decoder: CropDecoder
) -> np.ndarray:
    """The matrix [2, 3] of a crop without rotation, which the decoder undoes."""
    return geometry.affine(center, scale, 0, input_size, udp=decoder.udp)


def _padded_batch(
    image: np.ndarray,
    center: np.ndarray,
    scale: np.ndarray,
    input_size: Size,
    batch_size: int,
    decoder: CropDecoder,
) -> dict[str, np.ndarray]:
    crops = np.zeros((batch_size, *input_size, 3), np.uint8)
    for row in range(len(center)):
        matrix = crop_matrix(center[row], scale[row], input_size, decoder)
        crops[row] = geometry.crop(image, matrix, input_size)
    padding = ((0, batch_size - len(center)), (0, 0))
    return {
        "image": crops,
        "center": np.pad(center, padding),
        "scale": np.pad(scale, padding, constant_values=1),
    }
