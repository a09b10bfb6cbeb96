"""Examples whose pixels lie on the devices: the host makes everything of a batch but the crops.

With `config.data.on_device`, the prepared parts of all images are packed into one array
(`pack`), and the batches tell where each crop lies in it (`spec_on_device`).
`jaxpose.training.device_crops` keeps the array on the devices and makes the crops there.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np

from input_pipeline.batch import Spec
from input_pipeline.prepared import Prepared
from input_pipeline.region import Region
from jaxpose.images import ImageError

LANES = 128  # each part starts at a multiple of this, pixels; TPUs store arrays in rows of 128
FARTHEST = 2**15  # the devices calculate positions below this, pixels


@dataclasses.dataclass(frozen=True)
class Packed:
    """The prepared parts of all images of a split.

    Attributes:
      pixels: uint32 [rows, LANES], R + 256 G + 65536 B of each pixel, row by row of each part.
      table: int32 [N, 3], the first row in `pixels`, height and width of the part of each example;
        zeros for an unusable image.
    """

    pixels: np.ndarray
    table: np.ndarray


def pack(prepared: Prepared) -> Packed:
    """Reads the prepared parts of all examples.

    Raises:
      ValueError: the prepared files are damaged.
    """
    shapes = prepared.shapes()
    rows = -(-shapes.prod(axis=1) // LANES)
    first = np.where(rows > 0, np.cumsum(rows) - rows, 0)
    table = np.column_stack([first, shapes]).astype(np.int32)
    pixels = np.zeros((rows.sum(), LANES), "<u4")
    flat = pixels.view(np.uint8).reshape(-1, 4)
    for index, (row, height, width) in enumerate(table.tolist()):
        if region := prepared(index):
            part = flat[row * LANES : row * LANES + height * width].reshape(height, width, 4)
            part[...] = cv2.cvtColor(region.pixels, cv2.COLOR_RGB2RGBA)
    return Packed(pixels, table)


def spec_on_device(spec: Spec) -> Spec:
    """Returns the spec of a training batch without `image`, but with:

    * row: index of the example in `Packed.table`.
    * matrix: [2, 3], from pixels of the crop to pixels of the prepared part, (0, 0) being the
      center of a pixel. The crop is mirrored by the matrix if the example is.
    """
    kept = {key: value for key, value in spec.items() if key != "image"}
    return {"row": (np.dtype(np.int32), ()), "matrix": (np.dtype(np.float32), (2, 3)), **kept}


def row_on_device(index: int, values: dict[str, Any]) -> dict[str, Any]:
    """Returns example `index`, made from an `Outline`, as a row of a batch of `spec_on_device`."""
    return {"row": index, "matrix": values.pop("image"), **values}


@dataclasses.dataclass(frozen=True)
class Outline:
    """A region whose pixels are not read: its crops are matrices. Implements `Source`.

    Attributes:
      region: the region.
    """

    region: Region

    @property
    def size(self) -> tuple[int, int]:
        return self.region.size

    def at(self, zoom: float) -> Outline:
        return self

    def crop(
        self,
        matrix: np.ndarray,
        output_size: tuple[int, int],
        *,
        mirrored: bool = False,
        flipped: bool = False,
    ) -> np.ndarray:
        """Returns the matrix, float32 [2, 3], from pixels of the crop to those of the region.

        For the arguments, see `Region.crop`.

        Raises:
          ImageError: the crop reaches too far for the arithmetic of the devices.
        """
        height, width = output_size
        right, bottom = width - 1, height - 1
        inverse: np.ndarray = cv2.invertAffineTransform(self.region.from_pixels(matrix, mirrored))
        if mirrored:
            inverse[0] = -inverse[0]
            inverse[0, 2] += self.region.pixels.shape[1] - 1
        if flipped:
            inverse[:, 2] += inverse[:, 0] * right
            inverse[:, 0] = -inverse[:, 0]
        corners = np.array([[0, right, 0, right], [0, 0, bottom, bottom], [1, 1, 1, 1]])
        if np.abs(inverse @ corners).max() >= FARTHEST - 1:
            raise ImageError(f"has a crop {FARTHEST:,} pixels wide, too wide for data.on_device")
        return inverse.astype(np.float32)
