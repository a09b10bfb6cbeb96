"""Drawings of the cases with the lowest similarity: annotation left, prediction right."""

from __future__ import annotations

import pathlib

import numpy as np

from jaxpose import draw, images
from jaxpose.annotations import Dataset
from jaxpose.tasks.scoring import Case

DRAWINGS = "worst_*.jpg"
HEIGHT = 320  # height of a drawing, pixels


def draw_cases(
    folder: pathlib.Path, cases: list[Case], dataset: Dataset
) -> tuple[list[tuple[str, str]], list[str]]:
    """Draws the cases into `folder` and removes the drawings of an earlier report.

    Returns:
      (file name, caption) of each drawing, and the names of the images that cannot be read.

    Raises:
      ValueError: a drawing cannot be written.
    """
    import cv2

    for old in folder.glob(DRAWINGS):
        old.unlink()
    written, unread = [], []
    for rank, case in enumerate(cases, start=1):
        path = dataset.image_path(case.image_id)
        try:
            size = dataset.annotated_size(case.image_id)
            image = images.decode_annotated(path.read_bytes(), size)
        except (OSError, images.ImageError):
            unread.append(path.name)  # damaged, or only in the prepared copy
            continue
        sides = []
        for poses, threshold in ((case.annotated, 0.5), (case.predicted, 0.1)):
            side = image
            for keypoints, scores in poses:
                side = draw.draw_pose(side, keypoints, scores, dataset.skeleton, threshold)
            x0, y0, x1, y1 = case.region or (0, 0, image.shape[1], image.shape[0])
            sides.append(side[y0:y1, x0:x1])
        both = np.concatenate(sides, axis=1)
        if not both.size:
            continue
        size = (max(1, round(both.shape[1] * HEIGHT / both.shape[0])), HEIGHT)
        both = cv2.resize(both, size, interpolation=cv2.INTER_AREA)
        name = f"worst_{rank:02d}.jpg"
        if not cv2.imwrite(str(folder / name), both[..., ::-1]):
            raise ValueError(f"{folder / name} could not be written")
        written.append((name, f"{path.name}, {case.caption}"))
    return written, unread
