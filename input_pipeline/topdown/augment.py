"""Augmentation of one person, in the order of mmpose 0.x: center shift, mirror, half body, scale,
rotation.

mmpose draws the center shift once, when it loads the dataset; here it is drawn again in every
epoch. The augmentation only changes numbers; the image is mirrored and cropped once, at the end.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from input_pipeline import order
from input_pipeline.region import Source, zoom_of
from jaxpose import geometry, skeletons


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

    @classmethod
    def from_config(cls, augment: Any) -> Options:
        return cls(**{field.name: augment[field.name] for field in dataclasses.fields(cls)})


@dataclasses.dataclass(frozen=True)
class Draws:
    """The random numbers of one example.

    All of them are drawn whatever the options, so switching off one augmentation does not change
    the others. They come from ten uniform numbers u0..u9 in [0, 1):

    * u0: whether to shift; u1, u2: the shift in x and y; u3: whether to mirror; u4: whether to crop
      half of the body; u5: whether to rotate.
    * Normal numbers by the Box-Muller transform: sqrt(-2 ln(1 - u6)) cos(2 pi u7) for the choice of
      the half, sqrt(-2 ln(1 - u6)) sin(2 pi u7) for the scale, sqrt(-2 ln(1 - u8)) cos(2 pi u9) for
      the angle.
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


def draw(seed: int, epoch: int, index: int) -> Draws:
    """Draws the random numbers for person `index` in `epoch`."""
    u = order.uniforms(seed, epoch, index, 10).tolist()
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
    )


@dataclasses.dataclass(frozen=True)
class View:
    """A view of one person: the image is mirrored if `flip`, then cropped.

    Attributes:
      keypoints: [K, 3], (x, y, labeled) in pixels of the image (of the mirrored image if `flip`).
      center: [2], center of the crop in pixels.
      scale: [2], size of the crop in units of 200 pixels.
      rotation: degrees.
      flip: whether the image is mirrored.
    """

    keypoints: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    rotation: float = 0.0
    flip: bool = False


def shift_center(view: View, box_size: np.ndarray, draws: Draws, options: Options) -> View:
    """Moves the center by up to +-`options.shift` of the box's width and height."""
    if not draws.shift < options.shift_prob:
        return view
    amount = np.array([draws.shift_x, draws.shift_y]) - 0.5
    return dataclasses.replace(view, center=view.center + 2 * options.shift * amount * box_size)


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
    crop is 1.5 instead of the 1.25 of a whole person.
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
    _, scale = geometry.box_to_center_scale((0, 0, *extent), input_size, padding=1.5)
    return dataclasses.replace(view, center=points.mean(axis=0), scale=scale.astype(np.float64))


def rescale(view: View, draws: Draws, options: Options) -> View:
    """Multiplies the scale by 1 + `options.scale` * normal, clipped at 1 +- `options.scale`."""
    factor = min(max(1 + options.scale * draws.scale, 1 - options.scale), 1 + options.scale)
    return dataclasses.replace(view, scale=view.scale * factor)


def rotate(view: View, draws: Draws, options: Options) -> View:
    """Rotates by `options.rotation` * normal degrees, clipped at twice that."""
    if not draws.rotate < options.rotation_prob:
        return view
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
    view = shift_center(view, box_size, draws, options)
    if draws.flip < options.flip:
        view = mirror(view, image_width, skeleton.flip_indices)
    view = half_body(view, draws, options, skeleton, input_size)
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
