"""Augmentation of a whole image, as in the public HigherHRNet code: one random similarity transform
about the image center for image, masks and keypoints, then a mirror.

The augmentation only changes numbers; image and masks are warped once, with one matrix per
resolution.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from input_pipeline import order
from input_pipeline.dataset import check_choice
from input_pipeline.region import Region, Source, zoom_of
from jaxpose import geometry

SCALE_TYPES = ("short", "long")


@dataclasses.dataclass(frozen=True)
class Options:
    """Strengths of the augmentation: the settings of `config.augment` (docs/settings.md).

    Raises:
      ValueError: an unknown scale type, or an invalid range of scales.
    """

    scale_type: str
    flip: float
    scale_min: float
    scale_max: float
    rotation: float
    translate: float

    def __post_init__(self) -> None:
        check_choice(self.scale_type, "augment.scale_type", SCALE_TYPES)
        if not 0 < self.scale_min <= self.scale_max:
            raise ValueError(
                f"config.augment.scale_min={self.scale_min:g} and scale_max={self.scale_max:g} "
                "must be 0 < scale_min <= scale_max"
            )

    @classmethod
    def from_config(cls, augment: Any) -> Options:
        return cls(**{field.name: augment[field.name] for field in dataclasses.fields(cls)})


@dataclasses.dataclass(frozen=True)
class Draws:
    """The random numbers of one example, uniform in [0, 1).

    All of them are drawn whatever the options, so switching off one augmentation does not change
    the others.
    """

    zoom: float
    angle: float
    shift_x: float
    shift_y: float
    flip: float


def draw(seed: int, epoch: int, index: int) -> Draws:
    """Draws the random numbers of the image `index` in `epoch`."""
    return Draws(*order.uniforms(seed, epoch, index, 5).tolist())


@dataclasses.dataclass(frozen=True)
class View:
    """A view of an image: `geometry.affine` with center, scale and rotation, then a mirror.

    Attributes:
      center: [2], center of the view in pixels of the image.
      scale: [2], extent of the view in units of 200 pixels: (W, H) of the output / its short side *
        the extent that its short side shows.
      rotation: degrees.
      flip: whether the result is mirrored.
    """

    center: np.ndarray
    scale: np.ndarray
    rotation: float
    flip: bool


def augment(
    image_size: tuple[int, int], draws: Draws, options: Options, input_size: tuple[int, int]
) -> View:
    """Computes the view of an image from random numbers.

    A factor a is uniform between `scale_min` and `scale_max`. With scale type "short", a square of
    side a * (short side of the image) fills the output, or the output's short side if the output is
    not square. With "long", a = 1 fits the whole image into the output. The view is rotated by up
    to `rotation` degrees. Its center is moved from the image center by an integer from
    [-translate * s, translate * s) in x and in y, where s is the side of the square in units of 200
    pixels.

    Args:
      image_size: (H, W) of the image, pixels.
      draws: the random numbers of this example and epoch.
      options: strengths.
      input_size: (H, W) of the output, pixels.
    """
    height, width = image_size
    zoom = options.scale_min + (options.scale_max - options.scale_min) * draws.zoom
    if options.scale_type == "long":
        _, (across, down) = geometry.bottomup_fit(image_size, input_size)
        scale = zoom * float(min(across, down))
    else:
        scale = zoom * min(height, width) / geometry.PIXEL_STD
    reach = int(options.translate * scale)
    shift = [int(2 * reach * u) - reach for u in (draws.shift_x, draws.shift_y)]
    return View(
        center=np.array([width / 2 + shift[0], height / 2 + shift[1]]),
        scale=scale * np.array(input_size[::-1]) / min(input_size),
        rotation=options.rotation * (2 * draws.angle - 1),
        flip=draws.flip < options.flip,
    )


def view_matrix(view: View, size: tuple[int, int]) -> np.ndarray:
    """Returns the matrix [2, 3] of the view at resolution (h, w), before the mirror."""
    return geometry.affine(view.center, view.scale, view.rotation, size)


def warp(image: Source, view: View, size: tuple[int, int]) -> np.ndarray:
    """Warps an image to the view at resolution (h, w); zero outside the image.

    Raises:
      ImageError: the image is unusable.
    """
    matrix = view_matrix(view, size)
    return image.at(zoom_of(matrix)).crop(matrix, size, flipped=view.flip)


def warp_mask(mask: Region, view: View, size: tuple[int, int]) -> np.ndarray:
    """Warps a mask to the view, uint8 [h, w] of 0 and 1.

    A pixel is 1 if bilinear interpolation gives more than one half. Pixels outside the image are 0.

    Args:
      mask: of an image, uint8 [H, W] of 0 and 255.
      view: the view.
      size: (h, w) of the result.
    """
    return (warp(mask, view, size) > 127).view(np.uint8)


def warp_keypoints(
    keypoints: np.ndarray, view: View, size: tuple[int, int], flip_indices: np.ndarray
) -> np.ndarray:
    """Transforms keypoints to pixels of the view; zeros where not labeled.

    Args:
      keypoints: [N, K, 3], (x, y, labeled) in pixels of the image.
      view: the view.
      size: (H, W) of the output.
      flip_indices: `Skeleton.flip_indices`.

    Returns:
      float32 [N, K, 3].
    """
    matrix = view_matrix(view, size)
    points = geometry.transform(keypoints[..., :2].astype(np.float64), matrix)
    labeled = keypoints[..., 2:] > 0
    if view.flip:
        points[..., 0] = size[1] - 1 - points[..., 0]
        points, labeled = points[:, flip_indices], labeled[:, flip_indices]
    return np.concatenate([np.where(labeled, points, 0), labeled], axis=-1).astype(np.float32)
