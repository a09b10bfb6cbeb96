"""Decoded parts of images: whole or cut out, at full or at reduced resolution.

Examples are described in pixels of the whole image. A part knows where its pixels lie in it, so
that a crop has the same geometry, whichever part it is made from.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import cv2
import numpy as np

from jaxpose import geometry, images


class Part(Protocol):
    """A part of an image that can be cropped: `Region`, `on_device.Outline`."""

    def crop(
        self,
        matrix: np.ndarray,
        output_size: tuple[int, int],
        *,
        mirrored: bool = False,
        flipped: bool = False,
    ) -> np.ndarray: ...


class Source(Protocol):
    """An image from which an example is made.

    Attributes:
      size: (H, W) of the whole image, pixels.
    """

    @property
    def size(self) -> tuple[int, int]: ...

    def at(self, zoom: float) -> Part:
        """Returns pixels of the image for a crop.

        Args:
          zoom: pixels of the crop per pixel of the image.

        Raises:
          ImageError: the image is unusable.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Region:
    """A rectangle of an image, decoded. Implements `Source`.

    The pixel (u, v) covers `reduction` pixels of the image in both directions, from the image's
    edge or from `origin` on. With (0, 0) the center of a pixel, the image point x lies at
    u = (x - origin + 0.5) / reduction - 0.5, and y likewise.

    Attributes:
      pixels: uint8 RGB [h, w, 3].
      size: (H, W) of the whole image, pixels.
      origin: (x, y), pixels of the image left of and above the rectangle.
      reduction: (x, y), pixels of the image per pixel.
    """

    pixels: np.ndarray
    size: tuple[int, int]
    origin: tuple[float, float] = (0.0, 0.0)
    reduction: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def whole(cls, image: np.ndarray) -> Region:
        """Returns a whole image at full resolution."""
        height, width = image.shape[:2]
        return cls(image, (height, width))

    def at(self, zoom: float) -> Region:
        return self

    def crop(
        self,
        matrix: np.ndarray,
        output_size: tuple[int, int],
        *,
        mirrored: bool = False,
        flipped: bool = False,
    ) -> np.ndarray:
        """Warps the image as `geometry.crop`; zero outside the rectangle.

        Args:
          matrix: [2, 3], from points of the whole image, or of the mirrored whole image, to points
            of the crop.
          output_size: (H, W) of the crop.
          mirrored: mirror the image first: x -> W - 1 - x.
          flipped: mirror the crop afterwards.
        """
        pixels = cv2.flip(self.pixels, 1) if mirrored else self.pixels
        crop = geometry.crop(pixels, self.from_pixels(matrix, mirrored), output_size)
        return cv2.flip(crop, 1) if flipped else crop

    def from_pixels(self, matrix: np.ndarray, mirrored: bool = False) -> np.ndarray:
        """Returns `matrix` of `crop` for points in pixels of the region, or of the mirrored one."""
        if self.pixels.shape[:2] == self.size:
            return matrix
        return _from_pixels(matrix, self._origin(mirrored), self.reduction)

    def _origin(self, mirrored: bool) -> tuple[float, float]:
        x, y = self.origin
        if mirrored:
            x = self.size[1] - x - self.pixels.shape[1] * self.reduction[0]
        return x, y


def _from_pixels(
    matrix: np.ndarray, origin: tuple[float, float], reduction: tuple[float, float]
) -> np.ndarray:
    """The matrix [2, 3] that maps pixels of a region to where `matrix` maps their image points."""
    linear = matrix[:, :2] * reduction
    # Pixel (0, 0) has its center at this point of the image.
    first = np.array(origin) + np.array(reduction) / 2 - 0.5
    return np.column_stack([linear, matrix[:, :2] @ first + matrix[:, 2]])


@dataclasses.dataclass(frozen=True)
class Extent:
    """What the augmented examples of one person or image may show of the image.

    Attributes:
      low, high: (x, y), opposite corners of a rectangle that holds every crop; it may reach beyond
        the image. Pixels.
      zoom: the largest number of pixels of the crop per pixel of the image.
    """

    low: np.ndarray
    high: np.ndarray
    zoom: float

    def union(self, other: Extent) -> Extent:
        """What either of the two may show."""
        return Extent(
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            max(self.zoom, other.zoom),
        )


def cut(image: np.ndarray, extent: Extent) -> Region:
    """Cuts out the part of an image that the examples may show, at the resolution that they need.

    At full resolution the pixels are those of the image. At 1/2, 1/4 or 1/8 they are the means of
    squares; squares that reach beyond the image repeat its edge.

    Args:
      image: uint8 RGB [H, W, 3].
      extent: of the examples.
    """
    size = np.array(image.shape[1::-1])
    reduction = images.largest_reduction(extent.zoom)
    margin = 2 * reduction  # interpolation reads the next pixel
    first = np.floor((extent.low - margin) / reduction)
    first = np.clip(first, 0, (size - 1) // reduction).astype(int) * reduction
    last = np.clip(np.ceil(extent.high + margin + 1), first + 1, size).astype(int)
    (x, y), (right, bottom) = first.tolist(), last.tolist()
    pixels = image[y:bottom, x:right]
    if reduction > 1:
        height, width = bottom - y, right - x
        beyond = (-height % reduction, -width % reduction)
        pixels = cv2.copyMakeBorder(pixels, 0, beyond[0], 0, beyond[1], cv2.BORDER_REPLICATE)
        small = (pixels.shape[1] // reduction, pixels.shape[0] // reduction)
        pixels = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
    height, width = image.shape[:2]
    return Region(pixels, (height, width), (x, y), (reduction, reduction))


@dataclasses.dataclass(frozen=True)
class Jpeg:
    """A JPEG file that is decoded at the resolution that a crop needs. Implements `Source`.

    Attributes:
      data: content of the file.
      size: (H, W) of the image, pixels.
    """

    data: bytes
    size: tuple[int, int]
    _regions: dict[int, Region] = dataclasses.field(default_factory=dict)

    def at(self, zoom: float) -> Region:
        reduction = images.largest_reduction(zoom)
        if reduction not in self._regions:
            self._regions[reduction] = self._decode(reduction)
        return self._regions[reduction]

    def _decode(self, reduction: int) -> Region:
        if reduction == 1:
            return Region.whole(images.decode(self.data))
        pixels = images.decode_reduced(self.data, reduction)
        return Region(pixels, self.size, reduction=(reduction, reduction))


def zoom_of(matrix: np.ndarray) -> float:
    """Returns the pixels of the crop per pixel of the image, the larger of x and y.

    Args:
      matrix: [2, 3], from `geometry.affine`.
    """
    return float(np.hypot(matrix[:, 0], matrix[:, 1]).max())
