"""Augmentation of a crop's pixels: hue, saturation and value, blur, and coarse dropout.

The host draws all random numbers, as a function of (seed, epoch, index), and blurs. Colors change
and rectangles vanish on the devices (`jaxpose.training.device_pixels`), to which the host sends a
few numbers per example. A blur therefore comes before the change of the colors, not after it as in
mmpose.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np

from input_pipeline import order
from input_pipeline.batch import Spec, pixels_spec
from input_pipeline.topdown.augment import DRAWS

_COUNT = 15  # of the random numbers, which follow those of `augment.draw`
_KERNELS = (3, 5, 7)  # widths of a blur, pixels


@dataclasses.dataclass(frozen=True)
class Options:
    """Strengths: the settings of `config.augment.pixels` (docs/settings.md)."""

    hue: int
    saturation: int
    value: int
    hsv_prob: float
    blur_prob: float
    median_prob: float
    dropout_prob: float
    dropout_min: float
    dropout_max: float

    @classmethod
    def from_config(cls, pixels: Any) -> Options:
        return cls(**{field.name: pixels[field.name] for field in dataclasses.fields(cls)})

    @property
    def colors(self) -> bool:
        """Whether colors may change."""
        return self.hsv_prob > 0 and max(self.hue, self.saturation, self.value) > 0

    @property
    def blurs(self) -> bool:
        """Whether crops may be blurred."""
        return self.blur_prob > 0 or self.median_prob > 0

    def spec(self, last: Options) -> Spec:
        """Spec of the numbers that the devices need in a run with these options, then `last`."""
        needed = {
            "color": self.colors or last.colors,
            "hole": self.dropout_prob > 0 or last.dropout_prob > 0,
        }
        return {key: entry for key, entry in pixels_spec().items() if needed[key]}


@dataclasses.dataclass(frozen=True)
class Draws:
    """The random numbers of one example.

    Attributes:
      color: int32 [3], what is added to hue (in steps of 2 degrees), saturation and value.
      hole: int32 [4], (left, top, right, bottom) of the rectangle that is set to 0; the right and
        bottom edges are outside of it. Zeros if there is none.
      blur: width of the mean filter, pixels; 0 for none.
      median_blur: width of the median filter, pixels; 0 for none.
    """

    color: np.ndarray
    hole: np.ndarray
    blur: int
    median_blur: int


def draw(seed: int, epoch: int, index: int, options: Options, input_size: tuple[int, int]) -> Draws:
    """Draws the random numbers for person `index` in `epoch`.

    All uniform numbers are drawn whatever the options, so switching off one augmentation does not
    change the others.

    Args:
      seed: of the run.
      epoch: 0-based.
      index: of the person.
      options: strengths.
      input_size: (H, W) of the crop, pixels.
    """
    u = order.uniforms(seed, epoch, index, DRAWS + _COUNT)[DRAWS:]
    limits = np.array([options.hue, options.saturation, options.value])
    color = np.trunc((2 * u[3:6] - 1) * limits) * (u[:3] < options.hsv_prob)
    hole = np.zeros(4, np.int32)
    if u[10] < options.dropout_prob:
        size = np.array(input_size[::-1])  # x, y
        low, high = options.dropout_min, options.dropout_max
        sides = np.maximum(1, (size * (low + (high - low) * u[11:13])).astype(int))
        corner = (u[13:15] * (size - sides + 1)).astype(int)
        hole = np.concatenate([corner, corner + sides]).astype(np.int32)
    return Draws(
        color.astype(np.int32),
        hole,
        _kernel(u[6], u[7], options.blur_prob),
        _kernel(u[8], u[9], options.median_prob),
    )


def _kernel(whether: float, which: float, probability: float) -> int:
    return _KERNELS[int(which * len(_KERNELS))] if whether < probability else 0


def blurred(crop: np.ndarray, draws: Draws) -> np.ndarray:
    """A crop, uint8 [H, W, 3], after the filters that were drawn."""
    if draws.blur:
        crop = cv2.blur(crop, (draws.blur, draws.blur))
    if draws.median_blur:
        crop = cv2.medianBlur(crop, draws.median_blur)
    return crop
