"""Augmentation of pixels on the devices: change of hue, saturation and value, and coarse dropout.

The host draws the numbers (`input_pipeline.topdown.pixels`) and sends them with the batch, so an
example looks the same for any number of devices and after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxpose.mesh import SPLIT

KEYS = ("color", "hole")  # of a batch; see `input_pipeline.batch.pixels_spec`

Placed = dict[str, jax.Array]


def keys_of(batch: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """The keys of a batch that `make_augment` needs; () if its pixels are not augmented."""
    return tuple(key for key in KEYS if key in batch)


def make_augment(mesh: Mesh) -> Callable[[Placed], Placed]:
    """A function that augments `image` of a placed batch and takes out what only it needs."""

    def augment(image: jax.Array, numbers: Placed) -> jax.Array:
        if "color" in numbers:
            image = shift_hsv(image, numbers["color"])
        if "hole" in numbers:
            image = drop(image, numbers["hole"])
        return image

    mapped = jax.jit(
        jax.shard_map(augment, mesh=mesh, in_specs=(SPLIT, SPLIT), out_specs=SPLIT),
        donate_argnums=0,
    )

    def augment_batch(placed: Placed) -> Placed:
        numbers = {key: placed[key] for key in KEYS if key in placed}
        if not numbers:
            return placed
        kept = {key: value for key, value in placed.items() if key not in KEYS}
        return kept | {"image": mapped(placed["image"], numbers)}

    return augment_batch


def shift_hsv(images: jax.Array, color: jax.Array) -> jax.Array:
    """Adds numbers to hue, saturation and value, in the units of OpenCV's 8-bit HSV.

    The hue is taken modulo 180; saturation and value are clipped to 0..255. Unlike OpenCV, nothing
    is rounded before the end, so an image to which 0 is added stays as it is.

    Args:
      images: uint8 RGB [B, H, W, 3].
      color: [B, 3], what is added to hue (in steps of 2 degrees), saturation and value.

    Returns:
      uint8 [B, H, W, 3].
    """
    pixels = images.astype(jnp.float32)
    red, green, blue = (pixels[..., channel] for channel in range(3))
    value, low = pixels.max(-1), pixels.min(-1)
    chroma = value - low
    divisor = jnp.where(chroma > 0, chroma, 1)
    # In units of 60 degrees, which are 30 steps of OpenCV.
    hue = jnp.where(
        value == red,
        (green - blue) / divisor,
        jnp.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    saturation = 255 * chroma / jnp.where(value > 0, value, 1)

    hue_change, saturation_change, value_change = (
        color[:, channel, None, None].astype(jnp.float32) for channel in range(3)
    )
    hue = hue + hue_change / 30
    saturation = jnp.clip(saturation + saturation_change, 0, 255)
    value = jnp.clip(value + value_change, 0, 255)
    chroma = value * saturation / 255

    def channel(offset: float) -> jax.Array:
        # How far the hue is from where the channel is 0, between 0 and 3 of its six sixths.
        sixth = jnp.mod(hue + offset, 6)
        return value - chroma * jnp.clip(jnp.minimum(sixth, 4 - sixth), 0, 1)

    changed = jnp.round(jnp.stack([channel(5), channel(3), channel(1)], -1))
    return changed.astype(jnp.uint8)


def drop(images: jax.Array, hole: jax.Array) -> jax.Array:
    """Sets a rectangle of each image to 0.

    Args:
      images: uint8 [B, H, W, 3].
      hole: int [B, 4], (left, top, right, bottom) in pixels; right and bottom are outside of it.

    Returns:
      uint8 [B, H, W, 3].
    """
    height, width = images.shape[1:3]
    left, top, right, bottom = (hole[:, side, None, None] for side in range(4))
    x, y = jnp.arange(width)[None, None], jnp.arange(height)[None, :, None]
    inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    return jnp.where(inside[..., None], jnp.zeros((), images.dtype), images)
