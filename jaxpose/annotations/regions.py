"""Image regions to ignore: crowds, and people without labeled keypoints.

A segmentation is COCO's: a list of polygons [x0, y0, x1, y1, ...] in pixels, or a run-length
encoding {"size": [H, W], "counts": ...}, whose counts are a list or COCO's compressed text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

Segmentation = list[Any] | dict[str, Any]


def ignored(annotations: Iterable[Mapping[str, Any]]) -> list[Segmentation]:
    """Returns the segmentations of crowds and of people without a labeled keypoint.

    Args:
      annotations: records of one image of a COCO-format file. Without `num_keypoints`, labeled
        keypoints are counted; a record without a segmentation has no region.
    """
    return [
        record["segmentation"]
        for record in annotations
        if record.get("segmentation") and (record.get("iscrowd") or not _labelled(record))
    ]


def mask(segmentations: Iterable[Segmentation], image_size: tuple[int, int]) -> np.ndarray:
    """Draws the mask of an image with pycocotools, as COCO's own code does.

    Args:
      segmentations: polygons or run lengths.
      image_size: (H, W) of the image, pixels.

    Returns:
      uint8 [H, W]: 0 inside any segmentation, 1 elsewhere.

    Raises:
      ValueError: a segmentation is malformed or belongs to an image of a different size.
    """
    from pycocotools.mask import decode, frPyObjects, merge

    height, width = image_size
    codes = []
    for segmentation in segmentations:
        rule = malformed(segmentation, image_size)
        if rule:
            raise ValueError(rule)
        if isinstance(segmentation, dict):
            if isinstance(segmentation["counts"], list):
                codes.append(frPyObjects(segmentation, height, width))
            else:
                codes.append(segmentation)
        else:
            codes += frPyObjects(segmentation, height, width)
    if not codes:
        return np.ones((height, width), np.uint8)
    return np.ascontiguousarray(1 - decode(merge(codes)))  # pycocotools stores columns


def malformed(segmentation: Any, image_size: tuple[int, int] | None) -> str | None:
    """Returns what is wrong with a segmentation, or None.

    Args:
      segmentation: any JSON value.
      image_size: (H, W) of the image; None if it is not known: then every size fits.
    """
    if isinstance(segmentation, dict):
        size: Any = segmentation.get("size")
        counts = segmentation.get("counts")
        if image_size is None:
            whole = isinstance(size, list | tuple) and all(isinstance(side, int) for side in size)
            if not whole or len(size) != 2:
                return f"segmentation must have the size [height, width], not {size}"
        elif not isinstance(size, list | tuple) or tuple(size) != tuple(image_size):
            height, width = image_size
            return f"segmentation is for size {size}, but the image is [{height}, {width}]"
        if isinstance(counts, list):
            runs = all(isinstance(count, int) and count >= 0 for count in counts)
            if not runs or sum(counts) != size[0] * size[1]:
                return "segmentation has run lengths that do not add up to the image"
        elif not isinstance(counts, str | bytes) or not counts:
            return "segmentation has no run lengths under 'counts'"
        return None
    if not isinstance(segmentation, list) or not segmentation:
        return "segmentation must be a list of polygons or a run-length encoding"
    for polygon in segmentation:
        try:
            points = np.asarray(polygon, np.float64)
        except (TypeError, ValueError):
            points = np.empty(0)
        if points.ndim != 1 or len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
            return "segmentation has a polygon that is not a list of three or more points"
    return None


def compact(segmentation: Segmentation) -> Segmentation:
    """Converts polygons to float64 arrays, which take less memory."""
    if isinstance(segmentation, dict):
        return segmentation
    return [np.asarray(polygon, np.float64) for polygon in segmentation]


def _labelled(record: Mapping[str, Any]) -> int:
    flags = record.get("keypoints", ())[2::3]
    return record.get("num_keypoints", sum(flag > 0 for flag in flags))
