"""Augmentation of one person, in the order of mmpose 0.x: center shift, mirror, half body, scale,
rotation.

mmpose 0.x draws the center shift once, when it loads the dataset; here it is drawn again in every
epoch. With the distribution "truncated", shift, scale and rotation are those of mmpose 1.x
(`RandomBBoxTransform`), where the shift comes after the half body. The augmentation only changes
numbers; the image is mirrored and cropped once, at the end.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from typing import Any

import numpy as np

from input_pipeline import order
from input_pipeline.region import Source, zoom_of
from jaxpose import geometry, skeletons

HALF_PADDING = 1.5  # of a crop of half of the body, relative to its keypoints


@dataclasses.dataclass(frozen=True)
class Options:
    """Strengths of the augmentation: the settings of `config.augment` (docs/settings.md)."""

    flip: float
    half_body_prob: float
    half_body_min: int
    scale: float
    rotation: float
    rotation_prob: float
    shift: float
    shift_prob: float
    distribution: str = "clipped"

    @classmethod
    def from_config(cls, augment: Any) -> Options:
        return cls(**{field.name: augment[field.name] for field in dataclasses.fields(cls)})

    def of_last_stage(self, last: Any) -> Options:
        """The options of the second stage; `last` are the settings of `config.augment.last`."""
        changes = {key: last[key] for key in ("scale", "rotation", "shift_prob")}
        return dataclasses.replace(self, **changes)

    @property
    def truncated(self) -> bool:
        return self.distribution == "truncated"


@dataclasses.dataclass(frozen=True)
class Draws:
    """The random numbers of one example.

    All of them are drawn whatever the options, so switching off one augmentation does not change
    the others. They come from `DRAWS` uniform numbers u0..u11 in [0, 1):

    * u0: whether to shift; u1, u2: the shift in x and y; u3: whether to mirror; u4: whether to crop
      half of the body; u5: whether to rotate.
    * Normal numbers by the Box-Muller transform: sqrt(-2 ln(1 - u6)) cos(2 pi u7) for the choice of
      the half, sqrt(-2 ln(1 - u6)) sin(2 pi u7) for the scale, sqrt(-2 ln(1 - u8)) cos(2 pi u9) for
      the angle.
    * u10, u11: quantiles of the scale and the angle for the truncated distribution, where u1 and u2
      are those of the shift.
    """

    shift: float
    shift_x: float
    shift_y: float
    flip: float
    half_body: float
    rotate: float
    half_choice: float  # normal
    scale: float  # normal
    angle: float  # normal
    scale_quantile: float = 0.5
    angle_quantile: float = 0.5


DRAWS = 12


def draw(seed: int, epoch: int, index: int) -> Draws:
    """Draws the random numbers for person `index` in `epoch`."""
    u = order.uniforms(seed, epoch, index, DRAWS).tolist()
    first, second = (math.sqrt(-2 * math.log(1 - u[k])) for k in (6, 8))
    turn = 2 * math.pi * u[7]
    shift, shift_x, shift_y, flip, half, rotate = u[:6]
    return Draws(
        shift=shift,
        shift_x=shift_x,
        shift_y=shift_y,
        flip=flip,
        half_body=half,
        rotate=rotate,
        half_choice=first * math.cos(turn),
        scale=first * math.sin(turn),
        angle=second * math.cos(2 * math.pi * u[9]),
        scale_quantile=u[10],
        angle_quantile=u[11],
    )


def truncated_normal(quantile: float) -> float:
    """The quantile of a standard normal distribution truncated to -1..1.

    >>> [round(truncated_normal(quantile), 6) for quantile in (0.0, 0.25, 0.5)]
    [-1.0, -0.441771, 0.0]
    """
    normal = statistics.NormalDist()
    low, high = normal.cdf(-1), normal.cdf(1)
    return min(max(normal.inv_cdf(low + quantile * (high - low)), -1.0), 1.0)


@dataclasses.dataclass(frozen=True)
class View:
    """A view of one person: the image is mirrored if `flip`, then cropped.

    Attributes:
      keypoints: [K, 3], (x, y, labeled) in pixels of the image (of the mirrored image if `flip`).
      center: [2], center of the crop in pixels.
      scale: [2], size of the crop in units of 200 pixels.
      rotation: degrees.
      flip: whether the image is mirrored.
      padded: [2], (w, h) of the padded box of the person or of half of the body, before it gets the
        aspect ratio of the input; pixels.
    """

    keypoints: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    rotation: float = 0.0
    flip: bool = False
    padded: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(2))


def shift_center(view: View, box_size: np.ndarray, draws: Draws, options: Options) -> View:
    """Moves the center by up to +-`options.shift` of the box's width and height."""
    if not draws.shift < options.shift_prob:
        return view
    amount = np.array([draws.shift_x, draws.shift_y]) - 0.5
    return dataclasses.replace(view, center=view.center + 2 * options.shift * amount * box_size)


def shift_padded(view: View, draws: Draws, options: Options) -> View:
    """Moves the center by `options.shift` * truncated normal of the padded box's sides."""
    if not draws.shift < options.shift_prob:
        return view
    amount = np.array([truncated_normal(draws.shift_x), truncated_normal(draws.shift_y)])
    return dataclasses.replace(view, center=view.center + options.shift * amount * view.padded)


def mirror(view: View, image_width: int, flip_indices: np.ndarray) -> View:
    """Mirrors the view: x -> W - 1 - x, with left and right keypoints swapped."""
    keypoints = view.keypoints[flip_indices]
    keypoints[:, 0] = image_width - 1 - keypoints[:, 0]
    keypoints[keypoints[:, 2] <= 0] = 0
    center = np.array([image_width - 1 - view.center[0], view.center[1]])
    return dataclasses.replace(view, keypoints=keypoints, center=center, flip=not view.flip)


def half_body(
    view: View,
    draws: Draws,
    options: Options,
    skeleton: skeletons.Skeleton,
    input_size: tuple[int, int],
) -> View:
    """Crops to the upper or lower body, for people with many labeled keypoints.

    Applies to people with more than `options.half_body_min` labeled keypoints. The padding of the
    crop is `HALF_PADDING` instead of the 1.25 of a whole person.
    """
    labeled = view.keypoints[:, 2] > 0
    if labeled.sum() <= options.half_body_min or not draws.half_body < options.half_body_prob:
        return view
    upper = [k for k in skeleton.upper_body if labeled[k]]
    lower = [k for k in skeleton.lower_body if labeled[k]]
    if draws.half_choice < 0.5 and len(upper) > 2:
        chosen = upper
    else:
        chosen = lower if len(lower) > 2 else upper
    if len(chosen) < 2:
        return view
    points = view.keypoints[chosen, :2]
    extent = points.max(axis=0) - points.min(axis=0)
    if not extent.max() > 0:
        return view  # all keypoints at one point: no crop
    _, scale = geometry.box_to_center_scale((0, 0, *extent), input_size, padding=HALF_PADDING)
    return dataclasses.replace(
        view,
        center=points.mean(axis=0),
        scale=scale.astype(np.float64),
        padded=HALF_PADDING * extent,
    )


def rescale(view: View, draws: Draws, options: Options) -> View:
    """Multiplies the scale by 1 + `options.scale` * normal, within 1 +- `options.scale`."""
    if options.truncated:
        factor = 1 + options.scale * truncated_normal(draws.scale_quantile)
        return dataclasses.replace(view, scale=view.scale * factor)
    factor = min(max(1 + options.scale * draws.scale, 1 - options.scale), 1 + options.scale)
    return dataclasses.replace(view, scale=view.scale * factor)


def rotate(view: View, draws: Draws, options: Options) -> View:
    """Rotates by `options.rotation` * normal degrees, clipped at twice that or truncated at it."""
    if not draws.rotate < options.rotation_prob:
        return view
    if options.truncated:
        angle = options.rotation * truncated_normal(draws.angle_quantile)
        return dataclasses.replace(view, rotation=angle)
    limit = 2 * options.rotation
    angle = min(max(options.rotation * draws.angle, -limit), limit)
    return dataclasses.replace(view, rotation=angle)


def augment(
    view: View,
    *,
    box_size: np.ndarray,
    image_width: int,
    draws: Draws,
    options: Options,
    skeleton: skeletons.Skeleton,
    input_size: tuple[int, int],
) -> View:
    """Applies all augmentations in order.

    Args:
      view: the view without augmentation.
      box_size: (w, h) of the person's box, pixels.
      image_width: width of the image, pixels.
      draws: the random numbers of this example and epoch.
      options: strengths.
      skeleton: keypoints of the dataset.
      input_size: (H, W) of the crop, pixels.
    """
    if not options.truncated:
        view = shift_center(view, box_size, draws, options)
    if draws.flip < options.flip:
        view = mirror(view, image_width, skeleton.flip_indices)
    view = half_body(view, draws, options, skeleton, input_size)
    if options.truncated:
        view = shift_padded(view, draws, options)
    view = rescale(view, draws, options)
    return rotate(view, draws, options)


def render(
    image: Source, view: View, input_size: tuple[int, int], udp: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Renders the crop and its keypoints.

    Args:
      image: not mirrored.
      view: the view to render.
      input_size: (H, W) of the crop, pixels.
      udp: see `geometry.affine`.

    Returns:
      (crop, keypoints): uint8 [H, W, 3], and float32 [K, 3] in pixels of the crop.

    Raises:
      ImageError: the image is unusable.
    """
    matrix = geometry.affine(view.center, view.scale, view.rotation, input_size, udp)
    labeled = view.keypoints[:, 2:] > 0
    points = np.where(labeled, geometry.transform(view.keypoints[:, :2], matrix), 0)
    keypoints = np.concatenate([points, labeled], axis=1).astype(np.float32)
    crop = image.at(zoom_of(matrix)).crop(matrix, input_size, mirrored=view.flip)
    return crop, keypoints
