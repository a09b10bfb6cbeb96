"""Files that list images without annotations, as COCO's image_info_test-dev2017.json."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxpose import skeletons
from jaxpose.annotations.coco import parse_images
from jaxpose.annotations.completion import Ids
from jaxpose.annotations.records import People, Problem, is_int
from jaxpose.annotations.sizes import ReadSizes


def is_image_info(data: Any) -> bool:
    """Whether parsed JSON lists images in COCO's form, without annotations or with none."""
    return isinstance(data, dict) and "images" in data and not data.get("annotations")


def parse(
    path: str, data: Any, skeleton: skeletons.Skeleton, read_sizes: ReadSizes | None = None
) -> tuple[dict[str, Any] | None, list[Problem]]:
    """Parses a file in COCO's form without annotations.

    The people of the results have the category with keypoint names, or else the category "person";
    COCO's files without annotations give no keypoint names.

    Args:
      path: path of the file, used only in the text of the problems.
      data: parsed JSON.
      skeleton: the skeleton of the results, if the file has no keypoint names.
      read_sizes: as for `coco.parse`.

    Returns:
      (fields, problems) as `coco.parse` does; `people` and `labeled` are empty.
    """
    problems: list[Problem] = []
    for key in ("images", "categories"):
        if not isinstance(data.get(key), list) or not data[key]:
            problems.append(Problem(path, key, "must be a list with at least one record"))
    if problems:
        return None, problems
    categories = [entry for entry in data["categories"] if isinstance(entry, dict)]
    category = skeletons.category_with_joints(categories)
    if category is not None:
        try:
            skeleton = skeletons.from_coco_category(category)
        except ValueError as error:
            return None, [Problem(path, f"category {category.get('id')}", str(error))]
    else:
        category = next((c for c in categories if c.get("name") == "person"), None)
    if category is None or not is_int(category.get("id")):
        rule = "none has keypoint names under 'keypoints' or the name 'person', and an integer 'id'"
        return None, [Problem(path, "categories", rule)]
    ids = Ids(data["images"])
    images = parse_images(path, data["images"], ids, problems, read_sizes)
    nobody = People(
        annotation_id=np.zeros(0, np.int64),
        image_id=np.zeros(0, np.int64),
        box=np.zeros((0, 4)),
        keypoints=np.zeros((0, skeleton.num_joints, 3), np.float32),
        box_score=np.zeros(0, np.float32),
    )
    fields = {
        "format": "image_info",
        "skeleton": skeleton,
        "category_id": category["id"],
        "category_ids": {category["id"]: category["id"]},
        "original_ids": ids.original,
        "images": images,
        "crowd_index": {},
        "people": nobody,
        "labeled": nobody,
        "with_people": (),
        "regions": {},
        "skipped": {},
    }
    return fields, problems
