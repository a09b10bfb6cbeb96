"""Decodes image files to RGB arrays, and draws sample images for measurements."""

from __future__ import annotations

import numpy as np


class ImageError(ValueError):
    """An image cannot be decoded; the message gives the reason, without the file name."""


def decode(data: bytes, *, upright: bool = False) -> np.ndarray:
    """Decodes an image file to uint8 RGB [H, W, 3].

    Gray, CMYK, palette, 16-bit and transparent images are converted to 8-bit RGB. The format is
    read from the content, not from the file name. A truncated image is an error; it is not filled
    with gray.

    Args:
      data: content of the file.
      upright: rotate the image as its EXIF orientation says. By default the orientation is ignored,
        because annotations are in stored pixels.

    Raises:
      ImageError: the data is empty, truncated or not an image.
    """
    import cv2

    if not data:
        raise ImageError("the file is empty")
    flags = cv2.IMREAD_COLOR_RGB
    if not upright:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f"cannot be decoded ({error.err or error.func})") from None
    if image is None or image.size == 0:
        raise ImageError("not an image, or truncated")
    return image


def draw_samples(size: tuple[int, int], count: int = 4, seed: int = 0) -> np.ndarray:
    """Draws images for measurements and for the verification of files.

    The images have structure, because the heatmaps of plain noise are nearly flat and test little.

    Args:
      size: (H, W) in pixels.
      count: number of images N.
      seed: random seed.

    Returns:
      uint8 [N, H, W, 3]: gradients, discs, bars and noise.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    drawn = []
    for _ in range(count):
        slope = rng.normal(size=(2, 3)) * 100
        image = 128 + (x[..., None] / width - 0.5) * slope[0]
        image += (y[..., None] / height - 0.5) * slope[1]
        for _ in range(12):
            cx, cy = rng.uniform(0, width), rng.uniform(0, height)
            angle, length = rng.uniform(0, np.pi), rng.uniform(0.05, 0.4) * height
            along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
            across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
            radius = rng.uniform(2, 0.06 * height + 2)
            limb = np.hypot(np.maximum(abs(along) - length / 2, 0), across) < radius
            image[limb] = rng.uniform(0, 255, 3)
        drawn.append(image + rng.normal(scale=8, size=image.shape))
    return np.clip(drawn, 0, 255).astype(np.uint8)
