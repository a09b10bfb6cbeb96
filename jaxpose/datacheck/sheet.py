"""A sheet of samples: people cropped as for training, or whole images with ignored regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jaxpose import draw, geometry, images
from jaxpose.annotations import Dataset
from jaxpose.annotations.regions import mask

TILE = (256, 192)  # (H, W) of a person on the sheet, cropped as for training
WHOLE = 320  # height of a whole image on the sheet


def people_sheet(dataset: Dataset, count: int) -> np.ndarray | None:
    """Draws people spread evenly over the dataset, cropped as for training.

    Returns:
      uint8 RGB [H, W, 3], or None if no image can be decoded.
    """
    people = dataset.people
    if not len(people):
        return None
    center, scale = people.center_scale(TILE)
    tiles, captions = [], []
    for row in np.unique(np.linspace(0, len(people) - 1, count).round().astype(int)):
        try:
            image = _read(dataset, people.image_id[row])
        except (OSError, images.ImageError):
            continue
        matrix = geometry.affine(center[row], scale[row], 0.0, TILE)
        crop = geometry.crop(image, matrix, TILE)
        points = geometry.transform(people.keypoints[row, :, :2], matrix)
        labeled = people.keypoints[row, :, 2]
        tiles.append(draw.draw_pose(crop, points, labeled, dataset.skeleton))
        captions.append(f"{dataset.person_id_in_file(int(people.annotation_id[row]))}")
    return draw.contact_sheet(tiles, captions, height=TILE[0]) if tiles else None


def whole_sheet(dataset: Dataset, count: int) -> np.ndarray | None:
    """Draws whole images spread evenly over the dataset, as bottom-up networks learn them.

    All people are drawn; ignored regions are red.

    Returns:
      uint8 RGB [H, W, 3], or None if no image can be decoded.
    """
    tiles, captions = [], []
    ids = dataset.with_people
    for place in np.unique(np.linspace(0, len(ids) - 1, count).round().astype(int)):
        identity = ids[place]
        try:
            image = _read(dataset, identity).copy()
        except (OSError, images.ImageError):
            continue
        regions = dataset.regions.get(identity, [])
        if regions:
            ignored = mask(regions, image.shape[:2]) == 0
            image[ignored] = image[ignored] // 2 + np.array([120, 0, 0], np.uint8)
        for person in dataset.labeled.keypoints[dataset.labeled_rows.get(identity, [])]:
            image = draw.draw_pose(image, person[:, :2], person[:, 2], dataset.skeleton)
        tiles.append(image)
        captions.append(f"{dataset.image_id_in_file(identity)}")
    return draw.contact_sheet(tiles, captions, height=WHOLE) if tiles else None


def _read(dataset: Dataset, image_id: int) -> np.ndarray:
    """Decodes an image as for training; raises OSError or ImageError."""
    size = dataset.annotated_size(image_id)
    return images.decode_annotated(dataset.image_path(image_id).read_bytes(), size)


def write_sheet(image: np.ndarray, output: Path) -> None:
    """Writes a sheet as an image file and prints its path.

    Raises:
      ValueError: the file cannot be written.
    """
    import cv2

    output.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(output), image[..., ::-1]):
        raise ValueError(f"{output}: cannot write the sample sheet")
    print(f"  sample sheet: {output} (left is blue, right is orange)")
