"""Skeletons drawn on pictures, left and right in their own hues: a swap of sides shows at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxpose.poses import Poses
from jaxpose.skeletons import Skeleton

LEFT = (64, 145, 255)  # RGB
RIGHT = (255, 128, 40)
MIDDLE = (80, 220, 120)
OUTLINE = (20, 20, 20)
# Of people that a bottom-up network found; those below are mostly parts of others.
LEAST_PERSON_SCORE = 0.1


def side_colour(names: Sequence[str]) -> tuple[int, int, int]:
    """RGB of a joint or limb by the names of its joints: left, right, or middle of the body."""
    sides = {name.split("_")[0] for name in names} & {"left", "right", "l", "r"}
    if sides <= {"left", "l"} and sides:
        return LEFT
    if sides <= {"right", "r"} and sides:
        return RIGHT
    return MIDDLE


def draw_pose(
    image: np.ndarray,
    keypoints: np.ndarray,
    scores: np.ndarray | None,
    skeleton: Skeleton,
    threshold: float = 0.2,
) -> np.ndarray:
    """One person drawn on a copy of the picture.

    Args:
        image: uint8 [H, W, 3], RGB.
        keypoints: [K, 2] (x, y) in pixels of `image`.
        scores: [K]; joints below `threshold` are left out. None draws all joints.
        skeleton: gives the limbs, and the sides by the joints' names.

    Returns:
        uint8 [H, W, 3].
    """
    import cv2

    keypoints = np.asarray(keypoints, np.float64)
    if keypoints.shape != (skeleton.num_joints, 2):
        raise ValueError(
            f"keypoints of shape {keypoints.shape} do not fit skeleton {skeleton.name!r} "
            f"with {skeleton.num_joints} joints; expected ({skeleton.num_joints}, 2)"
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
                names = (skeleton.joints[a], skeleton.joints[b])
                colour = OUTLINE if outline else side_colour(names)
                cv2.line(
                    canvas, fixed[a].tolist(), fixed[b].tolist(), colour, width, cv2.LINE_AA, shift
                )
    for k in np.flatnonzero(shown):
        centre, radius = fixed[k].tolist(), (thick + 1) << shift
        cv2.circle(canvas, centre, radius + (1 << shift), OUTLINE, -1, cv2.LINE_AA, shift)
        colour = side_colour((skeleton.joints[k],))
        cv2.circle(canvas, centre, radius, colour, -1, cv2.LINE_AA, shift)
    return canvas


def draw_poses(
    image: np.ndarray, poses: Poses, skeleton: Skeleton, threshold: float = 0.2
) -> np.ndarray:
    """All people drawn on a copy of the image.

    Args:
      image: uint8 [H, W, 3], RGB.
      poses: in pixels of `image`.
      skeleton: of the poses.
      threshold: lowest score of a keypoint that is drawn; missing keypoints never are.

    Returns:
      uint8 [H, W, 3].
    """
    scores = np.where(poses.present, poses.scores, -np.inf)
    for keypoints, of_keypoints in zip(poses.keypoints, scores, strict=True):
        image = draw_pose(image, keypoints, of_keypoints, skeleton, threshold)
    return image


def contact_sheet(
    pictures: Sequence[np.ndarray],
    captions: Sequence[str] = (),
    *,
    columns: int = 5,
    height: int = 240,
) -> np.ndarray:
    """Pictures of any size laid out in rows, each with a caption under it.

    Args:
        pictures: uint8 [h, w, 3] RGB each.
        captions: one short text each, or none.
        columns: pictures in a row.
        height: of a picture on the sheet, in pixels; the width follows each picture's shape.

    Returns:
        uint8 [H, W, 3] RGB.
    """
    import cv2

    if not pictures:
        raise ValueError("no pictures to lay out")
    margin, strip = 6, 22 if captions else 0
    tiles = []
    for picture, caption in zip(pictures, list(captions) or [""] * len(pictures), strict=True):
        width = max(1, round(picture.shape[1] * height / picture.shape[0]))
        tile = np.full((height + strip, width, 3), 255, np.uint8)
        shrinking = picture.shape[0] > height
        method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        tile[:height] = cv2.resize(picture, (width, height), interpolation=method)
        if caption:
            origin, font = (3, height + 15), cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(tile, caption, origin, font, 0.42, OUTLINE, 1, cv2.LINE_AA)
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
