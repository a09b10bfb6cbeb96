"""CrowdPose evaluation (Li et al., "CrowdPose: Efficient Crowded Scenes Pose Estimation and A New
Benchmark", CVPR 2019): AP and AR by OKS, and AP by how crowded the images are.

pycocotools does the matching. What the CrowdPose API changes in COCO's code is set by parameters:
areas, sigmas, a single area range, and the images to evaluate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jaxpose import skeletons
from jaxpose.metrics import coco
from jaxpose.wording import quantity

# Lowest crowdIndex of medium and of hard images, from the API, which all published scores use. The
# text of the paper has 0.1 and 0.8.
MEDIUM, HARD = 0.2, 0.8


def crowdpose(
    annotation_file: coco.Annotations,
    results: Iterable[Mapping[str, Any]],
    *,
    category: str = "",
) -> dict[str, float]:
    """Computes AP and AR by OKS as the CrowdPose API does.

    The area of a person is 0.53 of the box, whatever the file says; the sigmas are CrowdPose's.
    Crowds (`iscrowd`) and people without labeled keypoints are ignored. All images count, including
    those without results. Annotations need no `area`, `segmentation` or `info`.

    Args:
      annotation_file: JSON in CrowdPose format, or `coco.read_truth` of it with `area_of_box`; its
        images have a `crowdIndex`.
      results: [{image_id, category_id, keypoints (42 floats), score}]; not modified.
      category: as for `metrics.coco_keypoints`.

    Returns:
      AP AP50 AP75 AR AR50 AR75 AP_easy AP_medium AP_hard as fractions. The last three are the plain
      mean of the precision over thresholds and recalls on the images with crowdIndex < 0.2,
      0.2 <= crowdIndex < 0.8 and >= 0.8 (the API rounds it to four digits); -1 if these images have
      no people.

    Raises:
      ValueError: the file is not in CrowdPose format, or the results do not fit it.
    """
    from pycocotools.cocoeval import COCOeval

    truth = coco.as_truth(annotation_file, area_of_box=True, category=category)
    predictions = coco.load_results(truth, results)
    if len(truth.names) != skeletons.CROWDPOSE.num_joints:
        raise ValueError(
            f"{truth.file}: {quantity(len(truth.names), 'keypoint')}, but CrowdPose has "
            f"{skeletons.CROWDPOSE.num_joints}: use coco_keypoints"
        )
    crowding = {}
    for image in truth.coco.dataset["images"]:
        if not isinstance(image.get("crowdIndex"), int | float):
            raise ValueError(
                f"{truth.file}: image {image['id']} has no number under 'crowdIndex': use "
                "coco_keypoints"
            )
        crowding[image["id"]] = image["crowdIndex"]

    def run(images: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Returns precision [thresholds, recalls] and recall [thresholds] on these images.

        They are -1 if the images have no people.
        """
        evaluation.params.imgIds = images
        with coco.quiet():
            evaluation.evaluate()
            evaluation.accumulate()
        # One category, area range "all", the 20 best results per image.
        return evaluation.eval["precision"][:, :, 0, 0, 0], evaluation.eval["recall"][:, 0, 0, 0]

    with coco.quiet():
        evaluation = COCOeval(truth.coco, predictions, "keypoints")
    evaluation.params.kpt_oks_sigmas = np.array(skeletons.CROWDPOSE.sigmas)
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    precision, recall = run(list(crowding))
    scores = _by_threshold("AP", precision, evaluation.params.iouThrs)
    scores |= _by_threshold("AR", recall, evaluation.params.iouThrs)
    levels: dict[str, list[int]] = {name: [] for name in ("AP_easy", "AP_medium", "AP_hard")}
    for image, index in crowding.items():
        level = "easy" if index < MEDIUM else "medium" if index < HARD else "hard"
        levels[f"AP_{level}"].append(image)
    for level, images in levels.items():
        scores[level] = float(run(images)[0].mean())
    return scores


def _by_threshold(name: str, values: np.ndarray, thresholds: np.ndarray) -> dict[str, float]:
    """Returns the mean over all OKS thresholds, at 0.50 and at 0.75, without values of -1."""

    def mean(chosen: np.ndarray) -> float:
        chosen = chosen[chosen > -1]
        return float(chosen.mean()) if chosen.size else -1.0

    at = {suffix: values[np.isclose(thresholds, t)] for suffix, t in (("50", 0.5), ("75", 0.75))}
    return {name: mean(values)} | {name + suffix: mean(rows) for suffix, rows in at.items()}
