"""Files as annotation tools write them: what is completed, unlabeled, noted or refused."""

import copy
import json

import numpy as np
import pytest

from jaxpose import annotations, metrics
from jaxpose.training import runtime

JOINTS = ["head", "left_hand", "right_hand"]
NAN = float("nan")


def person(identity=1, **changes):
    return {
        "id": identity, "image_id": 1, "category_id": 1, "bbox": [10, 20, 50, 60], "area": 1500,
        "keypoints": [30, 40, 2, 20, 60, 1, 50, 70, 2],
    } | changes  # fmt: skip


def content(*people, **changes):
    images = [{"id": k, "file_name": f"{k}.png", "height": 100, "width": 80} for k in (1, 2)]
    category = {"id": 1, "name": "thing", "keypoints": JOINTS}
    return {"images": images, "annotations": list(people), "categories": [category]} | changes


def load(folder, data, **options):
    path = folder / "a.json"
    path.write_text(json.dumps(data))
    return annotations.load(path, image_dir=folder, **options)


def notes(dataset):
    return [str(note).removeprefix(f"{dataset.path}: ") for note in dataset.notes]


def perfect(dataset, data, **options):
    """AP of results equal to the labeled people, with the ids that the file has."""
    people = dataset.labeled
    results = [
        {"image_id": int(image), "category_id": dataset.category_id, "score": 1.0,
         "keypoints": keypoints.ravel().tolist()}
        for image, keypoints in zip(people.image_id, people.keypoints, strict=True)
    ]  # fmt: skip
    results = dataset.with_original_ids(results)
    for result in results:
        assert result["image_id"] in [image["id"] for image in data["images"]]
    return metrics.coco_keypoints(dataset.path, results, **options)["AP"]


@pytest.mark.parametrize(
    "change",
    [{"keypoints": []}, {"keypoints": None}, {"keypoints": NAN}, "keypoints",
     {"keypoints": [None, None, 0] * 3}, {"keypoints": [NAN, NAN, 2] * 3},
     {"keypoints": [5, 5, None] * 3}],
)  # fmt: skip
def test_a_record_that_says_nothing_is_unlabeled(tmp_path, change):
    odd = person(2, bbox=[0, 0, 0, 0], area=0)
    if isinstance(change, str):
        del odd[change]
    else:
        odd |= change
    data = content(person(), odd)
    dataset = load(tmp_path, data)
    assert dataset.people.annotation_id.tolist() == [1]
    assert dataset.skipped == {"without labeled keypoints": 1}
    assert "annotation 2: no labeled keypoints (skipped)" in notes(dataset)
    assert perfect(dataset, data) == pytest.approx(1)


@pytest.mark.parametrize("flag", [0, 2, None])
@pytest.mark.parametrize("value", [NAN, None, float("inf")])
def test_a_keypoint_without_coordinates_is_unlabeled(tmp_path, value, flag):
    data = content(person(keypoints=[value, 40, flag, 20, 60, 1, 50, 70, 2]), person(2))
    dataset = load(tmp_path, data)
    np.testing.assert_array_equal(
        dataset.people.keypoints[0], [[0, 0, 0], [20, 60, 1], [50, 70, 1]]
    )
    assert notes(dataset) == ["annotation 1: 1 keypoint without coordinates read as unlabeled"]
    assert perfect(dataset, data) == pytest.approx(1)


def test_a_negative_flag_is_unlabeled(tmp_path):
    data = content(person(keypoints=[30, 40, -1, 20, 60, 1, 50, 70, 2]))
    dataset = load(tmp_path, data)
    assert dataset.people.keypoints[0].tolist() == [[0, 0, 0], [20, 60, 1], [50, 70, 1]]
    assert "1 keypoint with a negative flag read as unlabeled" in notes(dataset)[0]
    assert perfect(dataset, data) == pytest.approx(1)


def test_mpii_joint_without_coordinates_is_unlabeled(tmp_path):
    joints = [[10.0, 20.0]] * 14 + [[None, 3], [NAN, NAN]]
    record = {"image": "x.jpg", "center": [9, 9], "scale": 2.0, "joints": joints}
    dataset = load(tmp_path, [record | {"joints_vis": [1] * 15 + [0]}])
    assert dataset.people.keypoints[0, :, 2].tolist() == [1] * 14 + [0, 0]
    assert notes(dataset) == ["record 0: 2 joints without coordinates read as unlabeled"]


@pytest.mark.parametrize("box", ["absent", None, [], [0, 0, 0, 0], [None] * 4, [1, 2, NAN, 4]])
@pytest.mark.parametrize("area", ["absent", None, 0, NAN])
def test_box_and_area_are_derived(tmp_path, box, area):
    odd = person(bbox=box, area=area)
    odd = {key: value for key, value in odd.items() if value != "absent"}
    data = content(odd)
    dataset = load(tmp_path, data)
    # The extent is (20, 40) to (50, 70); one pixel less, as for all boxes.
    np.testing.assert_array_equal(dataset.people.box, [[20, 40, 29, 29]])
    assert notes(dataset) == ["annotation 1: no box: the extent of its labeled keypoints is used"]
    assert perfect(dataset, data) == pytest.approx(1)
    truth = metrics.coco.read_truth(dataset.path).coco
    (record,) = truth.dataset["annotations"]
    assert record["bbox"] == [20, 40, 30, 30] and record["area"] == pytest.approx(0.53 * 900)


def test_one_point_gives_no_box(tmp_path):
    odd = person(bbox=None, keypoints=[30, 40, 2, 0, 0, 0, 0, 0, 0])
    dataset = load(tmp_path, content(odd, person(2)))
    assert dataset.people.annotation_id.tolist() == [2] and len(dataset.labeled) == 2
    assert dataset.skipped == {"with an empty box": 1}
    assert "annotation 1: no box, and its labeled keypoints span none" in notes(dataset)[0]
    alone = load(tmp_path, content(odd))  # enough for bottom-up networks
    with pytest.raises(annotations.AnnotationError, match="no usable person .1 with an empty box"):
        annotations.need_people(alone)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([10, 20, 40, 0], [10, 20, 39, 0]),
        ([10, 20, 0, 30], [10, 20, 0, 29]),
        ([10, 20, 1, 30], [10, 20, 0, 29]),
        ([-5, 20, 40.5, 0.5], [0, 20, 39.5, 0]),
        ([60, 99, 40, 0], [60, 99, 19, 0]),
        ([10, 120, 40, 0], None),  # below the image
        ([10, 20, -3, 30], None),
        ([10, 20, 1, 1], None),
    ],
)
def test_thin_boxes(tmp_path, box, expected):
    dataset = load(tmp_path, content(person(2), person(bbox=box, area=0)))
    assert dataset.people.box[1:].tolist() == ([expected] if expected else [])
    if expected:
        _, scale = dataset.people.center_scale((256, 192))
        assert scale[1].min() > 0
        truth = metrics.coco.read_truth(dataset.path).coco
        assert truth.dataset["annotations"][1]["area"] > 0


def test_area_wins_over_the_box_and_may_not_be_negative(tmp_path):
    dataset = load(tmp_path, content(person(area=1), person(2, area=-1)))
    assert dataset.people.annotation_id.tolist() == [1]
    assert notes(dataset) == ["annotation 2: area -1 is negative (skipped)"]


def test_num_keypoints_of_zero_is_the_reason(tmp_path):
    dataset = load(tmp_path, content(person(), person(2, num_keypoints=0)))
    assert "num_keypoints is 0, although 3 keypoints have a flag above 0" in notes(dataset)[0]


@pytest.mark.parametrize(
    ("ids", "numbers"),
    [
        ([1.0, 2.0], [1, 2]),
        (["7", 8], [7, 8]),
        (["a", "b"], [0, 1]),
        (["0007", 0], [1, 0]),
        ([2**64, "x"], [0, 1]),
    ],
)
def test_ids_of_other_types(tmp_path, ids, numbers):
    data = content(*(person(f"p{k}", image_id=ids[k], category_id="c") for k in range(2)))
    for image, identity in zip(data["images"], ids, strict=True):
        image["id"] = identity
    data["categories"][0]["id"] = "c"
    dataset = load(tmp_path, data)
    assert list(dataset.images) == numbers == dataset.people.image_id.tolist()
    assert dataset.people.annotation_id.tolist() == [0, 1]
    assert perfect(dataset, data) == pytest.approx(1)
    result = dataset.with_original_ids([{"image_id": numbers[1], "category_id": 0}])
    assert result == [{"image_id": ids[1], "category_id": "c"}]
    assert dataset.image_id_in_file(numbers[1]) == ids[1]
    assert dataset.person_id_in_file(1) == "p1"
    batch = {"image_id": np.array([numbers[1]]), "annotation_id": np.array([1])}
    runtime.write_bad_step(tmp_path, 3, {"loss": NAN}, batch, dataset, None)
    record = json.loads((tmp_path / "bad_step.json").read_text())
    assert (record["image_ids"], record["annotation_ids"]) == ([ids[1]], ["p1"])


def test_text_and_number_of_one_id_are_the_same(tmp_path):
    data = content(person(image_id="1"), person("2", image_id=2.0))
    dataset = load(tmp_path, data)
    assert dataset.people.image_id.tolist() == [1, 2]
    data["annotations"].append(person(2))
    with pytest.raises(annotations.AnnotationError, match="annotation 2: duplicate id"):
        load(tmp_path, data)


@pytest.mark.parametrize("identity", [None, True, [1], 1.5, ""])
def test_ids_that_are_none(tmp_path, identity):
    with pytest.raises(annotations.AnnotationError, match="'id' must be an integer or a string"):
        load(tmp_path, content(person(identity)))


def categories(*keypoints):
    return [
        {"id": k, "name": f"kind{k}", "keypoints": names}
        for k, names in enumerate(keypoints, start=1)
    ]


def test_categories_with_equal_keypoints_are_one(tmp_path):
    people = [person(), person(2, category_id=2, image_id=2), person(3, category_id=9)]
    data = content(*people, categories=categories(JOINTS, JOINTS))
    dataset = load(tmp_path, data)
    assert dataset.people.annotation_id.tolist() == [1, 2] and set(dataset.category_ids) == {1, 2}
    assert dataset.skipped == {"of another category": 1}
    assert notes(dataset) == [
        "categories: 2 categories with the same keypoints are read as one: 'kind1', 'kind2'"
    ]
    assert perfect(dataset, data) == pytest.approx(1)
    for choice in ("kind2", "2"):
        chosen = load(tmp_path, data, category=choice)
        assert chosen.people.annotation_id.tolist() == [2] and chosen.category_id == 2
        assert perfect(chosen, data, category=choice) == pytest.approx(1)
    with pytest.raises(annotations.AnnotationError, match="no category 'kind3' .* 'kind"):
        load(tmp_path, data, category="kind3")


def test_detections_name_images_and_categories_as_the_file_does(tmp_path):
    data = content(person(image_id="a", category_id="cat"), person(2, image_id="7", category_id=5))
    data["images"] = [
        {**image, "id": identity} for image, identity in zip(data["images"], "a7", strict=True)
    ]
    data["categories"] = [
        {"id": "cat", "name": "cat", "keypoints": JOINTS},
        {"id": 5, "name": "dog", "keypoints": JOINTS},
        {"id": 6, "name": "car"},
    ]
    dataset = load(tmp_path, data)
    text, number = dataset.images
    assert number == 7 and text != "a"
    box = {"bbox": [1, 2, 30, 40], "score": 0.5}
    records = [
        box | {"image_id": image, "category_id": category}
        for image, category in (("a", "cat"), (7, 5), ("7", "5"), ("a", 6), (text, 5))
    ]
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(records))
    people, problems = annotations.read_detections(path, dataset)
    assert people.image_id.tolist() == [text, 7, 7]
    problem, left_out = problems  # the number that stands for "a" is no id of the file
    assert f"1 box belongs to images not in a.json, e.g. {text}" in str(problem)
    assert left_out.rule == "boxes left out: 1 of another category" and not left_out.skipped

    of_dogs = load(tmp_path, data, category="dog")
    assert len(annotations.load_detections(path, of_dogs)) == 2
    boxes = {**data, "annotations": records[:3]}
    path.write_text(json.dumps(boxes))
    assert annotations.load_detections(path, dataset).image_id.tolist() == [text, 7, 7]
    assert annotations.load_detections(path, of_dogs).image_id.tolist() == [7, 7]


def test_categories_with_other_keypoints_are_named(tmp_path):
    data = content(person(), person(2, category_id=2, keypoints=[1, 2, 2]))
    data["categories"] = categories(JOINTS, ["tip"])
    dataset = load(tmp_path, data)
    assert notes(dataset) == [
        "categories: categories with other keypoints are left out: 'kind2' (kept: 'kind1'; choose "
        "with --config.data.category=kind2)"
    ]
    assert dataset.skipped == {"of another category": 1}
    assert "left out: 1 of another category" in annotations.left_out_lines(dataset)[0]
    tips = load(tmp_path, data, category="kind2")
    assert tips.skeleton.joints == ("tip",) and tips.people.annotation_id.tolist() == [2]


def test_lines_are_those_of_jaxpose_data(tmp_path):
    people = [person(k, keypoints=[]) for k in range(2, 8)]
    dataset = load(tmp_path, content(person(), *people))
    lines = annotations.left_out_lines(dataset, None, dataset)
    assert lines == [
        f"{dataset.path}: coco format: 2 images, 1 usable person; left out: 6 without labeled "
        "keypoints",
        *(f"a.json: annotation {k}: no labeled keypoints (skipped)" for k in (2, 3, 4)),
        "... and 3 more like these (`jaxpose data`)",
    ]


def test_pairs_of_the_setting_win(tmp_path):
    data = content(person())
    assert load(tmp_path, data).skeleton.flip_pairs == ((1, 2),)
    other = load(tmp_path, data, flip_pairs=("head/left_hand",))
    assert other.skeleton.flip_pairs == ((0, 1),)
    none = load(tmp_path, data, flip_pairs=("none",))
    assert none.skeleton.flip_pairs == ()
    annotations.need_sides(none)
    data["categories"][0]["keypoints"] = ["a", "b", "c"]
    with pytest.raises(
        annotations.AnnotationError, match="names of the keypoints .a, b, c. contain none: declare"
    ):
        annotations.need_sides(load(tmp_path, data))
    with pytest.raises(annotations.AnnotationError, match="config.data.flip_pairs=.*keypoint 'd'"):
        load(tmp_path, data, flip_pairs=("a/d",))
    data["categories"][0]["flip_pairs"] = [[0, 3]]
    with pytest.raises(annotations.AnnotationError, match="'flip_pairs' has the keypoint number 3"):
        load(tmp_path, data)


def test_good_files_are_read_as_before(tmp_path):
    data = content(person())
    before = copy.deepcopy(data)
    dataset = load(tmp_path, data)
    assert dataset.notes == [] and dataset.original_ids == {} and data == before
