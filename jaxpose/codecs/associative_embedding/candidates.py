"""What grouping needs to know of the maps, found on the device with fixed shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike


@dataclasses.dataclass(frozen=True)
class Grouping:
    """How people are found in maps; the defaults are those of HigherHRNet's and LitePose's tests.

    Args:
      max_people: candidates of a joint, and groups that take part in matching. More groups may
        come out.
      detection_threshold: candidates must be above it; not negative.
      tag_threshold: a candidate joins a group when its tag is nearer than this to the group's.
      nms_kernel: odd side of the window in which a candidate is a maximum, in pixels.
      adjust: move joints by a quarter pixel toward the higher neighbour and by half a pixel.
      refine: fill each person's missing joints from the maps.
    """

    max_people: int = 30
    detection_threshold: float = 0.1
    tag_threshold: float = 1.0
    nms_kernel: int = 5
    adjust: bool = True
    refine: bool = True

    def __post_init__(self) -> None:
        if self.max_people < 1:
            raise ValueError(f"max_people must be at least 1, got {self.max_people}")
        if not self.detection_threshold >= 0:
            raise ValueError(
                f"detection_threshold must not be negative, got {self.detection_threshold}"
            )
        if self.nms_kernel < 1 or self.nms_kernel % 2 == 0:
            raise ValueError(f"nms_kernel must be an odd number from 1, got {self.nms_kernel}")

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Grouping:
        """The options under their names in `settings`, which may hold others, too."""
        return cls(**{field.name: settings[field.name] for field in dataclasses.fields(cls)})


class Candidates(NamedTuple):
    """The `max_people` highest peaks of every joint, in descending order; K joints, M peaks.

    Without a leading [B] they are those of one picture.
    """

    values: jax.Array  # float32 [B, K, M], heat; 0 where there are fewer peaks
    places: jax.Array  # int32 [B, K, M, 2], (x, y) of the pixel
    offsets: jax.Array  # float32 [B, K, M, 2], (x, y) toward the higher neighbours, +-0.25
    tags: jax.Array  # float32 [B, K, M, T]


def candidates(heatmaps: ArrayLike, tags: ArrayLike, options: Grouping) -> Candidates:
    """Peaks of a batch of maps: the part of grouping that runs on the device.

    A peak is a pixel that equals the maximum of the window around it; neighbouring equal pixels are
    peaks both.

    Args:
      heatmaps: [B, H, W, K].
      tags: [B, H, W, K, T].
      options: static under `jax.jit`.
    """
    heatmaps = jnp.asarray(heatmaps, jnp.float32)
    tags = jnp.asarray(tags, jnp.float32)
    batch, height, width, joints = heatmaps.shape
    pooled = heatmaps
    for axis in (1, 2):
        window, pad = [1] * 4, [(0, 0)] * 4
        window[axis], pad[axis] = options.nms_kernel, (options.nms_kernel // 2,) * 2
        pooled = lax.reduce_window(pooled, -jnp.inf, lax.max, window, (1,) * 4, pad)
    peaks = jnp.where(heatmaps == pooled, heatmaps, 0)

    flat = peaks.reshape(batch, height * width, joints).swapaxes(1, 2)
    values, index = lax.top_k(flat, min(options.max_people, height * width))
    x, y = index % width, index // width

    picture = jnp.arange(batch)[:, None, None]
    joint = jnp.arange(joints)[:, None]

    def heat(dx: int, dy: int) -> jax.Array:
        near_y, near_x = jnp.clip(y + dy, 0, height - 1), jnp.clip(x + dx, 0, width - 1)
        return heatmaps[picture, near_y, near_x, joint]

    # A tie moves left, or up.
    rising = jnp.stack([heat(1, 0) > heat(-1, 0), heat(0, 1) > heat(0, -1)], axis=-1)
    return Candidates(
        values=values,
        places=jnp.stack([x, y], axis=-1),
        offsets=jnp.where(rising, 0.25, -0.25),
        tags=tags[picture, y, x, joint],
    )
