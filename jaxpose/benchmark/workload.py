"""What the training benchmarks run: a network, its objective and a batch of synthetic images."""

from __future__ import annotations

from dataclasses import dataclass

import flax.linen as nn
import numpy as np
from ml_collections import ConfigDict

from jaxpose import models, runs, skeletons, tasks
from jaxpose.config import default_config
from jaxpose.files import location


@dataclass(frozen=True)
class Workload:
    """A network to train.

    Attributes:
      name: name of the model.
      model: the network.
      task: of the network.
      size: (H, W) of its input.
      config: settings of the step: loss, sigma, optimizer, schedule.
      batch: one training batch; see input_pipeline/batch.py.
    """

    name: str
    model: nn.Module
    task: tasks.Task
    size: tuple[int, int]
    config: ConfigDict
    batch: dict[str, np.ndarray]

    @property
    def loss(self) -> str:
        """The loss in words."""
        return self.task.describe_loss(self.config)


def make_workload(
    what: str, size: tuple[int, int] | None, batch_size: int, task_name: str | None = None
) -> Workload:
    """The workload of a model, or of a run folder with its own options, keypoints and loss.

    Args:
      what: name of a model, or a run folder.
      size: (H, W) of the input; None for that of the model or run.
      batch_size: examples per step.
      task_name: task of a network that does not declare one.

    Raises:
      ValueError: neither a model nor a run folder; the message has the nearest name.
    """
    if not location(what).is_dir():
        return model_workload(what, size, batch_size, task_name)
    config, _, _, skeleton = runs.load_run(what)
    task = tasks.get(config.task)
    size = size or tuple(config.input_size)
    settings = _settings(task, size)
    settings.sigma = config.sigma
    if "codec" in config:  # only on crops
        settings.codec = config.codec
    settings.loss = config.loss
    config.batch_norm = "device"  # on one device, the same as "global"
    model = tasks.create_model(config, skeleton.num_joints)
    batch = task.sample_batch(size, batch_size, skeleton.num_joints)
    return Workload(config.model, model, task, size, settings, batch)


def model_workload(
    name: str, size: tuple[int, int] | None, batch_size: int, task_name: str | None = None
) -> Workload:
    """The workload of an untrained network with COCO's keypoints.

    Raises:
      ValueError: unknown model; the message has the nearest name.
    """
    task = tasks.get(models.task_name(name, task_name), f"{name}: task")
    size = size or models.default_size(name)
    keypoints = skeletons.COCO.num_joints
    model = models.create_model(name, task.network_keypoints(keypoints))
    batch = task.sample_batch(size, batch_size, keypoints)
    return Workload(name, model, task, size, _settings(task, size), batch)


def _settings(task: tasks.Task, size: tuple[int, int]) -> ConfigDict:
    """The task's defaults with a constant learning rate of 5e-4."""
    config = default_config(task.SETTINGS, task=task.NAME)
    config.input_size = size
    config.optimizer.learning_rate = 5e-4
    config.schedule.name, config.schedule.warmup_steps = "constant", 0
    config.update_from_flattened_dict(task.BENCHMARK)
    return config
