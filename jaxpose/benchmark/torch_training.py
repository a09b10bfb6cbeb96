"""The exported network trained by PyTorch: eager, channels_last, Adam, the loss of the task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxpose import export, geometry, models
from jaxpose.benchmark.task import Task
from jaxpose.codecs import associative_embedding, part_affinity, topdown
from jaxpose.export.files import require


def make_step(task: Task) -> Callable[[], float]:
    """One step of training, which returns its loss; images and targets are made beforehand."""
    torch = require("torch")
    variables = models.initial_variables(task.model, task.size)
    module = export.to_torch(task.model, variables, task.size, fold_bn=False).train()
    module = module.to(memory_format=torch.channels_last)
    rates = task.config.optimizer
    optimizer = torch.optim.Adam(
        module.parameters(), lr=rates.learning_rate, betas=(rates.b1, rates.b2), eps=rates.eps
    )
    images = _nchw(geometry.normalize(task.batch["image"]))
    losses = {
        "topdown": _topdown,
        "associative_embedding": _bottomup,
        "part_affinity": _part_affinity,
    }
    loss_of = losses[task.config.task](task)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(module(images))
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def _nchw(maps: Any) -> Any:
    """[B, H, W, C] as a tensor [B, C, H, W], channels last in memory."""
    import torch

    return torch.from_numpy(np.array(maps)).permute(0, 3, 1, 2)


def _topdown(task: Task) -> Callable[[Any], Any]:
    height, width = task.size
    targets, weights = topdown.encode_batch(
        task.batch["keypoints"], task.size, (height // 4, width // 4), task.config.sigma
    )
    target, weight = _nchw(targets), _nchw(np.asarray(weights)[:, None, None])
    if (task.config.loss.name, task.config.loss.get("fn")) != ("heatmap_weighting", "x"):
        raise ValueError("--vs torch knows the loss heatmap_weighting with fn=x alone")

    def loss(heatmaps):
        error = (heatmaps - target) * weight
        return ((target + 1) * error.square()).mean()

    return loss


def _bottomup(task: Task) -> Callable[[Any], Any]:
    config, batch = task.config, task.batch
    targets, places = [], []
    for stride in (4, 2):
        grid = (task.size[0] // stride, task.size[1] // stride)
        maps, at = associative_embedding.encode_batch(
            batch["keypoints"], batch["mirrored"], task.size, grid, config.sigma
        )
        targets.append(_nchw(maps))
        places.append(np.array(at))
    if config.loss.get("detach_weight"):
        raise ValueError("--vs torch knows the loss without detach_weight alone")
    tau = config.loss.tau if config.loss.name == "soft_boundary" else None
    joints = targets[0].shape[1]

    def loss(outputs):
        low, high = outputs
        heat = _heat(low[:, :joints], targets[0], tau) + _heat(high, targets[1], tau)
        pull, push = _tags(low[:, joints:], places[0])
        return heat + config.loss.pull * pull + config.loss.push * push

    return loss


def _part_affinity(task: Task) -> Callable[[Any], Any]:
    config, keypoints = task.config, part_affinity.from_coco(task.batch["keypoints"])
    maps = part_affinity.encode_batch(
        keypoints, task.size, sigma=config.sigma, thickness=config.loss.thickness
    )
    targets = [_nchw(target) for target in maps]

    def loss(outputs):
        errors = [(y - targets[n % 2]).square().sum() for n, y in enumerate(outputs)]
        return sum(errors) / (2 * len(keypoints))

    return loss


def _heat(pred: Any, target: Any, tau: float | None) -> Any:
    """Mean squared error, or with `tau` the soft-boundary loss: see `jaxpose.losses`."""
    error = (pred - target).square()
    if tau is not None:
        power = target**tau
        error = error * (pred.abs() * (1 - power) + (1 - pred).abs() * power)
    return error.mean()


def _tags(tags: Any, joints: np.ndarray) -> tuple[Any, Any]:
    """(pull, push) as `jaxpose.losses.associative_embedding_loss`; tags are [B, K, h, w] here."""
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
