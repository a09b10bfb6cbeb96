"""Files in the formats of MPII and CrowdPose."""

import numpy as np
import pytest

from jaxpose import annotations, skeletons
from tests.helpers.annotation_files import (
    coco_file,
    load,
    mpii_record,
    problems,
    save,
    without,
)

BAD_MPII = {
    "no scale": (without(mpii_record(), "scale"), "record 1: lacks 'scale'"),
    "scale zero": (mpii_record(scale=0), "scale must be a positive number"),
    "fifteen joints": (mpii_record(joints=[[1, 2]] * 15), "16 points (x, y), not 15"),
    "flat joints": (mpii_record(joints=[1] * 16), "pairs of finite numbers"),
    "odd flag": (mpii_record(joints_vis=[2] * 16), "joints_vis must be 0 or 1"),
    "few flags": (mpii_record(joints_vis=[1]), "16 flags"),
    "no center": (mpii_record(center=None), "center must be 2"),
    "no name": (mpii_record(image=""), "file name"),
}


@pytest.mark.parametrize("case", BAD_MPII)
def test_bad_mpii_file_is_refused_in_one_line(tmp_path, case):
    record, expected = BAD_MPII[case]
    with pytest.raises(annotations.AnnotationError, match="record 1") as error:
        load(tmp_path, [mpii_record(), record])
    assert expected in str(error.value) and "\n" not in str(error.value)


def test_mpii_center_scale_and_one_based_pixels(tmp_path):
    unknown = mpii_record(center=[-1.0, 200.0], image="y.jpg")
    people = load(tmp_path, [mpii_record(), unknown, mpii_record()]).people
    center, scale = people.center_scale((256, 256))
    np.testing.assert_allclose(center, [[99, 229], [-2, 199], [99, 229]])
    np.testing.assert_allclose(scale, [[2.5, 2.5], [2, 2], [2.5, 2.5]])
    np.testing.assert_array_equal(
        people.keypoints[0, [0, 14, 15]], [[9, 19, 1], [23, 19, 1], [0] * 3]
    )
    assert people.image_id.tolist() == [0, 1, 0] and people.annotation_id.tolist() == [0, 1, 2]
    np.testing.assert_allclose(people.box[0], [99 - 250, 229 - 250, 500, 500])


def crowdpose_file(**changes):
    """Two images; a person of three joints, one without any, and one marked as a crowd."""
    joints = list(skeletons.CROWDPOSE.joints)

    def record(identity, image, labeled, **more):
        keypoints = [5.0, 6.0, 2] * labeled + [0, 0, 0] * (14 - labeled)
        return {
            "id": identity, "image_id": image, "category_id": 1, "iscrowd": 0, "bbox": [1, 1, 9, 9],
            "keypoints": keypoints, "num_keypoints": labeled,
        } | more  # fmt: skip

    images = [
        {"id": k, "file_name": f"{k}.jpg", "height": 20, "width": 30, "crowdIndex": k / 4}
        for k in (1, 2)
    ]
    # The official files carry COCO's limbs, whose numbers go up to 17.
    category = {"id": 1, "name": "person", "keypoints": joints, "skeleton": [[16, 14], [17, 15]]}
    people = [record(1, 2, 3), record(2, 2, 0), record(3, 1, 2, iscrowd=1)]
    return {"images": images, "annotations": people, "categories": [category]} | changes


def test_crowdpose(tmp_path):
    path = save(tmp_path, crowdpose_file())
    dataset = annotations.load_crowdpose(path, image_dir=tmp_path)
    assert dataset.format == "crowdpose" and dataset.skeleton == skeletons.CROWDPOSE
    assert dataset.crowd_index == {1: 0.25, 2: 0.5} and dataset.regions == {}
    assert dataset.people.annotation_id.tolist() == [1]
    # The crowd flag does not matter for someone with joints.
    assert dataset.labeled.annotation_id.tolist() == [1, 3]
    assert {k: rows.tolist() for k, rows in dataset.labeled_rows.items()} == {1: [1], 2: [0]}
    assert annotations.load(path, image_dir=tmp_path).format == "crowdpose"
    assert len(problems(path)) == 1  # the one without joints
    assert annotations.load_coco(path, image_dir=tmp_path).format == "coco"
    other = crowdpose_file()
    del other["images"][0]["crowdIndex"]
    assert load(tmp_path, other).crowd_index == {2: 0.5}
    other["categories"][0] |= {"keypoints": [f"joint{k}" for k in range(14)], "skeleton": []}
    assert load(tmp_path, other).format == "coco"


@pytest.mark.parametrize("index", [None, "much", -1, float("nan")])
def test_bad_crowd_index_is_refused(tmp_path, index):
    data = crowdpose_file()
    data["images"][1]["crowdIndex"] = index
    path = save(tmp_path, data)
    with pytest.raises(annotations.AnnotationError, match="image 2: crowdIndex must be a number"):
        annotations.load(path, image_dir=tmp_path)
    assert "image 2: crowdIndex" in problems(path)[0]


def test_crowdpose_needs_its_own_joints(tmp_path):
    path = save(tmp_path, coco_file())
    with pytest.raises(annotations.AnnotationError, match="category 1: keypoints must be those of"):
        annotations.load_crowdpose(path, image_dir=tmp_path)
