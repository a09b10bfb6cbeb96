"""COCO-WholeBody files, rewritten in COCO keypoint format."""

import json

import numpy as np
import pytest

from jaxpose import annotations, skeletons
from jaxpose.annotations import wholebody


def points(count, start=0, flag=2):
    """x, y, flag of keypoints; x counts them."""
    return [value for number in range(count) for value in (float(start + number), 5.0, flag)]


def record(**changes):
    """A person whose keypoints are numbered through, with a valid left hand only."""
    starts = {"keypoints": 0, "foot_kpts": 17, "face_kpts": 23, "lefthand_kpts": 91}
    parts = {part: points(wholebody.PARTS[part], start) for part, start in starts.items()}
    person = {
        "id": 7,
        "image_id": 3,
        "category_id": 1,
        "bbox": [1.0, 2.0, 150.0, 60.0],
        "area": 4000.0,
        "iscrowd": 0,
        "num_keypoints": 17,
        "righthand_kpts": [0.0] * 63,
        "lefthand_valid": True,
        "righthand_valid": False,
        "lefthand_box": [90.0, 3.0, 20.0, 4.0],
        "righthand_box": [0.0, 0.0, 0.0, 0.0],
    }
    return person | parts | changes


def official(*records):
    category = {"id": 1, "name": "person", "keypoints": list(skeletons.COCO.joints)}
    image = {"id": 3, "file_name": "3.jpg", "height": 100, "width": 200}
    return {"images": [image], "annotations": list(records), "categories": [category]}


def load(data, folder):
    path = folder / "rewritten.json"
    path.write_text(json.dumps(data))
    return annotations.load_coco(path, image_dir=folder)


def test_whole_bodies_have_the_parts_in_order(tmp_path):
    dataset = load(wholebody.whole_bodies(official(record())), tmp_path)
    keypoints = dataset.people.keypoints[0]
    np.testing.assert_array_equal(keypoints[:112, 0], np.arange(112))
    assert keypoints[:112, 2].all() and not keypoints[112:].any()
    assert dataset.skeleton.num_joints == 133 and len(dataset.skeleton.flip_pairs) == 61
    assert dataset.skeleton.joints[91] == "left_hand_root" and dataset.skeleton.sigmas[17] == 0.068
    np.testing.assert_array_equal(dataset.people.box[0][:2], [1, 2])


def test_flags_between_0_and_2_are_read_as_those_of_coco(tmp_path):
    """The official files have such flags for feet, faces and hands."""
    foot = [value for flag in (0.53, 1.0, 2, 0.0, 1.7, -1) for value in (5.0, 6.0, flag)]
    data = wholebody.whole_bodies(official(record(foot_kpts=foot)))
    assert data["annotations"][0]["keypoints"][53:69:3] == [2, 1, 2, 0, 2, 0]
    keypoints = load(data, tmp_path).people.keypoints[0, 17:23]
    np.testing.assert_array_equal(keypoints[:, 2], [1, 1, 1, 0, 1, 0])
    hand = wholebody.hands(official(record(lefthand_kpts=points(21, flag=0.1))))
    assert hand["annotations"][0]["num_keypoints"] == 21 and len(load(hand, tmp_path).people) == 1


def test_labeled_keypoints_are_counted_again():
    (person,) = wholebody.whole_bodies(official(record(num_keypoints=0)))["annotations"]
    assert person["num_keypoints"] == 112 and "foot_kpts" not in person
    assert person["area"] == 4000 and person["bbox"] == [1.0, 2.0, 150.0, 60.0]


def test_hands_are_records_of_their_own(tmp_path):
    both = {"righthand_valid": True, "righthand_box": [0.0, 0.0, 9.0, 9.0]}
    unlabeled = record(id=8, **both)
    crowd = record(id=9, iscrowd=1)
    data = wholebody.hands(official(record(), unlabeled, crowd))
    assert [hand["id"] for hand in data["annotations"]] == ["7 lefthand", "8 lefthand"]
    dataset = load(data, tmp_path)
    assert dataset.skeleton.num_joints == 21 and dataset.skeleton.joints[0] == "wrist"
    assert dataset.skeleton.flip_pairs == () and dataset.skeleton.knows_sides
    np.testing.assert_array_equal(dataset.people.keypoints[0, :, 0], np.arange(91, 112))
    assert data["annotations"][0]["area"] == 80


def test_a_file_without_hands_is_still_a_file(tmp_path):
    data = wholebody.hands(official(record(lefthand_valid=False)))
    assert data["annotations"] == [] and len(data["categories"][0]["keypoints"]) == 21


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"foot_kpts": [0.0] * 17},
            "annotation 7: foot_kpts must be a list of 18 numbers, not a ",
        ),
        (
            {"face_kpts": None},
            "face_kpts must be a list of 204 numbers, not None; is this a COCO-",
        ),
        (
            {"foot_kpts": ["x"] * 18},
            "foot_kpts must be a list of 18 numbers, not one with other values",
        ),
    ],
)
def test_other_files_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        wholebody.whole_bodies(official(record(**changes)))


def test_a_hand_without_a_box_is_refused():
    with pytest.raises(ValueError, match="annotation 7: lefthand_box must be .x, y, width, height"):
        wholebody.hands(official(record(lefthand_box=None)))


def test_the_command(tmp_path, capsys):
    source, output = tmp_path / "official.json", tmp_path / "wholebody.json"
    source.write_text(json.dumps(official(record())))
    assert wholebody.main([str(source), str(output)]) == 0
    assert capsys.readouterr().out == f"{output}: 1 record in 1 image\n"
    assert len(annotations.load_coco(output, image_dir=tmp_path).people) == 1
    assert wholebody.main([str(source), str(output), "--hands"]) == 0
    assert "1 hand in 1 image" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "not JSON"),
        ("{}", "lacks 'images', 'annotations', 'categories'"),
        ('{"images": null, "annotations": [], "categories": []}', "'images' must be a list, not N"),
        ('{"images": [], "annotations": {}, "categories": []}', "'annotations' must be a list"),
    ],
)
def test_the_command_writes_nothing_for_a_wrong_file(tmp_path, capsys, content, message):
    source, output = tmp_path / "official.json", tmp_path / "wholebody.json"
    source.write_text(content)
    assert wholebody.main([str(source), str(output)]) == 2
    assert message in capsys.readouterr().err and not output.exists()
    assert wholebody.main([str(source), str(source)]) == 2
    assert "would be overwritten" in capsys.readouterr().err
