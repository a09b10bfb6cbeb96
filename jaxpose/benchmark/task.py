"""What a training step is timed on: a network, its loss, and a batch of drawn pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import flax.linen as nn
import numpy as np
from ml_collections import ConfigDict

from jaxpose import export, models, runs, skeletons, tasks

PEOPLE, SLOTS = 5, 30  # in a bottom-up picture; people that a picture can have


@dataclass(frozen=True)
class Task:
    """A network to train on `batch`, as the input pipeline's schema has it; `size` is (H, W)."""

    name: str
    model: nn.Module
    size: tuple[int, int]
    config: ConfigDict
    batch: dict[str, np.ndarray]

    @property
    def loss(self) -> str:
        """The loss in words."""
        loss = self.config.loss
        if self.config.task == "part_affinity":
            return f"squared errors of heatmaps and fields; {PEOPLE} people a picture"
        if self.config.task == "associative_embedding":
            return f"{loss.name} at 1/4 and 1/2, tags; {PEOPLE} people a picture"
        return f"{loss.name} ({loss.fn})" if loss.name == "heatmap_weighting" else loss.name


def task_of(what: str, size: tuple[int, int] | None, batch_size: int) -> Task:
    """The task of a model's name, or of a run folder with its own options, joints and loss.

    Raises:
      ValueError: neither; the nearest name is told.
    """
    if Path(what).is_dir():
        config, model, _, skeleton = runs.load_run(what)
        size = size or tuple(config.input_size)
        settings = _settings(config.task, size)
        settings.sigma = config.sigma
        if "loss" in config:  # an imported run has none
            settings.loss = config.loss
        config.batch_norm = "device"  # the same on the one device that is measured
        model = tasks.create_model(config, skeleton.num_joints)
        batch = sample_batch(config.task, size, batch_size, skeleton.num_joints)
        return Task(config.model, model, size, settings, batch)
    return model_task(what, size, batch_size)


def model_task(name: str, size: tuple[int, int] | None, batch_size: int) -> Task:
    """The task of a released network with COCO's joints, as `export.source.untrained` has it.

    Raises:
      ValueError: no such model; the nearest name is told.
    """
    info = models.info(name)
    size = size or tuple(info.input_size)
    joints = skeletons.COCO.num_joints
    model = models.create_model(name, models.network_joints(name, joints))
    batch = sample_batch(info.task, size, batch_size, joints)
    return Task(name, model, size, _settings(info.task, size), batch)


def sample_batch(
    task: str, size: tuple[int, int], count: int, joints: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """Drawn uint8 pictures [B,H,W,3] and random labelled joints in pixels.

    Top-down one person an example; else five, nothing mirrored and nothing ignored.
    """
    rng = np.random.default_rng(seed)
    people = 1 if task == "topdown" else PEOPLE
    places = rng.uniform(0, (size[1], size[0]), (count, people, joints, 2))
    keypoints = np.concatenate([places, np.ones_like(places[..., :1])], -1).astype(np.float32)
    batch = {"image": export.sample_crops(size, count, seed)}
    if task == "topdown":
        return batch | {"keypoints": keypoints[:, 0]}
    height, width = size
    return batch | {
        "keypoints": np.pad(keypoints, ((0, 0), (0, SLOTS - people), (0, 0), (0, 0))),
        "valid": np.ones(count, bool),
        "mirrored": np.zeros(count, bool),
        "mask_quarter": np.ones((count, height // 4, width // 4), np.uint8),
        "mask_half": np.ones((count, height // 2, width // 2), np.uint8),
    }


def _settings(task: str, size: tuple[int, int]) -> ConfigDict:
    """The part of a training configuration that the step reads, with Adam.

    The loss is the one that networks of the task share: a run folder brings its own.
    """
    loss = {
        "topdown": {"name": "heatmap_weighting", "fn": "x"},
        "associative_embedding": {"name": "mse", "push": 1e-3, "pull": 1e-3},
        "part_affinity": {"thickness": 1.0},
    }[task]
    return ConfigDict(
        {
            "task": task,
            "input_size": size,
            "sigma": 7.0 if task == "part_affinity" else 2.0,
            "loss": loss,
            "optimizer": {
                "name": "adam",
                "learning_rate": 5e-4,
                "b1": 0.9,
                "b2": 0.999,
                "eps": 1e-8,
                "clip_norm": 0.0,
            },
            "schedule": {"name": "constant", "warmup_steps": 0, "milestones": ()},
        }
    )
