"""Augmentation of a whole picture, as the public HigherHRNet code does it: one random similarity
about the picture's center for image, masks and joints, then a mirror image.

Only the numbers are drawn here; everything is warped once, by one matrix for each resolution.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np

from input_pipeline import dataset as datasets
from input_pipeline import order
from jaxpose import geometry

SCALE_TYPES = ("short", "long")


@dataclasses.dataclass(frozen=True)
class Options:
    """Strength of the augmentation; the keys of `config.augment`, where they are explained.

    Raises:
      ValueError: an unknown scale type, or a range of scales that is none.
    """

    scale_type: str
    flip: float
    scale_min: float
    scale_max: float
    rotation: float
    translate: float

    def __post_init__(self) -> None:
        datasets.choice(self.scale_type, "augment.scale_type", SCALE_TYPES)
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
    """The random numbers of one example, all uniform in [0, 1) and all drawn whatever the options,
    so that turning one augmentation off leaves the others as they were."""

    zoom: float
    angle: float
    shift_x: float
    shift_y: float
    flip: float


def draw(seed: int, epoch: int, index: int) -> Draws:
    """Random numbers of the picture `index` in `epoch`."""
    return Draws(*order.uniforms(seed, epoch, index, 5).tolist())


@dataclasses.dataclass(frozen=True)
class View:
    """How a picture is seen: through `geometry.affine` of center, scale and rotation, and then
    mirrored if `flip`.

    Attributes:
      center: [2] of the view, in pixels of the picture.
      scale: [2], units of 200 pixels: (W, H) of the output / its short side * what that side shows.
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
    """The view of a picture under these random numbers.

    With scale type "short", the square of side a * (short side of the picture), a uniform between
    `scale_min` and `scale_max`, fills the output (its short side, where it is not square) after a
    rotation of up to `rotation` degrees; with "long", at a = 1 the whole picture fits into the
    output. With s that square's side in units of 200 pixels, its center lies an integer from
    [-translate * s, translate * s) beside the picture's, in x and in y.

    Args:
      image_size: (H, W) of the picture.
      draws: the random numbers of this presentation.
      options: strengths.
      input_size: (H, W) of the output.
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


def warp(image: np.ndarray, view: View, size: tuple[int, int]) -> np.ndarray:
    """The picture [H, W, ...] as seen, at the resolution (h, w) and zero outside the picture."""
    matrix = geometry.affine(view.center, view.scale, view.rotation, size)
    seen = geometry.crop(image, matrix, size)
    return cv2.flip(seen, 1) if view.flip else seen


def warp_mask(mask: np.ndarray, view: View, size: tuple[int, int]) -> np.ndarray:
    """A mask [H, W] of 0 and 1 as seen, uint8 [h, w]: 1 where more than half of what bilinear
    interpolation takes in is 1. What lies outside the picture is 0."""
    return (warp(255 * mask, view, size) > 127).astype(np.uint8)


def warp_keypoints(
    keypoints: np.ndarray, view: View, size: tuple[int, int], flip_indices: np.ndarray
) -> np.ndarray:
    """Joints [N, K, 3] of the picture as seen, in pixels of the output; zeros where not labelled.

    Args:
      keypoints: (x, y, labelled).
      view: what is seen.
      size: (H, W) of the output.
      flip_indices: `Skeleton.flip_indices`.
    """
    matrix = geometry.affine(view.center, view.scale, view.rotation, size)
    points = geometry.transform(keypoints[..., :2].astype(np.float64), matrix)
    labelled = keypoints[..., 2:] > 0
    if view.flip:
        points[..., 0] = size[1] - 1 - points[..., 0]
        points, labelled = points[:, flip_indices], labelled[:, flip_indices]
    return np.concatenate([np.where(labelled, points, 0), labelled], axis=-1).astype(np.float32)
