"""The network to export or benchmark: from a run folder, or untrained by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxpose import models, skeletons, tasks
from jaxpose.config import default_config
from jaxpose.export.metadata import describe
from jaxpose.export.verify import Expected, expected_outputs
from jaxpose.files import Location
from jaxpose.skeletons import Skeleton


@dataclass(frozen=True)
class Source:
    """A network with its weights, skeleton and settings.

    Attributes:
      name: name of the model.
      model: the network.
      variables: its weights and batch statistics.
      skeleton: of the poses.
      input_size: (H, W).
      task: of the network.
      config: settings of the run, or the task's defaults.
      trained: whether the weights are those of a run, and not random.
      decoded: whether files of the network decode its outputs (`Task.FILE_DECODING`).
    """

    name: str
    model: nn.Module
    variables: dict
    skeleton: Skeleton
    input_size: tuple[int, int]
    task: tasks.Task
    config: ConfigDict
    trained: bool = True
    decoded: bool = False

    @property
    def file_decode(self) -> Callable[[Any], Any] | None:
        """What a file computes from the outputs; None if it returns the outputs themselves."""
        decoding = self.task.FILE_DECODING
        return decoding.decode if self.decoded and decoding else None

    @property
    def decoder(self) -> tasks.Decoder:
        """How the outputs become poses."""
        return self.task.decoder_from_config(self.config)

    def expected_outputs(self, images: np.ndarray | None = None) -> Expected:
        """What the network makes of images; see `jaxpose.export.expected_outputs`."""
        return expected_outputs(
            self.model,
            self.variables,
            self.input_size,
            self.task,
            self.decoder,
            skeleton=self.skeleton,
            images=images,
            trained=self.trained,
        )

    def metadata(self) -> dict[str, Any]:
        """The metadata of a file of this network; see `jaxpose.export.describe`."""
        image = jax.ShapeDtypeStruct((1, *self.input_size, 3), jnp.float32)
        outputs = jax.eval_shape(
            lambda v, x: self.model.apply(v, x, train=False), self.variables, image
        )
        values = describe(
            self.name,
            self.task,
            self.config,
            self.skeleton,
            self.input_size,
            num_outputs=len(jax.tree.leaves(outputs)),
        )
        decoding = self.task.FILE_DECODING
        if self.decoded and decoding:
            names = [{"name": name} for name in decoding.outputs]
            values |= {"outputs": names, "decoded": True, "flip": False}
        return values


def from_run(
    folder: str | Location,
    input_size: tuple[int, int] | None = None,
    step: int | str | None = None,
) -> Source:
    """The network of a run folder or of one of its checkpoints; see `runs.load_run`."""
    from jaxpose.runs import load_run

    config, model, variables, skeleton = load_run(folder, step=step)
    size = input_size or tuple(config.input_size)
    task = tasks.get(config.task)
    return Source(config.model, model, variables, skeleton, size, task, config)


def untrained(
    name: str,
    input_size: tuple[int, int] | None = None,
    seed: int = 0,
    *,
    task_name: str | None = None,
) -> Source:
    """A network with random weights and COCO's keypoints, for benchmarks.

    Args:
      name: as `models.create_model` takes it.
      input_size: (H, W); None for that of the model.
      seed: random seed of the weights.
      task_name: task of a network that does not declare one.
    """
    task = tasks.get(models.task_name(name, task_name), f"{name}: task")
    size = input_size or models.default_size(name)
    skeleton = skeletons.COCO
    model = models.create_model(name, task.network_keypoints(skeleton.num_joints))
    variables = models.initial_variables(model, size, seed)
    config = default_config(task.SETTINGS, task=task.NAME)
    return Source(name, model, variables, skeleton, size, task, config, trained=False)
