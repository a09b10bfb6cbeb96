"""Results files in COCO's format: reading and scoring them, and the name of a submission."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import numpy as np

from jaxpose.annotations import Dataset
from jaxpose.annotations.completion import id_key
from jaxpose.annotations.detections import match_names
from jaxpose.annotations.records import is_number, missing_keys, numbers
from jaxpose.tasks import whole_images
from jaxpose.tasks.scoring import Evaluation
from jaxpose.wording import agree, quantity

# Prefix of the official annotation files; the servers require it.
_PREFIXES = ("person_keypoints_", "image_info_")
_SHOWN = 5  # unknown images named in a message


def submission_name(annotation_file: str | os.PathLike[str]) -> str:
    """Returns the name of the results file that belongs to an annotation file.

    COCO's server requires person_keypoints_SPLIT_ALGORITHM_results.json. If the name of the
    annotation file starts with image_info_ or person_keypoints_, the rest of it is the split. Any
    other name is kept as a whole, without the prefix.

    >>> submission_name("annotations/image_info_test-dev2017.json")
    'person_keypoints_test-dev2017_jaxpose_results.json'
    >>> submission_name("zoo.json")
    'zoo_jaxpose_results.json'
    """
    stem = pathlib.Path(annotation_file).stem
    for prefix in _PREFIXES:
        if stem.startswith(prefix):
            stem = f"person_keypoints_{stem.removeprefix(prefix)}"
    return f"{stem}_jaxpose_results.json"


def read_results(
    path: str | os.PathLike[str], dataset: Dataset
) -> tuple[whole_images.ImagePredictions, list[str]]:
    """Reads people from a results file: [{image_id, category_id, keypoints (3K), score}].

    Args:
      path: the file.
      dataset: the annotations that the results belong to. An image_id is an id of its images, or
        a file name as AlphaPose writes it.

    Returns:
      The people, for all images of the dataset, and sentences about records that do not count.

    Raises:
      ValueError: the file is not a list of results, a result breaks a rule, or all results are
        for images or categories that are not in the dataset.
    """
    try:
        records = json.loads(pathlib.Path(path).read_bytes())
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    if not isinstance(records, list):
        raise ValueError(
            f"{path}: must be a list of results [{{image_id, category_id, keypoints, score}}], not "
            f"{_kind(records)}"
        )
    joints = dataset.skeleton.num_joints
    for number, record in enumerate(records):
        rule = _malformed(record, joints)
        if rule:
            raise ValueError(f"{path}: result number {number}: {rule}")
    image_of, notes = _image_numbers(str(path), [r["image_id"] for r in records], dataset)
    known = [record for record in records if record["image_id"] in image_of]
    if len(known) < len(records):
        unknown = [r["image_id"] for r in records if r["image_id"] not in image_of]
        names = list(dict.fromkeys(map(repr, unknown)))
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        text = (
            f"{quantity(len(names), 'image')} not in {dataset.path}: "
            f"{', '.join(names[:_SHOWN])}{more}"
        )
        if not known:
            raise ValueError(f"{path}: every result is for {text}")
        notes.append(f"{_left_out(len(unknown), len(records))} for {text}")
    people = [r for r in known if id_key(r["category_id"]) in dataset.person_categories]
    names_of = " or ".join(map(str, dataset.category_ids.values()))
    if known and not people:
        raise ValueError(
            f"{path}: no result has the category of the people in {dataset.path}, {names_of}"
        )
    if len(people) < len(known):
        notes.append(
            f"{_left_out(len(known) - len(people), len(records))} of a category other than "
            f"{names_of}"
        )
    bad = sum(not numbers(record["keypoints"], 3 * joints) for record in people)
    if bad:
        raise ValueError(f"{path}: keypoints of {quantity(bad, 'result')} are not finite numbers")
    values = np.array([record["keypoints"] for record in people], np.float64)
    values = values.reshape(len(people), joints, 3)
    predictions = whole_images.ImagePredictions(
        image_id=np.array([image_of[record["image_id"]] for record in people], np.int64),
        keypoints=values[..., :2],
        scores=values[..., 2],
        person_score=np.array([record["score"] for record in people], np.float64),
        image_ids=np.array(list(dataset.images), np.int64),
    )
    return predictions, notes


def score_results(
    path: str | os.PathLike[str], dataset: Dataset, metric: str, area: str = "annotated"
) -> Evaluation:
    """Scores a results file made by any program against the annotations.

    Args:
      path: the file.
      dataset: the annotations.
      metric: `config.eval.metric`, "coco" or "crowdpose".
      area: `config.eval.area`.

    Raises:
      ValueError: as `read_results`, or PCKh, which results in COCO's form do not support.
    """
    if metric == "mpii" or dataset.format == "mpii":
        raise ValueError(
            f"{path}: results in COCO's format can be scored with config.eval.metric=coco or "
            "crowdpose, but not with MPII's PCKh, which needs the row of each person"
        )
    predictions, notes = read_results(path, dataset)
    return whole_images.score(predictions, dataset, metric, notes, area=area)


def _image_numbers(
    path: str, given: list[Any], dataset: Dataset
) -> tuple[dict[Any, int], list[str]]:
    """Returns image_id of the results -> image id of the dataset, where it has one; and notes."""
    keys = {value: id_key(value) for value in given}
    by_id = {
        value: None if key is None else dataset.image_numbers.get(key)
        for value, key in keys.items()
    }
    texts = [value for value, number in by_id.items() if number is None and isinstance(value, str)]
    names = {text: text.replace("\\", "/") for text in texts}
    by_name, notes = match_names(path, dataset, list(names.values()))
    by_id |= {text: by_name.get(name) for text, name in names.items()}
    numbers_of = {value: number for value, number in by_id.items() if number is not None}
    return numbers_of, [problem.rule for problem in notes]


def _kind(value: Any) -> str:
    if not isinstance(value, dict):
        return f"{type(value).__name__}"
    if "annotations" in value:
        return "a dataset with 'annotations', as `jaxpose predict` writes"
    return "an object"


def _left_out(count: int, total: int) -> str:
    return f"{count} of {quantity(total, 'result')} {agree(count, 'is', 'are')} left out:"


def _malformed(record: Any, joints: int) -> str | None:
    """Returns what is wrong with the form of a result, or None."""
    rule = missing_keys(record, ("image_id", "category_id", "keypoints", "score"))
    if rule:
        return rule
    if id_key(record["image_id"]) is None:
        return f"image_id must be an integer or a string, not {record['image_id']!r}"
    keypoints = record["keypoints"]
    if not isinstance(keypoints, list) or len(keypoints) != 3 * joints:
        size = len(keypoints) if isinstance(keypoints, list) else repr(keypoints)
        return f"keypoints must be {3 * joints} numbers (x, y, score of {joints}), not {size}"
    if not is_number(record["score"]):
        return f"score must be a finite number, not {record['score']!r}"
    return None
