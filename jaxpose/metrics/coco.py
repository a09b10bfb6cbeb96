"""COCO keypoint evaluation with pycocotools: AP and AR, and the accuracy per keypoint."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxpose import skeletons
from jaxpose.annotations import categories
from jaxpose.annotations.completion import (
    Ids,
    area_of,
    box_of,
    complete_keypoints,
    is_missing_box,
    is_nothing,
)
from jaxpose.annotations.records import is_number, numbers
from jaxpose.metrics.oks import keypoint_similarity
from jaxpose.wording import quantity

# In the order of COCOeval.stats for keypoints.
COCO_KEYS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")


@dataclasses.dataclass(frozen=True)
class Truth:
    """The completed people of an annotation file, read once for several metrics.

    Attributes:
      file: the annotation file, for messages.
      names: keypoint names.
      ids: integers of the image ids.
      entry: the evaluated category, with `original_id`, its id in the file.
      coco: `COCO` object of pycocotools.
    """

    file: str
    names: list[str]
    ids: Ids
    entry: dict[str, Any]
    coco: Any


# An annotation file, or what was read from it.
Annotations = str | os.PathLike[str] | Truth


def coco_keypoints(
    annotation_file: Annotations,
    results: Iterable[Mapping[str, Any]],
    sigmas: Sequence[float] | None = None,
    *,
    category: str = "",
) -> dict[str, float]:
    """Computes AP and AR by OKS with pycocotools.

    All images of the annotation file count, including those without results; an empty list scores
    0. Missing fields of annotations are filled in as for training (`annotations.completion`):
    `bbox` is the extent of the labeled keypoints, `area` is 0.53 of the box, `iscrowd` is 0,
    `num_keypoints` is counted. A person without box and area whose labeled keypoints span none is
    ignored.

    Args:
      annotation_file: JSON in COCO keypoint format, or `read_truth` of it. Its first category with
        keypoint names is evaluated, with all that have the same keypoints.
      results: [{image_id, category_id, keypoints (3K floats), score}]; not modified.
      sigmas: [K] OKS sigmas. Default: `sigmas` of the file's category; without them, COCO's for 17
        keypoints, as in pycocotools, and otherwise `skeletons.default_sigmas` of the names.
      category: name or id of the category to evaluate instead of the first; `read_truth` takes it.

    Returns:
      AP AP50 AP75 APM APL AR AR50 AR75 ARM ARL as fractions; -1, as in pycocotools, if the file has
      no person of that size.

    Raises:
      ValueError: results for unknown images, for another category or with another number of
        keypoints, or annotations that do not fit their category.
    """
    _, evaluation = _evaluate(annotation_file, results, sigmas, category)
    with quiet():
        evaluation.accumulate()
        evaluation.summarize()
    return {key: float(value) for key, value in zip(COCO_KEYS, evaluation.stats, strict=True)}


def per_keypoint(
    annotation_file: Annotations,
    results: Iterable[Mapping[str, Any]],
    sigmas: Sequence[float] | None = None,
    *,
    category: str = "",
) -> dict[str, dict[str, float]]:
    """Computes the accuracy of each keypoint on the people that were detected.

    COCO's greedy matching at OKS 0.50 matches ground-truth people to results. Each labeled keypoint
    of a matched person then has its own term of the OKS, its `keypoint_similarity`.

    Args:
      annotation_file: as for `coco_keypoints`.
      results: as for `coco_keypoints`.
      sigmas: as for `coco_keypoints`.
      category: as for `coco_keypoints`.

    Returns:
      keypoint name -> {"similarity": mean similarity, "correct": fraction with a similarity of at
      least 0.5, "count": number of labeled keypoints of matched people, "missed": number of labeled
      keypoints of people without a match}; similarity and correct are NaN if count is 0.

    Raises:
      ValueError: as for `coco_keypoints`.
    """
    names, evaluation = _evaluate(annotation_file, results, sigmas, category, thresholds=[0.5])
    similarity = np.zeros(len(names))
    correct, count, missed = (np.zeros(len(names), np.int64) for _ in range(3))
    # The first block of evalImgs belongs to the first area range, which is "all".
    for image in evaluation.evalImgs[: len(evaluation.params.imgIds)]:
        if image is None:
            continue
        people = zip(image["gtIds"], image["gtMatches"][0], image["gtIgnore"], strict=True)
        for person_id, match, ignored in people:
            if ignored:
                continue
            person = evaluation.cocoGt.anns[person_id]
            truth = np.asarray(person["keypoints"], np.float64).reshape(-1, 3)
            labeled = truth[:, 2] > 0
            if not match:
                missed += labeled
                continue
            predicted = np.asarray(evaluation.cocoDt.anns[int(match)]["keypoints"], np.float64)
            terms = keypoint_similarity(
                predicted.reshape(-1, 3)[:, :2],
                truth[:, :2],
                person["area"],
                evaluation.params.kpt_oks_sigmas,
            )
            similarity += np.where(labeled, terms, 0)
            correct += labeled & (terms >= 0.5)
            count += labeled
    return {
        name: {
            "similarity": float(similarity[k] / count[k]) if count[k] else float("nan"),
            "correct": float(correct[k] / count[k]) if count[k] else float("nan"),
            "count": int(count[k]),
            "missed": int(missed[k]),
        }
        for k, name in enumerate(names)
    }


def _evaluate(
    annotation_file: Annotations,
    results: Iterable[Mapping[str, Any]],
    sigmas: Sequence[float] | None,
    category: str = "",
    thresholds: Sequence[float] | None = None,
) -> tuple[list[str], Any]:
    """Returns the keypoint names and a COCOeval after `evaluate`."""
    from pycocotools.cocoeval import COCOeval

    truth = as_truth(annotation_file, category=category)
    names, predictions = truth.names, load_results(truth, results)
    if sigmas is None:
        sigmas = truth.entry.get("sigmas") or None
    if sigmas is None and len(names) != skeletons.COCO.num_joints:
        sigmas = skeletons.default_sigmas(names)
    if sigmas is not None and len(sigmas) != len(names):
        raise ValueError(
            f"{truth.file}: {quantity(len(names), 'keypoint')} but {quantity(len(sigmas), 'sigma')}"
        )
    with quiet():
        evaluation = COCOeval(truth.coco, predictions, "keypoints")
        if sigmas is not None:  # the default of pycocotools is COCO's
            evaluation.params.kpt_oks_sigmas = np.asarray(sigmas, np.float64)
        if thresholds is not None:
            evaluation.params.iouThrs = np.asarray(thresholds)
        evaluation.evaluate()
    return names, evaluation


def as_truth(
    annotation_file: Annotations, *, area_of_box: bool = False, category: str = ""
) -> Truth:
    """Returns `read_truth` of a file; what was read already is returned as it is."""
    if isinstance(annotation_file, Truth):
        return annotation_file
    return read_truth(annotation_file, area_of_box=area_of_box, category=category)


def read_truth(
    annotation_file: str | os.PathLike[str], *, area_of_box: bool = False, category: str = ""
) -> Truth:
    """Reads the people of an annotation file, completed as for `coco_keypoints`.

    Args:
      annotation_file: JSON in COCO keypoint format.
      area_of_box: set the area of every person to `BOX_AREA` of the box, whatever the file says.
      category: as for `coco_keypoints`.

    Raises:
      ValueError: annotations that do not fit their category.
    """
    from pycocotools.coco import COCO

    # From bytes, as the reader of annotation files: json finds out the encoding, UTF-8 or UTF-16.
    dataset = json.loads(pathlib.Path(annotation_file).read_bytes())
    file = str(annotation_file)
    if not dataset.get("categories") or "images" not in dataset or "annotations" not in dataset:
        raise ValueError(f"{file}: needs 'images', 'annotations' and 'categories'")
    ids = Ids(dataset["images"])
    images = [{**image, "id": ids(image["id"])} for image in dataset["images"]]
    entry, people = _people(dataset, ids, file, area_of_box, category)
    coco = COCO()
    coco.dataset = {"info": {}, "images": images, "categories": [entry], "annotations": people}
    names = entry.get("keypoints") or range(_num_joints(entry, people))
    with quiet():
        coco.createIndex()
    return Truth(file, [str(name) for name in names], ids, entry, coco)


def load_results(truth: Truth, results: Iterable[Mapping[str, Any]]) -> Any:
    """Returns the results, as for `coco_keypoints`, as a `COCO` object of pycocotools."""
    from pycocotools.coco import COCO

    checked = _checked_results(results, truth)
    with quiet():
        if checked:
            return truth.coco.loadRes(checked)
        predictions = COCO()  # loadRes fails on an empty list
        predictions.dataset = {**truth.coco.dataset, "annotations": []}
        predictions.createIndex()
    return predictions


def _people(
    dataset: Mapping[str, Any], ids: Ids, file: str, area_of_box: bool, choice: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Returns the evaluated category and its completed annotations, renumbered from 1.

    COCOeval uses id 0 for "no match", so a file whose ids start at 0 would lose a person.
    """
    entries = dataset["categories"]
    if choice or any(entry.get("keypoints") for entry in entries):
        try:
            people_of = categories.choose(entries, choice)
        except ValueError as error:
            raise ValueError(f"{file}: categories: {error}") from None
        category, number, numbers = dict(people_of.entry), people_of.number, people_of.ids
    else:  # results may give the number of keypoints
        number = Ids(entries)
        category = {**entries[0], "id": number(entries[0].get("id"))}
        numbers = {category["id"]: entries[0].get("id")}
    chosen = [a for a in dataset["annotations"] if number(a.get("category_id")) in numbers]
    joints = _num_joints(category, chosen)
    people = []
    for count, annotation in enumerate(chosen, start=1):
        where = f"{file}: annotation {annotation.get('id')}"
        people.append(_complete(annotation, joints, area_of_box, where))
        people[-1] |= {
            "id": count, "image_id": ids(annotation.get("image_id")), "category_id": category["id"]
        }  # fmt: skip
    return {**category, "original_id": numbers[category["id"]]}, people


def _complete(
    annotation: Mapping[str, Any], joints: int, area_of_box: bool, where: str
) -> dict[str, Any]:
    """Returns a copy of an annotation in which nothing is missing."""
    person = {key: value for key, value in annotation.items() if not is_nothing(value)}
    if person.get("iscrowd"):  # the reader keeps only the region of a malformed crowd
        _drop_malformed(person, joints)
    person = {"iscrowd": 0, **person, "keypoints": person.get("keypoints") or [0] * (3 * joints)}
    if len(person["keypoints"]) != 3 * joints:
        raise ValueError(
            f"{where} has {quantity(len(person['keypoints']), 'keypoint value')}, "
            f"expected {3 * joints}"
        )
    if any(isinstance(value, str) for value in person["keypoints"]):  # "12.5", as the reader
        try:
            person["keypoints"] = np.array(person["keypoints"], np.float64).tolist()
        except ValueError:
            raise ValueError(f"{where}: keypoints must be numbers") from None
    if any(is_nothing(value) for value in person["keypoints"]):
        person["keypoints"], _ = complete_keypoints(person["keypoints"])
        if person.get("num_keypoints"):
            del person["num_keypoints"]  # counted again below
    box = person.get("bbox")
    if is_missing_box(box):
        person["bbox"] = box_of(np.array(person["keypoints"]))
    elif not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"{where} has no 'bbox' of four numbers")
    if area_of_box or not person.get("area"):
        person["area"] = float(area_of(person["bbox"]))
    if is_missing_box(person["bbox"]) and not person["area"]:
        person["num_keypoints"] = 0  # without a size there is no OKS: the person is ignored
    person.setdefault("num_keypoints", sum(v > 0 for v in person["keypoints"][2::3]))
    return person


def _drop_malformed(person: dict[str, Any], joints: int) -> None:
    """Removes keypoints, box and area that are malformed."""
    keypoints = person.get("keypoints")
    if keypoints and (not isinstance(keypoints, list) or len(keypoints) != 3 * joints):
        del person["keypoints"]
    if not is_missing_box(person.get("bbox")) and not numbers(person["bbox"], 4):
        del person["bbox"]
    if "area" in person and not is_number(person["area"]):
        del person["area"]


def _num_joints(category: Mapping[str, Any], people: Sequence[Mapping[str, Any]]) -> int:
    if category.get("keypoints"):
        return len(category["keypoints"])
    lengths = (len(person["keypoints"]) for person in people if person.get("keypoints"))
    return next(lengths, 3 * skeletons.COCO.num_joints) // 3


def _checked_results(results: Iterable[Mapping[str, Any]], truth: Truth) -> list[dict[str, Any]]:
    """Returns copies of the four keys with integer ids, since loadRes modifies its argument.

    Raises:
      ValueError: a result lacks a key, or does not fit the annotation file.
    """
    ids, category, joints = truth.ids, truth.entry, len(truth.names)
    known = truth.coco.imgs
    checked = []
    for number, result in enumerate(results):
        missing = [k for k in ("image_id", "category_id", "keypoints", "score") if k not in result]
        if missing:
            raise ValueError(f"result {number} lacks {', '.join(missing)}")
        image_id = ids(result["image_id"])
        if image_id not in known:
            raise ValueError(
                f"result {number} is for image {result['image_id']}, which is not in the "
                "annotation file"
            )
        if len(result["keypoints"]) != 3 * joints:
            raise ValueError(
                f"result {number} has {quantity(len(result['keypoints']), 'keypoint value')}, "
                f"expected {3 * joints} ({quantity(joints, 'keypoint')})"
            )
        fits = result["category_id"] in (category["id"], category["original_id"])
        checked.append(
            {
                "image_id": image_id,
                "category_id": category["id"] if fits else result["category_id"],
                "keypoints": list(result["keypoints"]),
                "score": float(result["score"]),
            }
        )
    if checked and all(result["category_id"] != category["id"] for result in checked):
        raise ValueError(
            f"results have category {checked[0]['category_id']}, but the people of the "
            f"annotation file have category {category['original_id']}"
        )
    return checked


def quiet() -> contextlib.AbstractContextManager[Any]:
    """Suppresses the progress output of pycocotools."""
    return contextlib.redirect_stdout(io.StringIO())
