"""Drawing of skeletons on images, with different colors for left and right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxpose.poses import Poses
from jaxpose.skeletons import Skeleton

LEFT = (64, 145, 255)  # RGB
RIGHT = (255, 128, 40)
MIDDLE = (80, 220, 120)
OUTLINE = (20, 20, 20)
# For bottom-up networks; people with lower scores are mostly parts of other people.
LEAST_PERSON_SCORE = 0.1
_CAPTION = 0.42  # size of captions, relative to OpenCV's font
_MARGIN, _STRIP = 6, 22  # of a tile of `contact_sheet`; height of its caption, pixels


def _side_color(sides: set[str | None]) -> tuple[int, int, int]:
    """RGB color of a keypoint or limb, by the sides of its keypoints."""
    if sides - {None} == {"left"}:
        return LEFT
    return RIGHT if sides - {None} == {"right"} else MIDDLE


def draw_pose(
    image: np.ndarray,
    keypoints: np.ndarray,
    scores: np.ndarray | None,
    skeleton: Skeleton,
    threshold: float = 0.2,
) -> np.ndarray:
    """Draws one person on a copy of the image.

    Args:
      image: uint8 [H, W, 3], RGB.
      keypoints: [K, 2] (x, y) in pixels of `image`.
      scores: [K]; None draws all keypoints.
      skeleton: of the keypoints.
      threshold: minimum score of a keypoint to be drawn.

    Returns:
      uint8 [H, W, 3].

    Raises:
      ValueError: another number of keypoints than in the skeleton.
    """
    import cv2

    keypoints = np.asarray(keypoints, np.float64)
    if keypoints.shape != (skeleton.num_joints, 2):
        raise ValueError(
            f"keypoints of shape {keypoints.shape} do not fit skeleton {skeleton.name!r}; expected "
            f"({skeleton.num_joints}, 2)"
        )
    shown = np.isfinite(keypoints).all(-1)
    if scores is not None:
        shown &= np.asarray(scores) >= threshold
    canvas = np.ascontiguousarray(image).copy()
    extent = np.ptp(keypoints[shown], axis=0).max() if shown.any() else 0.0
    thick = int(np.clip(round(extent / 60), 1, 6))
    # Sub-pixel drawing: OpenCV takes fixed-point coordinates with `shift` fractional bits.
    shift = 4
    fixed = np.round(np.clip(np.nan_to_num(keypoints), -4e4, 4e4) * (1 << shift)).astype(int)

    for width, outline in ((thick + 2, True), (thick, False)):
        for a, b in skeleton.limbs:
            if shown[a] and shown[b]:
                sides = {skeleton.joint_sides[a], skeleton.joint_sides[b]}
                color = OUTLINE if outline else _side_color(sides)
                cv2.line(
                    canvas, fixed[a].tolist(), fixed[b].tolist(), color, width, cv2.LINE_AA, shift
                )
    for k in np.flatnonzero(shown):
        center, radius = fixed[k].tolist(), (thick + 1) << shift
        cv2.circle(canvas, center, radius + (1 << shift), OUTLINE, -1, cv2.LINE_AA, shift)
        color = _side_color({skeleton.joint_sides[k]})
        cv2.circle(canvas, center, radius, color, -1, cv2.LINE_AA, shift)
    return canvas


def draw_poses(
    image: np.ndarray, poses: Poses, skeleton: Skeleton, threshold: float = 0.2
) -> np.ndarray:
    """Draws all people on a copy of the image.

    Args:
      image: uint8 [H, W, 3], RGB.
      poses: in pixels of `image`.
      skeleton: of the poses.
      threshold: minimum score of a keypoint to be drawn; missing keypoints are never drawn.

    Returns:
      uint8 [H, W, 3].
    """
    scores = np.where(poses.present, poses.scores, -np.inf)
    for keypoints, keypoint_scores in zip(poses.keypoints, scores, strict=True):
        image = draw_pose(image, keypoints, keypoint_scores, skeleton, threshold)
    return image


def caption_width(text: str) -> int:
    """Width of a tile on which the caption of `contact_sheet` fits, in pixels."""
    import cv2

    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, _CAPTION, 1)
    return width + 6


def rows_in(height: int, tile: int) -> int:
    """Number of rows of a `contact_sheet` with captions that fit in a height.

    Args:
      height: of the sheet, pixels.
      tile: height of an image on the sheet, pixels.
    """
    return (height - _MARGIN) // (tile + _STRIP + _MARGIN)


def contact_sheet(
    images: Sequence[np.ndarray],
    captions: Sequence[str] = (),
    *,
    columns: int = 5,
    height: int = 240,
) -> np.ndarray:
    """Draws images of any size in rows on one sheet, with captions.

    Args:
      images: uint8 [h, w, 3] RGB each.
      captions: one short text per image, or empty.
      columns: images per row.
      height: of an image on the sheet, in pixels; its aspect ratio is kept.

    Returns:
      uint8 [H, W, 3] RGB.

    Raises:
      ValueError: no images.
    """
    import cv2

    if not images:
        raise ValueError("no images to draw on a sheet")
    margin, strip = _MARGIN, _STRIP if captions else 0
    tiles = []
    for image, caption in zip(images, list(captions) or [""] * len(images), strict=True):
        width = max(1, round(image.shape[1] * height / image.shape[0]))
        tile = np.full((height + strip, width, 3), 255, np.uint8)
        shrinking = image.shape[0] > height
        method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        tile[:height] = cv2.resize(image, (width, height), interpolation=method)
        if caption:
            origin, font = (3, height + 15), cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(tile, caption, origin, font, _CAPTION, OUTLINE, 1, cv2.LINE_AA)
        tiles.append(tile)

    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    width = max(sum(t.shape[1] + margin for t in row) for row in rows) + margin
    sheet = np.full(((height + strip + margin) * len(rows) + margin, width, 3), 255, np.uint8)
    for r, row in enumerate(rows):
        x, y = margin, margin + r * (height + strip + margin)
        for tile in row:
            sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
            x += tile.shape[1] + margin
    return sheet
