"""The part of an image that the augmented crops of one person may show."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from input_pipeline.region import Extent
from input_pipeline.topdown.augment import Draws, Options, View, half_body, mirror
from jaxpose import geometry, skeletons

# Draws that choose the half of the body with half_choice; the other numbers do not matter.
_HALF = Draws(**{field.name: 0.0 for field in dataclasses.fields(Draws)})


def extent(
    view: View,
    *,
    box_size: np.ndarray,
    image_width: int,
    options: Options,
    skeleton: skeletons.Skeleton,
    input_size: tuple[int, int],
) -> Extent:
    """Returns what `augment.augment` may show, whatever the random numbers.

    Args:
      view: the view without augmentation.
      box_size: (w, h) of the person's box, pixels.
      image_width: width of the image, pixels.
      options: strengths.
      skeleton: keypoints of the dataset.
      input_size: (H, W) of the crop, pixels.
    """
    shift = options.shift if options.shift_prob > 0 else 0.0
    angle = options.rotation if options.rotation_prob > 0 else 0.0
    halves = _halves(view, image_width, options, skeleton, input_size)
    if options.truncated:
        views = [(chosen, shift * chosen.padded) for chosen in (view, *halves)]
    else:
        angle *= 2
        views = [(view, shift * box_size), *((half, np.zeros(2)) for half in halves)]
    lows, highs, zooms = [], [], []
    for chosen, moved in views:
        crop = _crop_size(chosen.scale, input_size)
        reach = moved + _rotated(crop * (1 + options.scale), angle) / 2
        lows.append(chosen.center - reach)
        highs.append(chosen.center + reach)
        smallest = geometry.PIXEL_STD * chosen.scale * max(0.0, 1 - options.scale)
        with np.errstate(divide="ignore"):
            zooms.append(float((np.array(input_size[::-1]) / smallest).max()))
    return Extent(np.min(lows, axis=0), np.max(highs, axis=0), max(zooms))


def _halves(
    view: View,
    image_width: int,
    options: Options,
    skeleton: skeletons.Skeleton,
    input_size: tuple[int, int],
) -> Iterator[View]:
    """The views of half of the body, in the image that is not mirrored."""
    certain = dataclasses.replace(options, half_body_prob=float(options.half_body_prob > 0))
    for mirrored in (False, True):
        whole = mirror(view, image_width, skeleton.flip_indices) if mirrored else view
        for choice in (0.0, 1.0):
            draws = dataclasses.replace(_HALF, half_choice=choice)
            half = half_body(whole, draws, certain, skeleton, input_size)
            if half is not whole:
                yield mirror(half, image_width, skeleton.flip_indices) if mirrored else half


def _crop_size(scale: np.ndarray, input_size: tuple[int, int]) -> np.ndarray:
    """(w, h) of a crop in pixels of the image; with and without UDP, which take h from others."""
    width, height = geometry.PIXEL_STD * scale
    return np.array([width, max(height, width * input_size[0] / input_size[1])])


def _rotated(size: np.ndarray, angle: float) -> np.ndarray:
    """Size (w, h) of the rectangle that holds a rectangle turned by up to +-`angle` degrees."""
    width, height = size
    limit = math.radians(angle)
    # w cos t + h sin t grows up to tan t = h / w, where it is the diagonal.
    across = min(limit, math.atan2(height, width))
    down = min(limit, math.atan2(width, height))
    return np.array(
        [
            width * math.cos(across) + height * math.sin(across),
            height * math.cos(down) + width * math.sin(down),
        ]
    )
