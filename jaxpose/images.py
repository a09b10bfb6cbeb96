"""Encoded picture -> RGB array: the one decoder of training, evaluation and the dataset check."""

from __future__ import annotations

import numpy as np


class ImageError(ValueError):
    """A picture that cannot be decoded; the message says why, without the file's name."""


def decode(data: bytes, *, upright: bool = False) -> np.ndarray:
    """Bytes of a picture file -> uint8 RGB [H, W, 3].

    Grey, CMYK, palette, 16-bit and transparent pictures become 8-bit RGB; the kind is read from
    the content, never from the file's name. The EXIF orientation is ignored, because annotations
    are in stored pixels; `upright` follows it. A picture that stops early is refused, not filled
    with grey.

    Raises:
      ImageError: empty, truncated or not a picture.
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
        raise ImageError("not a picture, or a truncated one")
    return image
