"""Decodes image files to RGB arrays, and draws sample images for measurements."""

from __future__ import annotations

import pathlib
import struct
from collections.abc import Iterator

import numpy as np

# OpenCV cannot crop larger images: it counts pixels in 16 bits.
LONGEST_SIDE = 32766
# Decoding at 1/2, 1/4 and 1/8 of the size, from the largest on.
_REDUCED = {8: "IMREAD_REDUCED_COLOR_8", 4: "IMREAD_REDUCED_COLOR_4", 2: "IMREAD_REDUCED_COLOR_2"}
# The note on images that `is_turned` reports.
TURNED = "with an EXIF orientation that no annotated size shows, read as stored"


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
      ImageError: the data is empty, truncated, not an image, or too large to be cropped.
    """
    import cv2

    flags = cv2.IMREAD_COLOR_RGB
    if not upright:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    image = _decode(data, flags)
    height, width = image.shape[:2]
    if max(height, width) > LONGEST_SIDE:
        raise ImageError(f"is {width}x{height}; the longest side may have {LONGEST_SIDE} pixels")
    return image


def _decode(data: bytes, flags: int) -> np.ndarray:
    import cv2

    if not data:
        raise ImageError("the file is empty")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f"cannot be decoded ({error.err or error.func})") from None
    if image is None or image.size == 0:
        raise ImageError("not an image, or truncated")
    return image


def decode_reduced(data: bytes, reduction: int) -> np.ndarray:
    """Decodes a JPEG file at reduced size, from fewer coefficients of its cosine transform.

    Each pixel stands for `reduction` x `reduction` pixels of the image, counted from its top left
    corner. If the size is not divisible, the last ones reach beyond the image, where JPEG files
    repeat its edge. The orientation of the EXIF data is ignored.

    Args:
      data: content of the file.
      reduction: 2, 4 or 8.

    Returns:
      uint8 RGB [ceil(H / reduction), ceil(W / reduction), 3].

    Raises:
      ImageError: as `decode`.
    """
    import cv2

    image = _decode(data, getattr(cv2, _REDUCED[reduction]) | cv2.IMREAD_IGNORE_ORIENTATION)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def largest_reduction(zoom: float) -> int:
    """The largest of 1, 2, 4 and 8 at which an image still has the resolution of a crop.

    Args:
      zoom: pixels of the crop per pixel of the image.

    >>> [largest_reduction(zoom) for zoom in (0.6, 0.5, 0.2, 0.01)]
    [1, 2, 4, 8]
    """
    return next((reduction for reduction in _REDUCED if reduction * zoom <= 1), 1)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Reads the (H, W) of a JPEG file, as stored, from its header; None if it has none.

    Source: ITU-T T.81, B.2.2: the frame header, which is behind any number of other segments.

    Args:
      data: content of the file.
    """
    for marker, start in _jpeg_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and start + 9 <= len(data):
            height, width = struct.unpack_from(">HH", data, start + 5)
            return (height, width) if height and width else None
    return None


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """The (marker, position) of the segments before the pixels, and of the first pixels (0xDA)."""
    start = 2 if data[:2] == b"\xff\xd8" else len(data)
    while start + 4 <= len(data) and data[start] == 0xFF:
        marker = data[start + 1]
        if marker == 0xFF:  # fill bytes may precede a marker
            start += 1
            continue
        yield marker, start
        if marker == 0xDA:
            return
        start += 2 + struct.unpack_from(">H", data, start + 2)[0]


def write(path: pathlib.Path, image: np.ndarray) -> None:
    """Writes an image in the format of the suffix.

    Unlike cv2.imwrite, it can write to any path and gives the reason of a failure.

    Args:
      path: the file.
      image: uint8 [H, W, 3] RGB.

    Raises:
      ValueError: the image cannot be written in this format.
      OSError: the file cannot be written.
    """
    import cv2

    try:
        encoded, data = cv2.imencode(path.suffix, image[:, :, ::-1])
    except cv2.error:
        encoded = False
    if not encoded:
        height, width = image.shape[:2]
        raise ValueError(f"{path} could not be written: {width}x{height} pixels as {path.suffix}")
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise OSError(f"{path} could not be written ({error.strerror})") from None


def decode_annotated(data: bytes, size: tuple[int, int] | None) -> np.ndarray:
    """Decodes an image in the orientation in which it is annotated.

    Some annotation tools show the stored pixels; others first rotate the image by its EXIF
    orientation. The annotated size decides: if the stored pixels have it, they are used, otherwise
    the rotated image.

    Args:
      data: content of the file.
      size: annotated (H, W); None if the annotation file has none, for the stored pixels.

    Raises:
      ImageError: as `decode`; or neither orientation has the annotated size.
    """
    image = decode(data)
    if size is None or image.shape[:2] == tuple(size):
        return image
    upright = decode(data, upright=True)
    if upright.shape[:2] == tuple(size):
        return upright
    height, width = image.shape[:2]
    raise ImageError(f"is {width}x{height}, annotated as {size[1]}x{size[0]}")


def is_turned(data: bytes, image: np.ndarray, *, size_stated: bool = True) -> bool:
    """Whether an image has an EXIF orientation that its annotated size does not show.

    Args:
      data: content of the file.
      image: the decoded image.
      size_stated: whether the annotation file states the size. If it does, only an orientation that
        does not change the size of the image counts.
    """
    orientation, (height, width) = exif_orientation(data), image.shape[:2]
    if orientation == 1 or (size_stated and orientation > 4 and height != width):
        return False
    upright, stored = decode(data, upright=True), decode(data)
    if upright.shape != stored.shape:
        return not size_stated
    return not np.array_equal(upright, stored)


def exif_orientation(data: bytes) -> int:
    """Returns the EXIF orientation of an image file, 1 to 8: 1, as stored, if it has none.

    Source: EXIF 2.3, section 4.6 (TIFF 6.0, section 2): the tag 0x0112 of the first directory.

    Args:
      data: content of the file.
    """
    # Of a JPEG file, the pixels need no search, which would take longer than the rest.
    ends = (position for marker, position in _jpeg_segments(data) if marker == 0xDA)
    start = data.find(b"Exif\0\0", 0, min(65536, next(ends, 65536))) + 6
    order = {b"II": "<", b"MM": ">"}.get(data[start : start + 2]) if start > 5 else None
    if order is None:
        return 1
    try:
        first = start + struct.unpack_from(f"{order}I", data, start + 4)[0]
        for entry in range(struct.unpack_from(f"{order}H", data, first)[0]):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", data, first + 2 + 12 * entry)
            if tag == 0x0112:
                return value if 1 <= value <= 8 else 1
    except struct.error:  # the directory is cut off
        pass
    return 1


# Decoded values below this are nearly black: a camera of 12 bits stores at most 4095 of 65535.
DARK = 16


def is_dark_deep(data: bytes, image: np.ndarray) -> bool:
    """Whether a 16-bit image is nearly black as 8-bit RGB, because it uses only the lower bits.

    Args:
      data: content of the file.
      image: the decoded image.
    """
    import cv2

    if np.percentile(image, 99) >= DARK:
        return False
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return stored is not None and stored.dtype.itemsize > 1 and bool(stored.any())


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
