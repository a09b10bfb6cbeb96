"""Where the network that is exported or timed comes from: a run folder, or a name of the zoo."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import codecs, export, models, skeletons
from jaxpose.skeletons import Skeleton


@dataclass(frozen=True)
class Source:
    """A network with its weights and what is needed to use it. `input_size` is (H, W).

    `decode` belongs to top-down networks; `grouping` is None there, and else says how people are
    found: the options of one of the codecs in `codecs.PEOPLE`.
    """

    name: str
    model: nn.Module
    variables: dict
    skeleton: Skeleton
    input_size: tuple[int, int]
    decode: str = "quarter"
    sigma: float = 2.0
    grouping: Any = None

    def metadata(self) -> dict[str, Any]:
        """See `jaxpose.export.describe`, `describe_bottomup` and `describe_part_affinity`."""
        told = (self.name, self.skeleton, self.input_size)
        if self.grouping is None:
            return export.describe(*told, decode=self.decode, sigma=self.sigma)
        options = {"grouping": self.grouping, "sigma": self.sigma}
        if isinstance(self.grouping, codecs.part_affinity.Grouping):
            image = jax.ShapeDtypeStruct((1, *self.input_size, 3), jnp.float32)
            apply = partial(self.model.apply, train=False)
            stages = len(jax.eval_shape(apply, self.variables, image)) // 2
            return export.describe_part_affinity(*told, stages=stages, **options)
        return export.describe_bottomup(*told, **options)


def from_run(
    folder: str | os.PathLike,
    input_size: tuple[int, int] | None = None,
    step: int | str | None = None,
) -> Source:
    """The network of a run folder or of one of its checkpoints; see `runs.load_run`."""
    from jaxpose.runs import load_run

    config, model, variables, skeleton = load_run(Path(folder), step=step)
    size = input_size or tuple(config.input_size)
    people = config.task in codecs.PEOPLE
    return Source(
        config.model,
        model,
        variables,
        skeleton,
        size,
        decode="quarter" if people else config.eval.decode,
        sigma=config.sigma,
        grouping=codecs.grouping_from(config.task, config.eval) if people else None,
    )


def untrained(name: str, input_size: tuple[int, int] | None = None, seed: int = 0) -> Source:
    """A model of the zoo with random weights and COCO joints, for measurements of time alone."""
    info = models.info(name)
    size = input_size or tuple(info.input_size)
    joints = skeletons.COCO.num_joints
    model = models.create_model(name, models.network_joints(name, joints))
    variables = models.initial_variables(model, size, seed)
    codec = codecs.PEOPLE.get(info.task)
    grouping = codec.Grouping() if codec else None
    return Source(name, model, variables, skeletons.COCO, size, grouping=grouping)
