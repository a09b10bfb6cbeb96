"""Person box or whole image -> center and scale -> affine crop, and back.

Training, evaluation, prediction and exported models use the same formulas. The conventions are
those of the public HRNet and mmpose 0.x code, and of HigherHRNet for whole images: (0, 0) is the
center of the top-left pixel, x right, y down; sizes are (H, W), points (x, y); a scale is the size
of the cropped region in units of 200 pixels. The crop is a similarity transform whose zoom depends
only on the widths.

With `udp=True` lengths are measured between pixel centers, W - 1 for a width of W pixels, as
in Huang et al., The Devil Is in the Details: Delving into Unbiased Data Processing for Human Pose
Estimation, CVPR 2020. Then the mirror image of a crop lies on the same pixels as the crop.
"""

from __future__ import annotations

from typing import Any

import numpy as np

PIXEL_STD = 200.0  # pixels in one unit of scale
BOX_PADDING = 1.25  # size of the crop relative to the (aspect-fixed) box
SIZE_STEP = 64  # input sides of whole images are multiples of this, pixels
_PADDED_RATIO = 12  # `crop` adds a channel to images of up to this many times the output's pixels

# Channel statistics of ImageNet in RGB order, for pixel values 0..255.
MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
STD = np.array([0.229, 0.224, 0.225], np.float32) * 255


def nearest_multiple(number: int, step: int) -> int:
    """Returns the positive multiple of `step` nearest to `number`; in a tie, the larger one."""
    return max(step, (number + step // 2) // step * step)


def nearest_size(size: tuple[int, int], step: int) -> tuple[int, int]:
    """Rounds the sides of a size (H, W) to the nearest multiples of `step`.

    >>> nearest_size((250, 10), 32)
    (256, 32)
    """
    height, width = (nearest_multiple(side, step) for side in size)
    return height, width


def normalize(images: Any) -> Any:
    """Normalizes RGB images [..., 3] with values 0..255 to float32 (image - MEAN) / STD.

    Accepts numpy and jax arrays, also traced ones, and returns the same kind.
    """
    return (images.astype(np.float32) - MEAN) / STD


def box_to_center_scale(
    box: Any, input_size: tuple[int, int], padding: float = BOX_PADDING
) -> tuple[np.ndarray, np.ndarray]:
    """Computes the crop of a person box at the aspect ratio of the network's input.

    One side of the box is enlarged until the box has the input's aspect ratio; then both sides are
    multiplied by `padding`.

    Args:
      box: [..., 4] as (x, y, w, h) in pixels.
      input_size: (H, W) of the network's input.
      padding: factor on the aspect-fixed box.

    Returns:
      center [..., 2] in pixels and scale [..., 2] in units of 200 pixels, float32.

    >>> center, scale = box_to_center_scale((10, 20, 100, 200), input_size=(256, 192))
    >>> center.tolist(), scale.tolist()  # the box becomes 150 x 200 pixels, then 187.5 x 250
    ([60.0, 120.0], [0.9375, 1.25])
    """
    x, y, w, h = np.moveaxis(np.asarray(box, np.float64), -1, 0)
    aspect = input_size[1] / input_size[0]
    center = np.stack([x + w / 2, y + h / 2], -1)
    size = np.stack([np.maximum(w, aspect * h), np.maximum(h, w / aspect)], -1)
    scale = size / PIXEL_STD * padding
    return center.astype(np.float32), scale.astype(np.float32)


def bottomup_size(
    image_size: tuple[int, int], input_size: int, scale: float = 1.0, min_scale: float = 1.0
) -> tuple[tuple[int, int], np.ndarray, np.ndarray]:
    """Computes the input size of a whole image for a bottom-up network, and the crop that fills it.

    Follows HigherHRNet's test code; the center is rounded up to whole pixels. At the smallest scale
    the short side is `input_size * min_scale` and the long side follows the image's aspect ratio;
    both are rounded up to a multiple of 64. Other scales multiply these sides. The short side of
    the image fits exactly; the long side is centered, with a border. The crop is
    `affine(center, scale, 0, size)`.

    Args:
      image_size: (H, W) of the image, pixels.
      input_size: short side of the input, pixels.
      scale: scale of this pass, relative to `input_size`.
      min_scale: smallest scale of the test. The rounding to multiples of 64 happens at this scale,
        so that all scales show the same region.

    Returns:
      (H, W) of the input; center [2] in image pixels and scale [2] in units of 200 pixels, float32.
    """
    height, width = image_size

    def align(length: float) -> int:
        return int((length + SIZE_STEP - 1) // SIZE_STEP * SIZE_STEP)

    def zoom(length: int) -> int:
        return int(length * scale / min_scale)

    short = align(min_scale * input_size)
    region: tuple[float, float]
    if width < height:
        size = (zoom(align(short / width * height)), zoom(short))
        region = (width, size[0] / size[1] * width)
    else:
        size = (zoom(short), zoom(align(short / height * width)))
        region = (size[1] / size[0] * height, height)
    middle = np.array([int(width / 2 + 0.5), int(height / 2 + 0.5)], np.float32)
    return size, middle, (np.array(region) / PIXEL_STD).astype(np.float32)


def bottomup_fit(
    image_size: tuple[int, int], output_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Computes the crop that fits a whole image, centered, into one fixed size.

    For networks with one input size, such as exported ones. The image is as large as possible
    inside `output_size` at its own aspect ratio; the rest is border.

    Args:
      image_size: (H, W) of the image, pixels.
      output_size: (H, W) of the crop, pixels.

    Returns:
      center [2] in image pixels and scale [2] in units of 200 pixels, float32.
    """
    height, width = image_size
    zoom = min(output_size[0] / height, output_size[1] / width)
    region = np.array([output_size[1] / zoom, output_size[0] / zoom])
    # The exact center, as in training; `bottomup_size` rounds as HigherHRNet does.
    middle = np.array([width / 2, height / 2], np.float32)
    return middle, (region / PIXEL_STD).astype(np.float32)


def affine(
    center: Any, scale: Any, rotation: float, output_size: tuple[int, int], udp: bool = False
) -> np.ndarray:
    """Returns the matrix [2, 3] (float64) that maps image points to the crop.

    With k = W / (200 * scale[0]) and the rotation t,
    p' = k [[cos t, sin t], [-sin t, cos t]] (p - center) + (W / 2, H / 2).

    With `udp`, k becomes diag((W - 1) / (200 * scale[0]), (H - 1) / (200 * scale[1])), and the last
    term ((W - 1) / 2, (H - 1) / 2). The two factors differ slightly, so a rotated crop is sheared a
    little. mmpose's UDP matrix has the opposite sign of t, unlike its other matrix.

    Args:
      center: (x, y) in image pixels; mapped to the center of the crop.
      scale: (x, y) in units of 200 pixels; without `udp`, only x is used.
      rotation: degrees, with the sign of HRNet's augmentation (a positive angle rotates the crop's
        content from the y axis to the x axis).
      output_size: (H, W) of the crop.
      udp: measure lengths between pixel centers.
    """
    center, scale = np.asarray(center, np.float64), np.asarray(scale, np.float64)
    length = np.array([output_size[1], output_size[0]], np.float64)
    zoom = length[0] / (PIXEL_STD * scale[0])
    if udp:
        length = length - 1
        zoom = (length / (PIXEL_STD * scale))[:, None]
    angle = np.deg2rad(float(rotation))
    sin, cos = np.sin(angle), np.cos(angle)
    linear = zoom * np.array([[cos, sin], [-sin, cos]])
    offset = length / 2 - linear @ center
    return np.concatenate([linear, offset[:, None]], axis=1)


def transform(points: Any, matrix: Any) -> Any:
    """Transforms points [..., 2] with a matrix [2, 3]; numpy or jax, returns the same kind.

    >>> crop_from_image = affine((60, 120), (0.96, 1.28), rotation=0, output_size=(256, 192))
    >>> transform(np.array([[60.0, 120.0], [61.0, 122.0]]), crop_from_image).tolist()
    [[96.0, 128.0], [97.0, 130.0]]
    """
    return points @ matrix[:, :2].T + matrix[:, 2]


def clip_box(box: Any, image_size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Clips a box (x, y, w, h) to the image; returns None if nothing is left.

    As in the public code for COCO: x1 = max(0, x), y1 = max(0, y),
    x2 = min(W - 1, x1 + max(0, w - 1)), y2 likewise; the result is (x1, y1, x2 - x1, y2 - y1).

    Args:
      box: (x, y, w, h) in pixels.
      image_size: (H, W) of the image.

    >>> clip_box((-10, 5, 30, 40), image_size=(100, 200))
    (0.0, 5.0, 29.0, 39.0)
    """
    x, y, w, h = (float(value) for value in box)
    height, width = image_size
    x1, y1 = max(0.0, x), max(0.0, y)
    x2 = min(width - 1.0, x1 + max(0.0, w - 1))
    y2 = min(height - 1.0, y1 + max(0.0, h - 1))
    if not (x2 > x1 and y2 > y1):
        return None
    return x1, y1, x2 - x1, y2 - y1


def crop(image: np.ndarray, matrix: Any, output_size: tuple[int, int]) -> np.ndarray:
    """Warps an image [H, W, C] with `matrix` (image -> output), bilinear, zero outside.

    Output pixel (i, j) samples the image at the inverse of the integer point (i, j).

    Args:
      image: uint8 or float32 [H, W, C].
      matrix: [2, 3] from `affine`.
      output_size: (H, W) of the result.
    """
    import cv2

    height, width = output_size
    matrix = np.asarray(matrix, np.float64)
    # OpenCV warps four channels two to three times as fast as three, to the same values. Of a large
    # image, adding the channel takes longer than it saves.
    padded = _is_rgb(image) and image[..., 0].size <= _PADDED_RATIO * height * width
    if padded:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
    result = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)
    return cv2.cvtColor(result, cv2.COLOR_RGBA2RGB) if padded else result


def _is_rgb(image: np.ndarray) -> bool:
    return image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


def heatmap_to_image(
    points: Any, center: Any, scale: Any, heatmap_size: tuple[int, int], udp: bool = False
) -> Any:
    """Maps points from heatmap pixels to image pixels: the inverse of the unrotated crop.

    p = (q - (w / 2, h / 2)) * (200 * scale_x / w) + center. Works on numpy and jax arrays.
    With `udp`, p = (q - (w - 1, h - 1) / 2) * 200 * scale / (w - 1, h - 1) + center.

    Args:
      points: [..., K, 2] (x, y) in heatmap pixels.
      center: [..., 2], center of the crop in image pixels.
      scale: [..., 2], size of the crop in units of 200 pixels; without `udp`, only x is used.
      heatmap_size: (h, w).
      udp: whether the crop was made with `udp`.
    """
    height, width = heatmap_size
    if udp:
        last = np.array([width - 1, height - 1], np.float32)
        return (points - last / 2) * (scale * PIXEL_STD / last)[..., None, :] + center[..., None, :]
    middle = np.array([width / 2, height / 2], np.float32)
    zoom = scale[..., None, :1] * (PIXEL_STD / width)
    return (points - middle) * zoom + center[..., None, :]
