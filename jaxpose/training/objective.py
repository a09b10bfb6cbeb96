"""What is minimised: one loss for each task, its targets drawn on the device from joints."""

import dataclasses
import functools

import jax
from flax import linen as nn
from ml_collections import ConfigDict

from jaxpose import geometry, losses
from jaxpose.codecs import associative_embedding, part_affinity, topdown
from jaxpose.training.state import Tree
from jaxpose.training.step import LossFn

# Input pixels in a heatmap pixel: of every top-down network here and of a bottom-up one's first
# output; its second output has twice the resolution.
QUARTER, HALF = 4, 2

Batch = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Objective:
    """A loss and what it needs.

    `loss` is (params, batch_stats, batch, key) -> (mean loss float32, (new batch_stats, parts)),
    where the random key may be left out for a model that draws nothing; `parts` are the names of
    its terms, logged beside it; `inputs` the keys of the batch that it reads.
    """

    loss: LossFn
    parts: tuple[str, ...]
    inputs: tuple[str, ...]


def make_objective(model: nn.Module, config: ConfigDict) -> Objective:
    """The objective of a model of `config.task`, as `config.loss` says."""
    makers = {
        "topdown": topdown_objective,
        "associative_embedding": bottomup_objective,
        "part_affinity": part_affinity_objective,
    }
    return makers[config.task](model, config)


def topdown_objective(model: nn.Module, config: ConfigDict) -> Objective:
    """Heatmaps of one person a crop.

    The batch holds `image` uint8 [B, H, W, 3] and `keypoints` float32 [B, K, 3] (x, y, visible) in
    pixels of the crop.
    """
    size = tuple(config.input_size)
    weighting = config.loss.fn if config.loss.name == "heatmap_weighting" else "none"

    def loss(params: Tree, batch_stats: Tree, batch: Batch, key: jax.Array | None = None):
        heatmaps, batch_stats = _forward(model, params, batch_stats, batch["image"], key)
        targets, weights = topdown.encode_batch(
            batch["keypoints"], size, _map_size(size, QUARTER), config.sigma
        )
        value = losses.heatmap_weighting_loss(heatmaps, targets, weights, fn=weighting)
        return value, (batch_stats, {})

    return Objective(loss, (), ("image", "keypoints"))


def bottomup_objective(model: nn.Module, config: ConfigDict) -> Objective:
    """Heatmaps of all people at two resolutions, and tags that tell the people apart.

    heat(1/4) + heat(1/2) + config.loss.push * push + config.loss.pull * pull, with push and pull
    from the tags of the 1/4 output, as in HigherHRNet and LitePose; heat is the masked mean squared
    error or WLitePose's soft-boundary loss. The parts are logged without their weights.

    The batch holds `image` uint8 [B, H, W, 3], `keypoints` float32 [B, P, K, 3] (x, y, labelled)
    in pixels of the input, `mirrored` bool [B], the masks `mask_quarter` uint8 [B, H/4, W/4] and
    `mask_half` [B, H/2, W/2] (0 = ignored) and `valid` bool [B]. An example that is not valid adds
    nothing, but stays in the means' denominators, as ignored pixels do.
    """
    size = tuple(config.input_size)
    heat = losses.masked_mse
    if config.loss.name == "soft_boundary":
        heat = functools.partial(
            losses.soft_boundary_loss,
            tau=config.loss.tau,
            detach_weight=config.loss.detach_weight,
        )

    def loss(params: Tree, batch_stats: Tree, batch: Batch, key: jax.Array | None = None):
        (quarter, half), batch_stats = _forward(model, params, batch_stats, batch["image"], key)
        joints = batch["keypoints"].shape[2]
        valid = batch["valid"]
        keypoints = batch["keypoints"] * valid[:, None, None, None]  # nobody is labelled there

        def encode(stride: int):
            return associative_embedding.encode_batch(
                keypoints, batch["mirrored"], size, _map_size(size, stride), config.sigma
            )

        (quarter_targets, places), (half_targets, _) = encode(QUARTER), encode(HALF)
        masks = {key: batch[key] * valid[:, None, None] for key in ("mask_quarter", "mask_half")}
        pull, push = losses.associative_embedding_loss(quarter[..., joints:], places)
        parts = {
            "heat_quarter": heat(quarter[..., :joints], quarter_targets, masks["mask_quarter"]),
            "heat_half": heat(half, half_targets, masks["mask_half"]),
            "push": push,
            "pull": pull,
        }
        value = (
            parts["heat_quarter"]
            + parts["heat_half"]
            + config.loss.push * push
            + config.loss.pull * pull
        )
        return value, (batch_stats, parts)

    return Objective(
        loss,
        ("heat_quarter", "heat_half", "push", "pull"),
        ("image", "valid", "keypoints", "mirrored", "mask_quarter", "mask_half"),
    )


def part_affinity_objective(model: nn.Module, config: ConfigDict) -> Objective:
    """Heatmaps of all people, and fields along their limbs, after every stage of the network.

    The batch is that of `bottomup_objective`, with COCO's joints, to which the neck is added; a
    cell of the maps counts where all that it covers of `mask_quarter` does.
    """
    size = tuple(config.input_size)

    def loss(params: Tree, batch_stats: Tree, batch: Batch, key: jax.Array | None = None):
        outputs, batch_stats = _forward(model, params, batch_stats, batch["image"], key)
        valid = batch["valid"]
        targets = part_affinity.encode_batch(
            part_affinity.from_coco(batch["keypoints"] * valid[:, None, None, None]),
            size,
            sigma=config.sigma,
            thickness=config.loss.thickness,
        )
        height, width = _map_size(size, 2 * QUARTER)
        mask = batch["mask_quarter"].reshape(-1, height, 2, width, 2).min((2, 4))
        mask = mask * valid[:, None, None]
        heatmaps, fields = part_affinity.loss(outputs, *targets, mask)
        return heatmaps + fields, (batch_stats, {"heatmaps": heatmaps, "fields": fields})

    return Objective(loss, ("heatmaps", "fields"), ("image", "valid", "keypoints", "mask_quarter"))


def _forward(
    model: nn.Module, params: Tree, batch_stats: Tree, images: jax.Array, key: jax.Array | None
):
    """(outputs, new batch_stats) of uint8 images, in training mode.

    The key is for stochastic depth, the one thing that models here draw at random.
    """
    outputs, updated = model.apply(
        {"params": params, "batch_stats": batch_stats},
        geometry.normalize(images),
        train=True,
        mutable=["batch_stats"],
        rngs=None if key is None else {"drop_path": key},
    )
    return outputs, updated["batch_stats"]


def _map_size(size: tuple[int, int], stride: int) -> tuple[int, int]:
    return size[0] // stride, size[1] // stride
