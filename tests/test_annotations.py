"""Sample lists against hand-worked records, and every rule that an annotation file can break."""

import copy
import json

import numpy as np
import pytest

from jaxpose import annotations, skeletons


def coco_file(**changes):
    """A valid file: two pictures, one person; `changes` replace top-level entries."""
    keypoints = [0.0] * 51
    keypoints[0:3] = [30, 40, 2]
    keypoints[15:18] = [20, 60, 1]
    keypoints[18:21] = [99, 99, 0]
    person = {
        "id": 7, "image_id": 1, "category_id": 1, "iscrowd": 0, "num_keypoints": 2,
        "bbox": [10, 20, 50, 60], "area": 1500.0, "keypoints": keypoints,
    }  # fmt: skip
    data = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "height": 100, "width": 80},
            {"id": 2, "file_name": "b.jpg", "height": 50, "width": 60},
        ],
        "annotations": [person],
        "categories": [{"id": 1, "name": "person", "keypoints": list(skeletons.COCO.joints)}],
    }
    return data | changes


def person(**changes):
    return copy.deepcopy(coco_file()["annotations"][0]) | changes


def mpii_record(**changes):
    record = {
        "image": "x.jpg", "center": [100.0, 200.0], "scale": 2.0,
        "joints": [[10.0 + k, 20.0] for k in range(16)], "joints_vis": [1] * 15 + [0],
    }  # fmt: skip
    return record | changes


def save(folder, data, name="a.json"):
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def load(folder, data):
    return annotations.load(save(folder, data), image_dir=folder)


def test_clean_box_and_flags(tmp_path):
    dataset = load(tmp_path, coco_file())
    people = dataset.people
    assert people.annotation_id.tolist() == [7] and people.image_id.tolist() == [1]
    np.testing.assert_array_equal(people.box, [[10, 20, 49, 59]])  # one pixel less each way
    np.testing.assert_array_equal(
        people.keypoints[0, [0, 5, 6]], [[30, 40, 1], [20, 60, 1], [0] * 3]
    )
    assert people.keypoints.dtype == np.float32 and people.box_score.tolist() == [1]
    assert dataset.image_path(1) == tmp_path / "a.jpg"
    center, scale = people.center_scale((256, 192))
    np.testing.assert_allclose(center, [[34.5, 49.5]])
    np.testing.assert_allclose(scale, [[49 / 200 * 1.25, 49 / 0.75 / 200 * 1.25]], rtol=1e-6)


def test_box_is_cut_to_the_picture(tmp_path):
    box = load(tmp_path, coco_file(annotations=[person(bbox=[-5, 90, 200, 30])])).people.box
    np.testing.assert_array_equal(box, [[0, 90, 79, 9]])


def test_left_out_records(tmp_path):
    records = [
        person(id=1),
        person(id=2, iscrowd=1, keypoints=[]),
        person(id=3, keypoints=[0] * 51, num_keypoints=0),
        person(id=4, bbox=[200, 20, 50, 60]),
        person(id=5, bbox=[10, 20, 1, 60]),
        person(id=6, area=0),
        person(id=8, category_id=3),
    ]
    path = save(tmp_path, coco_file(annotations=records))
    dataset = annotations.load_coco(path, image_dir=tmp_path)
    assert dataset.people.annotation_id.tolist() == [1]
    assert dataset.skipped == {
        "crowd regions": 1, "without visible joints": 1, "with an empty box": 3,
        "of another category": 1,
    }  # fmt: skip
    found = annotations.problems(path)
    assert len(found) == 4 and all(line.endswith("(skipped)") for line in found)
    assert f"{path}: annotation 3: no visible joints" in found[0]


def _without(record, key):
    return {k: v for k, v in record.items() if k != key}


BAD_COCO = {
    "not JSON": ('{"images": [', "file: not JSON"),
    "not text": ("", "file: not JSON"),
    "a list of nothing": ([], "file: must be an object"),
    "no annotations": (_without(coco_file(), "annotations"), "lacks 'annotations'"),
    "images not a list": (coco_file(images={}), "images: must be a list"),
    "no joint names": (coco_file(categories=[{"id": 1, "name": "person"}]), "joint names"),
    "one-sided skeleton": (
        coco_file(categories=[{"id": 1, "keypoints": ["left_eye", "nose"]}]),
        "has no right eye",
    ),
    "image without a name": (coco_file(images=[{"id": 1, "height": 5, "width": 5}]), "image 1"),
    "image of no size": (
        coco_file(images=[{"id": 1, "file_name": "a", "height": 0, "width": 5}]),
        "positive numbers",
    ),
    "duplicate image": (coco_file(images=coco_file()["images"] * 2), "image 1: duplicate id"),
    "duplicate person": (coco_file(annotations=[person(), person()]), "annotation 7: duplicate id"),
    "unknown picture": (coco_file(annotations=[person(image_id=9)]), "unknown image id 9"),
    "list as picture": (coco_file(annotations=[person(image_id=[1])]), "unknown image id"),
    "no id": (coco_file(annotations=[_without(person(), "id")]), "annotation number 0: lacks 'id'"),
    "no box": (coco_file(annotations=[_without(person(), "bbox")]), "lacks 'bbox'"),
    "no keypoints": (coco_file(annotations=[_without(person(), "keypoints")]), "lacks 'keypoints'"),
    "too few keypoints": (
        coco_file(annotations=[person(keypoints=[1, 2, 2])]),
        "annotation 7: keypoints must be 51 numbers (x, y, flag of 17 joints), not 3",
    ),
    "words as keypoints": (
        coco_file(annotations=[person(), person(id=8, keypoints=["a"] * 51)]),
        "annotation 8: keypoints must be finite numbers",
    ),
    "missing value": (
        coco_file(annotations=[person(keypoints=[None] * 51)]),
        "keypoints must be finite numbers",
    ),
    "not a number": (
        coco_file(annotations=[person(keypoints=[float("nan")] * 51)]),
        "keypoints must be finite numbers",
    ),
    "strange flag": (coco_file(annotations=[person(keypoints=[5, 5, 3] * 17)]), "0, 1 or 2"),
    "short box": (coco_file(annotations=[person(bbox=[1, 2, 3])]), "bbox must be 4"),
    "area in words": (coco_file(annotations=[person(area="big")]), "area must be"),
    "person not an object": (coco_file(annotations=[3]), "annotation number 0: must be an object"),
    "nobody": (coco_file(annotations=[]), "no usable person"),
    "nobody usable": (
        coco_file(annotations=[person(bbox=[0, 0, 0, 0])]),
        "no usable person (1 with an empty box)",
    ),
}


@pytest.mark.parametrize("case", BAD_COCO)
def test_bad_coco_file_is_refused_in_one_line(tmp_path, case):
    data, words = BAD_COCO[case]
    with pytest.raises(annotations.AnnotationError) as error:
        load(tmp_path, data)
    message = str(error.value)
    assert words in message and "\n" not in message and message.startswith(str(tmp_path / "a.json"))


BAD_MPII = {
    "no scale": (_without(mpii_record(), "scale"), "record 1: lacks 'scale'"),
    "scale zero": (mpii_record(scale=0), "scale must be a positive number"),
    "fifteen joints": (mpii_record(joints=[[1, 2]] * 15), "joints must be 16 points, not 15"),
    "flat joints": (mpii_record(joints=[1] * 16), "pairs of finite numbers"),
    "odd flag": (mpii_record(joints_vis=[2] * 16), "joints_vis must be 0 or 1"),
    "few flags": (mpii_record(joints_vis=[1]), "16 flags"),
    "no centre": (mpii_record(center=None), "center must be 2"),
    "no name": (mpii_record(image=""), "file name"),
}


@pytest.mark.parametrize("case", BAD_MPII)
def test_bad_mpii_file_is_refused_in_one_line(tmp_path, case):
    record, words = BAD_MPII[case]
    with pytest.raises(annotations.AnnotationError, match="record 1") as error:
        load(tmp_path, [mpii_record(), record])
    assert words in str(error.value) and "\n" not in str(error.value)


def test_all_problems_are_listed_at_once(tmp_path):
    records = [person(bbox=[200, 20, 50, 60]), person(), person(id=8, image_id=5)]
    images = [*coco_file()["images"], {"id": 2, "file_name": "c", "height": 5, "width": 5}]
    path = save(tmp_path, coco_file(images=images, annotations=records))
    found = annotations.problems(path)
    assert len(found) == 4
    assert "image 2: duplicate id (already 'b.jpg')" in found[0]  # fatal ones come first
    assert found[-1].endswith("outside the picture (80 x 100) (skipped)")
    with pytest.raises(annotations.AnnotationError, match="and 2 more problems"):
        annotations.load(path, image_dir=tmp_path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(annotations.AnnotationError, match="none.json: file: cannot be read"):
        annotations.load_coco(tmp_path / "none.json", image_dir=tmp_path)
    assert "cannot be read" in annotations.problems(tmp_path / "none.json")[0]
    path = save(tmp_path, coco_file())
    with pytest.raises(annotations.AnnotationError, match="no such folder .*missing"):
        annotations.load_coco(path, image_dir=tmp_path / "missing")


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


def test_detections_are_not_clipped(tmp_path):
    dataset = load(tmp_path, coco_file())
    box = {"image_id": 2, "category_id": 1, "bbox": [-10, -20, 500, 300], "score": 0.25}
    empty = box | {"bbox": [1, 1, 0, 0]}
    path = save(tmp_path, [box | {"category_id": 5}, box, empty, box], "boxes.json")
    people = annotations.load_detections(path, dataset)
    np.testing.assert_array_equal(people.box, [[-10, -20, 500, 300]] * 2)
    assert people.annotation_id.tolist() == [0, 1] and people.box_score.tolist() == [0.25, 0.25]
    assert people.keypoints.shape == (2, 17, 3) and not people.keypoints.any()
    assert annotations.problems(path, dataset) == [
        f"{path}: detection number 2: box [1, 1, 0, 0] is empty (skipped)"
    ]
    for change, words in (
        ({"image_id": 77}, "unknown image id 77"),
        ({"bbox": [1, 2, 3]}, "bbox must be 4"),
        ({"score": None}, "score must be"),
    ):
        with pytest.raises(annotations.AnnotationError, match=f"detection number 0: {words}"):
            annotations.load_detections(save(tmp_path, [box | change], "bad.json"), dataset)


def test_real_files(real_data):
    def people(name, file="annotations.json"):
        folder = real_data / name
        return len(annotations.load(folder / file, image_dir=folder / "images").people)

    assert people("coco") == 12
    assert people("mpii") == 5
    assert people("lspet", "annotations_train.json") == 3000
    assert people("lspet", "annotations_val.json") == 500
    coco = annotations.load(
        real_data / "coco" / "annotations.json", image_dir=real_data / "coco" / "images"
    )
    assert (
        len(annotations.load_detections(real_data / "coco" / "person_detections.json", coco)) > 12
    )
