"""What the training benchmarks run: the training of a network, and a batch of synthetic images."""

from __future__ import annotations

import os
import pathlib
from dataclasses import dataclass

import flax.linen as nn
import numpy as np
from ml_collections import ConfigDict

import jaxpose
from jaxpose import models, runs, skeletons, tasks
from jaxpose.config import default_config
from jaxpose.config.flags import read_settings
from jaxpose.config.recipe import split_recipe
from jaxpose.files import is_folder
from jaxpose.plan.step import keypoints_of
from jaxpose.training.setup import Setup, make_setup

CHECKOUT = pathlib.Path(jaxpose.__file__).resolve().parent.parent
PAPERS = "papers"
# The recipe of each paper, in the folder configs/.
RECIPES = (
    "wlitepose.py:s,coco",
    "hwl.py:coco,256x192",
    "lite_csw_hrnet.py:18,coco,256x192",
    "lightweight_hrnet.py:rm2",
    "el_hrnet.py:coco,256x192",
)


@dataclass(frozen=True, eq=False)
class Workload:
    """A network to train.

    Attributes:
      name: name of the model.
      source: what it comes from: a model, a run folder or a recipe.
      setup: its training, for one device.
      batch: one training batch; see input_pipeline/batch.py.
    """

    name: str
    source: str
    setup: Setup
    batch: dict[str, np.ndarray]

    @property
    def config(self) -> ConfigDict:
        """All settings; the batch size is that of one device."""
        return self.setup.config

    @property
    def model(self) -> nn.Module:
        """The network."""
        return self.setup.model

    @property
    def task(self) -> tasks.Task:
        """The task of the network."""
        return tasks.get(self.config.task)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of its input."""
        height, width = self.config.input_size
        return height, width

    @property
    def loss(self) -> str:
        """The loss in words."""
        return self.task.describe_loss(self.config)


def paper_recipes() -> list[str]:
    """The recipes of the five papers.

    Raises:
      ValueError: jaxpose is installed without them.
    """
    folder = CHECKOUT / "configs"
    if not folder.is_dir():
        raise ValueError(
            f"{PAPERS}: the recipes are not installed: run the command in a checkout of the project"
        )
    return [os.path.relpath(folder / recipe) for recipe in RECIPES]


def make_workload(
    what: str,
    size: tuple[int, int] | None,
    batch_size: int,
    task_name: str | None = None,
    *,
    dtype: str | None = None,
    overrides: list[str] | None = None,
) -> Workload:
    """The workload of a model, of a run folder, or of a recipe.

    Args:
      what: name of a model, a run folder, or FILE.py[:VARIANT].
      size: (H, W) of the input; None for that of the model, run or recipe.
      batch_size: examples per step.
      task_name: task of a network that does not declare one.
      dtype: float32 or bfloat16; None for that of the run or recipe, or float32.
      overrides: --config.KEY=VALUE, for a recipe.

    Raises:
      ValueError: none of these, with the nearest name; or settings that do not fit the network.
    """
    if split_recipe(what)[0].suffix == ".py":
        config = read_settings("jaxpose benchmark", what, overrides or [])
        return _workload(config, what, size, batch_size, keypoints_of(config), dtype)
    if overrides:
        raise ValueError(f"{what} is not a recipe: unrecognized arguments: {' '.join(overrides)}")
    if not is_folder(what):
        return model_workload(what, size, batch_size, task_name, dtype=dtype)
    info = runs.read_info(runs.run_folder(what))
    config = info.config.copy_and_resolve_references()
    config.batch_norm = "device"  # on one device, the same as "global"
    return _workload(config, what, size, batch_size, info.skeleton.num_joints, dtype)


def model_workload(
    name: str,
    size: tuple[int, int] | None,
    batch_size: int,
    task_name: str | None = None,
    *,
    dtype: str | None = None,
) -> Workload:
    """The workload of an untrained network with COCO's keypoints and the defaults of its task.

    Raises:
      ValueError: unknown model; the message has the nearest name.
    """
    task = tasks.get(models.task_name(name, task_name), f"{name}: task")
    config = default_config(task.SETTINGS, task=task.NAME)
    config.model = name
    config.input_size = size or models.default_size(name)
    config.optimizer.learning_rate = 5e-4
    config.update_from_flattened_dict(task.BENCHMARK)
    return _workload(config, name, size, batch_size, skeletons.COCO.num_joints, dtype)


def _workload(
    config: ConfigDict,
    source: str,
    size: tuple[int, int] | None,
    batch_size: int,
    num_keypoints: int,
    dtype: str | None,
) -> Workload:
    """A workload with a constant learning rate, whose metrics are those of each step."""
    config.input_size = size or tuple(config.input_size)
    config.dtype = dtype or config.dtype
    config.batch_size, config.eval.batch_size = batch_size, 1
    config.schedule.name, config.schedule.warmup_steps = "constant", 0
    config.log_every = 1
    config.data.root = config.data.root or "."
    tasks.validate(config, devices=1)
    batch = tasks.get(config.task).sample_batch(config.input_size, batch_size, num_keypoints)
    setup = make_setup(config, num_keypoints, steps_per_epoch=1.0, total_steps=1)
    return Workload(config.model, source, setup, batch)
