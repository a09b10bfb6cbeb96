"""Training images that stay on the devices, and their crops, which are made there.

Each device holds the pixels of all examples: the order of the examples is random, so a device needs
any of them in any step. The arithmetic is in integers. A crop is therefore the same, byte by byte,
on CPU, GPU and TPU, for any number of devices and however XLA compiles it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding

from jaxpose.mesh import EVERYWHERE, SPLIT, shard_batch
from jaxpose.wording import quantity

_MATRIX_BITS = 16  # of a matrix after the point; positions below 2**15 pixels fit into int32
_BITS = 11  # of a position after the point: 8 bits of a color and 2 x 11 of its weight fit


class Packed(Protocol):
    """The pixels of all examples: `input_pipeline.on_device.Packed`."""

    @property
    def pixels(self) -> np.ndarray: ...
    @property
    def table(self) -> np.ndarray: ...


class DeviceCrops:
    """The pixels of all examples on every device of a mesh.

    Args:
      packed: the pixels. Each host gives all of them.
      output_size: (H, W) of the crops.
      mesh: the mesh.
      log: is called with a line about the size.

    Raises:
      ValueError: they do not fit into the memory of a device of this host.
    """

    def __init__(
        self,
        packed: Packed,
        output_size: tuple[int, int],
        mesh: Mesh,
        log: Callable[[str], None],
    ) -> None:
        self._mesh = mesh
        needed = packed.pixels.nbytes + packed.table.nbytes
        check_fits(needed, [device.memory_stats() for device in mesh.local_devices])
        self._stored = [keep(array, mesh) for array in (packed.pixels, packed.table)]
        log(
            f"{quantity(len(packed.table), 'training example')} on each device: "
            f"{needed / 1e6:,.0f} MB"
        )

        def device_crops(pixels, table, row, matrix):
            return crop(pixels, table, row, matrix, output_size)

        self._crop = jax.jit(
            jax.shard_map(
                device_crops,
                mesh=mesh,
                in_specs=(EVERYWHERE, EVERYWHERE, SPLIT, SPLIT),
                out_specs=SPLIT,
            )
        )

    def place(self, batch: Mapping[str, np.ndarray], keys: Sequence[str]) -> dict[str, jax.Array]:
        """Puts this host's part of a batch on its devices, and makes the crops there.

        Args:
          batch: with the keys of `input_pipeline.on_device.spec_on_device`.
          keys: what the step reads; `image` is made.

        Returns:
          arrays [B, ...] split over the mesh.
        """
        sent = {key: batch[key] for key in ("row", "matrix", *keys) if key != "image"}
        placed = shard_batch(sent, self._mesh)
        image = self._crop(*self._stored, placed.pop("row"), placed.pop("matrix"))
        return {"image": image, **placed}


def keep(array: np.ndarray, mesh: Mesh) -> jax.Array:
    """Puts an array that each host has on every device.

    Unlike `device_put`, it does not send the array to the other hosts to compare it with theirs.
    """
    everywhere = NamedSharding(mesh, EVERYWHERE)
    return jax.make_array_from_callback(array.shape, everywhere, lambda index: array[index])


def check_fits(needed: int, statistics: Sequence[Mapping[str, int] | None]) -> None:
    """Checks that bytes fit into the free memory of each device.

    Args:
      needed: bytes.
      statistics: `Device.memory_stats()` of each device; None or incomplete where JAX does not
        know its memory, as on CPU.

    Raises:
      ValueError: they do not fit.
    """
    for known in statistics:
        if known and "bytes_limit" in known and "bytes_in_use" in known:
            free = known["bytes_limit"] - known["bytes_in_use"]
            if needed > free:
                raise ValueError(
                    f"config.data.on_device=True needs {needed:,} bytes on each device, where "
                    f"{free:,} are free: --config.data.on_device=False"
                )


def crop(
    pixels: jax.Array,
    table: jax.Array,
    row: jax.Array,
    matrix: jax.Array,
    output_size: tuple[int, int],
) -> jax.Array:
    """Crops parts of a packed array, bilinear, zero outside each part.

    Output pixel (x, y) samples the part at `matrix` (x, y, 1). The matrix is rounded to 2**-16, the
    position to 2**-11 and the result to an integer, halves upwards. OpenCV's `warpAffine` rounds
    differently; see docs/input.md.

    Args:
      pixels: uint32 [rows, lanes], R + 256 G + 65536 B.
      table: int32 [N, 3], the first row of `pixels`, height and width of each part.
      row: int32 [B], rows of the table.
      matrix: float32 [B, 2, 3]; positions must be below 2**15 pixels.
      output_size: (H, W).

    Returns:
      uint8 [B, H, W, 3].
    """
    start, height, width = (part[:, None, None] for part in table[row].T)
    shape = (len(row), *output_size)
    x, y = (lax.broadcasted_iota(jnp.int32, shape, axis) for axis in (2, 1))
    fixed = jnp.round(matrix * 2**_MATRIX_BITS).astype(jnp.int32)[..., None, None]
    step = _MATRIX_BITS - _BITS

    def position(axis: int) -> tuple[jax.Array, jax.Array]:
        """The pixel at or before the position, and the position after it in units of 2**-11."""
        across, down, offset = (fixed[:, axis, column] for column in range(3))
        place = (across * x + down * y + offset + 2 ** (step - 1)) >> step
        return place >> _BITS, place & (2**_BITS - 1)

    (left, right_weight), (top, bottom_weight) = position(0), position(1)
    lanes = np.int32(pixels.shape[1])
    sums: list[jax.Array] = [jnp.full(shape, 2 ** (2 * _BITS - 1), jnp.int32)] * 3
    for right, bottom in ((0, 0), (1, 0), (0, 1), (1, 1)):
        u, v = left + right, top + bottom
        inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        index = jnp.where(inside, v * width + u, 0)
        place = start + lax.div(index, lanes), lax.rem(index, lanes)
        found = pixels.at[place].get(mode="promise_in_bounds")
        colors = jnp.where(inside, found, 0).astype(jnp.int32)
        weight = jnp.where(right, right_weight, 2**_BITS - right_weight)
        weight *= jnp.where(bottom, bottom_weight, 2**_BITS - bottom_weight)
        sums = [
            total + ((colors >> shift) & 255) * weight
            for total, shift in zip(sums, (0, 8, 16), strict=True)
        ]
    red, green, blue = ((total >> (2 * _BITS)).astype(jnp.uint32) for total in sums)
    # One word per pixel: stacked colors take twice the temporary memory on CPU.
    words = lax.optimization_barrier(red | (green << 8) | (blue << 16))
    return lax.bitcast_convert_type(words, jnp.uint8)[..., :3]
