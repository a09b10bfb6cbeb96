"""CrowdPose (Li et al., "CrowdPose: Efficient Crowded Scenes Pose Estimation and A New Benchmark",
CVPR 2019): COCO format with 14 keypoints and a `crowdIndex` per image."""

from __future__ import annotations

from typing import Any

from jaxpose import skeletons
from jaxpose.annotations import coco
from jaxpose.annotations.completion import Ids
from jaxpose.annotations.records import Problem, is_number
from jaxpose.annotations.sizes import ReadSizes


def is_crowdpose(data: Any) -> bool:
    """Whether parsed JSON is a CrowdPose file: its keypoint names, and a `crowdIndex`."""
    if not isinstance(data, dict):
        return False
    images, categories = (data.get(key) for key in ("images", "categories"))
    if not isinstance(images, list) or not isinstance(categories, list):
        return False
    joints = list(skeletons.CROWDPOSE.joints)
    return any(isinstance(c, dict) and c.get("keypoints") == joints for c in categories) and any(
        isinstance(image, dict) and "crowdIndex" in image for image in images
    )


def parse(
    path: str, data: Any, category: str = "", read_sizes: ReadSizes | None = None
) -> tuple[dict[str, Any] | None, list[Problem]]:
    """Like `coco.parse`, with `crowd_index`.

    The official files list COCO's limbs, and their crowd flags mark ordinary people without a
    region. Neither is used: limbs come from `skeletons.CROWDPOSE`, and `regions` is empty.
    """
    fields, problems = coco.parse(path, data, category, read_sizes)
    if fields is None:
        return fields, problems
    if fields["skeleton"].joints != skeletons.CROWDPOSE.joints:
        rule = f"keypoints must be those of CrowdPose: {', '.join(skeletons.CROWDPOSE.joints)}"
        return fields, [*problems, Problem(path, f"category {fields['category_id']}", rule)]
    crowd_index = {}
    ids = Ids(data["images"])
    for record in data["images"]:
        image_id = ids(record.get("id")) if isinstance(record, dict) else None
        if image_id not in fields["images"]:
            continue  # reported already
        if "crowdIndex" not in record:
            continue  # only the metric needs it
        index = record["crowdIndex"]
        if is_number(index) and index >= 0:
            crowd_index[image_id] = float(index)
        else:
            rule = f"crowdIndex must be a number of at least 0, not {index!r}"
            problems.append(Problem(path, f"image {record['id']}", rule))
    fields |= {"format": "crowdpose", "crowd_index": crowd_index, "regions": {}}
    return fields, problems
