"""The objectives in torch, for benchmarks that train the exported network with PyTorch.

Each function makes the targets of a batch and returns the loss as a function of the outputs
[B, C, h, w].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxpose import codecs
from jaxpose.tasks.objective import HALF, QUARTER, map_size
from jaxpose.tasks.protocol import Batch

if TYPE_CHECKING:
    from ml_collections import ConfigDict


def nchw(maps: Any) -> Any:
    """[B, H, W, C] as a tensor [B, C, H, W], channels last in memory."""
    import torch

    return torch.from_numpy(np.array(maps)).permute(0, 3, 1, 2)


def topdown(config: ConfigDict, batch: Batch) -> Callable[[Any], Any]:
    """The heatmap weighting loss with F(x) = x."""
    if (config.loss.name, config.loss.get("fn")) != ("heatmap_weighting", "x"):
        raise ValueError("--vs torch supports only the loss heatmap_weighting with fn=x")
    size = tuple(config.input_size)
    maps, weights = codecs.topdown.encode_batch(
        batch["keypoints"], size, map_size(size, QUARTER), config.sigma, config.codec == "udp"
    )
    target, weight = nchw(maps), nchw(np.asarray(weights)[:, None, None])

    def loss(heatmaps):
        error = (heatmaps - target) * weight
        return ((target + 1) * error.square()).mean()

    return loss


def associative_embedding(config: ConfigDict, batch: Batch) -> Callable[[Any], Any]:
    """The mean squared error or the soft-boundary loss, plus the push and pull of the tags."""
    if config.loss.get("detach_weight"):
        raise ValueError("--vs torch supports the loss only with detach_weight=False")
    size = tuple(config.input_size)
    targets, places = [], []
    for stride in (QUARTER, HALF):
        maps, positions = codecs.associative_embedding.encode_batch(
            batch["keypoints"], batch["mirrored"], size, map_size(size, stride), config.sigma
        )
        targets.append(nchw(maps))
        places.append(np.array(positions))
    tau = config.loss.tau if config.loss.name == "soft_boundary" else None
    joints = targets[0].shape[1]

    def loss(outputs):
        quarter, half = outputs
        heat = _heat(quarter[:, :joints], targets[0], tau) + _heat(half, targets[1], tau)
        pull, push = _tags(quarter[:, joints:], places[0])
        return heat + config.loss.pull * pull + config.loss.push * push

    return loss


def part_affinity(config: ConfigDict, batch: Batch) -> Callable[[Any], Any]:
    """Half the sum of squared errors of heatmaps and fields, averaged over the batch."""
    keypoints = codecs.part_affinity.from_coco(batch["keypoints"])
    maps = codecs.part_affinity.encode_batch(
        keypoints,
        tuple(config.input_size),
        sigma=config.sigma,
        thickness=config.loss.thickness,
    )
    targets = [nchw(target) for target in maps]

    def loss(outputs):
        errors = [(y - targets[n % 2]).square().sum() for n, y in enumerate(outputs)]
        return sum(errors) / (2 * len(keypoints))

    return loss


def _heat(pred: Any, target: Any, tau: float | None) -> Any:
    """The mean squared error, or the soft-boundary loss if `tau` is given; see `jaxpose.losses`."""
    error = (pred - target).square()
    if tau is not None:
        power = target**tau
        error = error * (pred.abs() * (1 - power) + (1 - pred).abs() * power)
    return error.mean()


def _tags(tags: Any, joints: np.ndarray) -> tuple[Any, Any]:
    """(pull, push) as in `jaxpose.losses.associative_embedding_loss`, for tags [B, K, h, w]."""
    import torch

    places, valid = torch.from_numpy(joints[..., :2]).long(), torch.from_numpy(joints[..., 2] > 0)
    index = (places[..., 1] * tags.shape[3] + places[..., 0]).transpose(1, 2)  # [B, K, P]
    values = tags.flatten(2).gather(2, index).transpose(1, 2) * valid
    count = valid.sum(-1).clamp(min=1)
    mean = values.sum(-1) / count
    spread = ((values - mean[..., None]).square() * valid).sum(-1) / count
    present = valid.any(-1)
    people = present.sum(-1)
    others = present[:, :, None] & present[:, None, :] & ~torch.eye(len(joints[0]), dtype=bool)
    near = torch.exp(-(mean[:, :, None] - mean[:, None, :]).square()) * others
    pull = spread.sum(-1) / people.clamp(min=1)
    push = 0.5 * near.sum((1, 2)) / (people * (people - 1)).clamp(min=1)
    return pull.mean(), push.mean()
