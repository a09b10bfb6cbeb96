"""Augmentation of one person, in the order of mmpose 0.x: shift of the center (mmpose draws it
when it builds its list, here it is drawn anew for every presentation), mirror, half body, scale,
rotation. All of it works on the numbers; the picture is mirrored and cropped once, afterwards.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from input_pipeline import order
from jaxpose import geometry, skeletons


@dataclasses.dataclass(frozen=True)
class Options:
    """Strength of the augmentation; the keys of `config.augment`, where they are explained."""

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
    """The random numbers of one example. All are drawn whatever the options, so that turning one
    augmentation off leaves the others as they were.

    Ten uniform numbers u0..u9 in [0, 1) are used in this order: u0 whether to shift, u1 and u2 the
    shift in x and y, u3 whether to mirror, u4 whether to take half the body, u5 whether to rotate;
    the normal numbers by Box and Muller: sqrt(-2 ln(1 - u6)) times cos(2 pi u7) for the choice of
    the half and times sin(2 pi u7) for the scale, sqrt(-2 ln(1 - u8)) cos(2 pi u9) for the angle.
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
    """Random numbers of the person `index` in `epoch`."""
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
    """How one person is seen: the picture is mirrored if `flip`, then cropped.

    Attributes:
      keypoints: [K, 3] in the (mirrored) picture, (x, y, labelled).
      center, scale: [2] of the crop, in pixels and units of 200 pixels.
      rotation: degrees.
      flip: whether the picture is mirrored.
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
    """The person in the mirrored picture: x -> W - 1 - x, left and right joints swapped."""
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
    """A crop on the joints of the upper or the lower body, for people with more than
    `options.half_body_min` labelled joints. Its padding is 1.5, not that of a whole person."""
    labelled = view.keypoints[:, 2] > 0
    if labelled.sum() <= options.half_body_min or not draws.half_body < options.half_body_prob:
        return view
    upper = [k for k in skeleton.upper_body if labelled[k]]
    lower = [k for k in skeleton.lower_body if labelled[k]]
    if draws.half_choice < 0.5 and len(upper) > 2:
        chosen = upper
    else:
        chosen = lower if len(lower) > 2 else upper
    if len(chosen) < 2:
        return view
    points = view.keypoints[chosen, :2]
    extent = points.max(axis=0) - points.min(axis=0)
    if not extent.max() > 0:
        return view  # all joints in one place: there is nothing to crop on
    _, scale = geometry.box_to_center_scale((0, 0, *extent), input_size, padding=1.5)
    return dataclasses.replace(view, center=points.mean(axis=0), scale=scale.astype(np.float64))


def rescale(view: View, draws: Draws, options: Options) -> View:
    """Multiplies the scale by 1 + `options.scale` * normal, clipped at 1 +- `options.scale`."""
    factor = np.clip(1 + options.scale * draws.scale, 1 - options.scale, 1 + options.scale)
    return dataclasses.replace(view, scale=view.scale * factor)


def rotate(view: View, draws: Draws, options: Options) -> View:
    """Rotates by `options.rotation` * normal degrees, clipped at twice that."""
    if not draws.rotate < options.rotation_prob:
        return view
    limit = 2 * options.rotation
    angle = float(np.clip(options.rotation * draws.angle, -limit, limit))
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
    """All augmentations in their order.

    Args:
      view: the person unaugmented.
      box_size: (w, h) of the person's box in pixels.
      image_width: of the picture, pixels.
      draws: the random numbers of this presentation.
      options: strengths.
      skeleton: joints.
      input_size: (H, W) of the crop.
    """
    view = shift_center(view, box_size, draws, options)
    if draws.flip < options.flip:
        view = mirror(view, image_width, skeleton.flip_indices)
    view = half_body(view, draws, options, skeleton, input_size)
    view = rescale(view, draws, options)
    return rotate(view, draws, options)


def render(
    image: np.ndarray, view: View, input_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The picture and the joints as the network sees them.

    Args:
      image: uint8 [H, W, 3], not mirrored.
      view: what to show.
      input_size: (H, W) of the crop.

    Returns:
      crop uint8 [H, W, 3] and keypoints float32 [K, 3] in its pixels.
    """
    if view.flip:
        import cv2

        image = cv2.flip(image, 1)
    matrix = geometry.affine(view.center, view.scale, view.rotation, input_size)
    labelled = view.keypoints[:, 2:] > 0
    points = np.where(labelled, geometry.transform(view.keypoints[:, :2], matrix), 0)
    keypoints = np.concatenate([points, labelled], axis=1).astype(np.float32)
    return geometry.crop(image, matrix, input_size), keypoints
