"""The objectives in torch, for benchmarks that train the exported network with PyTorch.

Each function makes the targets of a batch on a torch device and returns the loss as a function of
the float32 outputs, heatmaps [B, C, h, w] or SimCC vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxpose import codecs
from jaxpose.tasks.objective import HALF, QUARTER, map_size, simcc_sigma
from jaxpose.tasks.protocol import Batch

if TYPE_CHECKING:
    from ml_collections import ConfigDict


def nchw(maps: Any, device: str = "cpu") -> Any:
    """[B, H, W, C] as a tensor [B, C, H, W] on a device, channels last in memory."""
    import torch

    return torch.from_numpy(np.array(maps)).to(device).permute(0, 3, 1, 2)


def topdown(config: ConfigDict, batch: Batch, device: str = "cpu") -> Callable[[Any], Any]:
    """The heatmap weighting loss, or the mean squared error."""
    from jaxpose import losses

    weighting = config.loss.fn if config.loss.name == "heatmap_weighting" else "none"
    size = tuple(config.input_size)
    maps, weights = codecs.topdown.encode_batch(
        batch["keypoints"], size, map_size(size, QUARTER), config.sigma, config.codec == "udp"
    )
    target = nchw(maps, device)
    weight = nchw(np.asarray(weights)[:, None, None], device)
    factor = nchw(losses.WEIGHT_FUNCTIONS[weighting](maps) + 1, device)

    def loss(heatmaps):
        error = (heatmaps - target) * weight
        return (factor * error.square()).mean()

    return loss


def associative_embedding(
    config: ConfigDict, batch: Batch, device: str = "cpu"
) -> Callable[[Any], Any]:
    """The mean squared error or the soft-boundary loss, plus the push and pull of the tags."""
    import torch

    if config.loss.get("detach_weight"):
        raise ValueError("--vs torch supports the loss only with detach_weight=False")
    size = tuple(config.input_size)
    targets, joints_at = [], []
    for stride in (QUARTER, HALF):
        maps, positions = codecs.associative_embedding.encode_batch(
            batch["keypoints"], batch["mirrored"], size, map_size(size, stride), config.sigma
        )
        targets.append(nchw(maps, device))
        joints_at.append(torch.from_numpy(np.array(positions)).to(device))
    tau = config.loss.tau if config.loss.name == "soft_boundary" else None
    joints = targets[0].shape[1]

    def loss(outputs):
        quarter, half = outputs
        heat = _heat(quarter[:, :joints], targets[0], tau) + _heat(half, targets[1], tau)
        pull, push = _tags(quarter[:, joints:], joints_at[0])
        return heat + config.loss.pull * pull + config.loss.push * push

    return loss


def part_affinity(config: ConfigDict, batch: Batch, device: str = "cpu") -> Callable[[Any], Any]:
    """Half the sum of squared errors of heatmaps and fields, averaged over the batch."""
    keypoints = codecs.part_affinity.from_coco(batch["keypoints"])
    maps = codecs.part_affinity.encode_batch(
        keypoints,
        tuple(config.input_size),
        sigma=config.sigma,
        thickness=config.loss.thickness,
    )
    targets = [nchw(target, device) for target in maps]

    def loss(outputs):
        errors = [(y - targets[n % 2]).square().sum() for n, y in enumerate(outputs)]
        return sum(errors) / (2 * len(keypoints))

    return loss


def simcc(config: ConfigDict, batch: Batch, device: str = "cpu") -> Callable[[Any], Any]:
    """The KL divergence of the vectors x [B, K, n] and y [B, K, m], averaged over the batch."""
    import torch

    size, beta = tuple(config.input_size), config.loss.beta
    made = codecs.simcc.encode_batch(batch["keypoints"], size, simcc_sigma(config))
    *targets, weights = (torch.from_numpy(np.array(array)).to(device) for array in made)
    logs = [(beta * target).log_softmax(-1) for target in targets]

    def loss(outputs):
        divergences = [
            (q.exp() * (q - (beta * output).log_softmax(-1))).mean(-1)
            for q, output in zip(logs, outputs, strict=True)
        ]
        return (weights * sum(divergences)).mean()

    return loss


def _heat(pred: Any, target: Any, tau: float | None) -> Any:
    """The mean squared error, or the soft-boundary loss if `tau` is given; see `jaxpose.losses`."""
    error = (pred - target).square()
    if tau is not None:
        power = target**tau
        error = error * (pred.abs() * (1 - power) + (1 - pred).abs() * power)
    return error.mean()


def _tags(tags: Any, joints: Any) -> tuple[Any, Any]:
    """(pull, push) as in `jaxpose.losses.associative_embedding_loss`, for tags [B, K, h, w]."""
    import torch

    places, valid = joints[..., :2].long(), joints[..., 2] > 0
    index = (places[..., 1] * tags.shape[3] + places[..., 0]).transpose(1, 2)  # [B, K, P]
    values = tags.flatten(2).gather(2, index).transpose(1, 2) * valid
    count = valid.sum(-1).clamp(min=1)
    mean = values.sum(-1) / count
    spread = ((values - mean[..., None]).square() * valid).sum(-1) / count
    present = valid.any(-1)
    people = present.sum(-1)
    others = (
        present[:, :, None]
        & present[:, None, :]
        & ~torch.eye(len(joints[0]), dtype=torch.bool, device=tags.device)
    )
    near = torch.exp(-(mean[:, :, None] - mean[:, None, :]).square()) * others
    pull = spread.sum(-1) / people.clamp(min=1)
    push = 0.5 * near.sum((1, 2)) / (people * (people - 1)).clamp(min=1)
    return pull.mean(), push.mean()
