"""Regions that the loss ignores."""

import numpy as np
import pytest

from jaxpose import annotations
from tests.helpers.annotation_files import (
    coco_file,
    load,
    person,
    problems,
    save,
)

SQUARE = [[2, 3, 6, 3, 6, 8, 2, 8]]  # x 2..5 and y 3..7 of an image
RUNS = {"size": [10, 20], "counts": [100, 10, 90]}  # column 10


def test_regions_are_crowds_and_people_without_joints(tmp_path):
    nobody = {"keypoints": [0] * 51, "num_keypoints": 0, "image_id": 2}
    images = [{"id": 2, "file_name": "b.jpg", "height": 10, "width": 20}]
    records = [
        person(id=1, image_id=2, bbox=[1, 1, 8, 8], segmentation=[[9, 9, 19, 9, 19, 1]]),
        person(id=2, segmentation=SQUARE, **nobody),
        person(id=3, segmentation=RUNS, iscrowd=1, **nobody),
        person(id=4, **nobody),
    ]
    dataset = load(tmp_path, coco_file(images=images, annotations=records))
    assert list(dataset.regions) == [2] and len(dataset.regions[2]) == 2
    expected = np.ones((10, 20), np.uint8)
    expected[3:8, 2:6] = 0
    expected[:, 10] = 0
    mask = annotations.regions.mask(dataset.regions[2], (10, 20))
    np.testing.assert_array_equal(mask, expected)
    assert mask.dtype == np.uint8
    # The same from the records, whose number of joints may be missing.
    plain = [{k: v for k, v in record.items() if k != "num_keypoints"} for record in records]
    for given in (records, plain):
        mask = annotations.regions.mask(annotations.regions.ignored(given), (10, 20))
        np.testing.assert_array_equal(mask, expected)
    assert annotations.regions.mask([], (10, 20)).all()


def test_compressed_run_lengths():
    from pycocotools.mask import frPyObjects

    code = frPyObjects(RUNS, 10, 20)
    text = {"size": [10, 20], "counts": code["counts"].decode()}
    expected = annotations.regions.mask([RUNS], (10, 20))
    np.testing.assert_array_equal(annotations.regions.mask([text], (10, 20)), expected)


@pytest.mark.parametrize(
    ("segmentation", "rule"),
    [
        (RUNS, r"segmentation is for size \[10, 20\], but the image is \[100, 80\]"),
        ({"size": [100, 80], "counts": [7]}, "run lengths that do not add up to the image"),
        ({"size": [100, 80]}, "no run lengths under 'counts'"),
        ([[1, 2, 3, 4]], "a polygon that is not a list of three or more points"),
        ([["a"] * 6], "a polygon that is not a list of three or more points"),
        ("everywhere", "must be a list of polygons or a run-length encoding"),
    ],
)
def test_malformed_region_is_reported_and_left_out(tmp_path, segmentation, rule):
    crowd = person(id=8, iscrowd=1, keypoints=[0] * 51, segmentation=segmentation)
    path = save(tmp_path, coco_file(annotations=[person(), crowd]))
    dataset = annotations.load(path, image_dir=tmp_path)
    assert dataset.regions == {} and len(dataset.people) == 1
    (line,) = problems(path)
    with pytest.raises(ValueError, match=rule):
        annotations.regions.mask([segmentation], (100, 80))
    assert f"{path}: annotation 8: " in line and line.endswith("(skipped)")
