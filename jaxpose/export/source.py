"""Where the network that is exported or timed comes from: a run folder, or a name of the zoo."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import export, models, skeletons
from jaxpose.codecs.associative_embedding import Grouping
from jaxpose.skeletons import Skeleton


@dataclass(frozen=True)
class Source:
    """A network with its weights and what is needed to use it. `input_size` is (H, W).

    `decode` belongs to top-down networks; `grouping` is None there, and says how a bottom-up one's
    people are found.
    """

    name: str
    model: nn.Module
    variables: dict
    skeleton: Skeleton
    input_size: tuple[int, int]
    decode: str = "quarter"
    sigma: float = 2.0
    grouping: Grouping | None = None

    def metadata(self) -> dict[str, Any]:
        """See `jaxpose.export.describe` and `describe_bottomup`."""
        told = (self.name, self.skeleton, self.input_size)
        if self.grouping is not None:
            return export.describe_bottomup(*told, grouping=self.grouping, sigma=self.sigma)
        return export.describe(*told, decode=self.decode, sigma=self.sigma)


def from_run(
    folder: str | os.PathLike,
    input_size: tuple[int, int] | None = None,
    step: int | str | None = None,
) -> Source:
    """The network of a run folder or of one of its checkpoints; see `checkpoint.load_run`."""
    from jaxpose.training.checkpoint import load_run

    config, model, variables, skeleton = load_run(Path(folder), step=step)
    size = input_size or tuple(config.input_size)
    bottomup = config.paradigm == "bottomup"
    return Source(
        config.model,
        model,
        variables,
        skeleton,
        size,
        decode="quarter" if bottomup else config.eval.decode,
        sigma=config.sigma,
        grouping=Grouping.from_settings(config.eval) if bottomup else None,
    )


def untrained(name: str, input_size: tuple[int, int] | None = None, seed: int = 0) -> Source:
    """A model of the zoo with random weights and COCO joints, for measurements of time alone."""
    info = models.info(name)
    size = input_size or tuple(info.input_size)
    model = models.create_model(name, skeletons.COCO.num_joints)
    image = jnp.zeros((1, *size, 3))
    variables = jax.jit(lambda key: model.init(key, image, train=False))(jax.random.key(seed))
    grouping = Grouping() if info.paradigm == "bottomup" else None
    return Source(name, model, variables, skeletons.COCO, size, grouping=grouping)


def parse_size(text: str) -> tuple[int, int]:
    """ "256x192" -> (256, 192), height first. For argparse."""
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise ValueError(f"size {text!r} must be HxW, e.g. 256x192") from None
    return height, width
