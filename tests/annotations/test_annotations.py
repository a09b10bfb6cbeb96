"""Sample lists against hand-worked records, and every rule that an annotation file can break."""

import copy
import json

import numpy as np
import pytest

from jaxpose import annotations, skeletons


def problems(path, dataset=None):
    return [str(problem) for problem in annotations.check(path, dataset)]


def coco_file(**changes):
    """A valid file: two images, one person; `changes` replace top-level entries."""
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


def test_box_is_clipped_to_the_image(tmp_path):
    box = load(tmp_path, coco_file(annotations=[person(bbox=[-5, 90, 200, 30])])).people.box
    np.testing.assert_array_equal(box, [[0, 90, 79, 9]])


def test_left_out_records(tmp_path):
    records = [
        person(id=1),
        person(id=2, iscrowd=1, keypoints=[]),
        person(id=3, keypoints=[0] * 51, num_keypoints=0),
        person(id=4, bbox=[200, 20, 50, 60]),
        person(id=5, bbox=[10, 20, 1, 1]),
        person(id=6, area=-1),
        person(id=8, category_id=3),
    ]
    path = save(tmp_path, coco_file(annotations=records))
    dataset = annotations.load_coco(path, image_dir=tmp_path)
    assert dataset.people.annotation_id.tolist() == [1]
    assert dataset.skipped == {
        "crowd regions": 1, "without labeled keypoints": 1, "with an empty box": 3,
        "of another category": 1,
    }  # fmt: skip
    lines = problems(path)
    assert len(lines) == 4 and all(line.endswith("(skipped)") for line in lines)
    assert f"{path}: annotation 3: no labeled keypoints" in lines[0]


def _without(record, key):
    return {k: v for k, v in record.items() if k != key}


BAD_COCO = {
    "not JSON": ('{"images": [', "file: not JSON"),
    "not text": ("", "file: not JSON"),
    "a list of nothing": ([], "file: must be an object"),
    "no annotations": (_without(coco_file(), "annotations"), "lacks 'annotations'"),
    "images not a list": (coco_file(images={}), "images: must be a list"),
    "no keypoint names": (coco_file(categories=[{"id": 1, "name": "person"}]), "keypoint names"),
    "image without a name": (coco_file(images=[{"id": 1, "height": 5, "width": 5}]), "image 1"),
    "duplicate image": (coco_file(images=coco_file()["images"] * 2), "image 1: duplicate id"),
    "duplicate person": (coco_file(annotations=[person(), person()]), "annotation 7: duplicate id"),
    "unknown image": (coco_file(annotations=[person(image_id=9)]), "unknown image id 9"),
    "list as image": (coco_file(annotations=[person(image_id=[1])]), "unknown image id"),
    "no id": (coco_file(annotations=[_without(person(), "id")]), "annotation number 0: lacks 'id'"),
    "no keypoints": (
        coco_file(annotations=[_without(person(), "keypoints")]),
        "no usable person (1 without labeled keypoints)",
    ),
    "too few keypoints": (
        coco_file(annotations=[person(keypoints=[1, 2, 2])]),
        "annotation 7: keypoints must be 51 numbers (x, y, flag of 17 keypoints), not 3",
    ),
    "text as keypoints": (
        coco_file(annotations=[person(), person(id=8, keypoints=["a"] * 51)]),
        "annotation 8: keypoints must be numbers, not 'a'",
    ),
    "missing value": (
        coco_file(annotations=[person(keypoints=[None] * 51)]),
        "no usable person (1 without labeled keypoints)",
    ),
    "not a number": (
        coco_file(annotations=[person(keypoints=[float("nan")] * 51)]),
        "no usable person (1 without labeled keypoints)",
    ),
    "strange flag": (coco_file(annotations=[person(keypoints=[5, 5, 3] * 17)]), "0, 1 or 2"),
    "short box": (coco_file(annotations=[person(bbox=[1, 2, 3])]), "bbox must be 4"),
    "area as text": (coco_file(annotations=[person(area="big")]), "area must be"),
    "person not an object": (coco_file(annotations=[3]), "annotation number 0: must be an object"),
    "no people": (coco_file(annotations=[]), "no usable person"),
    "no usable people": (
        coco_file(annotations=[person(keypoints=[])]),
        "no usable person (1 without labeled keypoints)",
    ),
}


@pytest.mark.parametrize("case", BAD_COCO)
def test_bad_coco_file_is_refused_in_one_line(tmp_path, case):
    data, expected = BAD_COCO[case]
    with pytest.raises(annotations.AnnotationError) as error:
        load(tmp_path, data)
    message = str(error.value)
    assert expected in message and "\n" not in message
    assert message.startswith(str(tmp_path / "a.json"))


BAD_MPII = {
    "no scale": (_without(mpii_record(), "scale"), "record 1: lacks 'scale'"),
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


def test_all_problems_are_listed_at_once(tmp_path):
    records = [person(bbox=[200, 20, 50, 60]), person(), person(id=8, image_id=5)]
    images = [*coco_file()["images"], {"id": 2, "file_name": "c", "height": 5, "width": 5}]
    path = save(tmp_path, coco_file(images=images, annotations=records))
    lines = problems(path)
    assert len(lines) == 4
    assert "image 2: duplicate id (already 'b.jpg')" in lines[0]  # fatal ones come first
    assert lines[-1].endswith("outside the image (80 x 100) (skipped)")
    with pytest.raises(annotations.AnnotationError, match="and 2 more problems"):
        annotations.load(path, image_dir=tmp_path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(annotations.AnnotationError, match="none.json: file: cannot be read"):
        annotations.load_coco(tmp_path / "none.json", image_dir=tmp_path)
    assert "cannot be read" in problems(tmp_path / "none.json")[0]
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


def test_folders_of_windows(tmp_path):
    names = ["a\\x.jpg", "a/x.jpg", "b\\y.jpg"]
    dataset = load(tmp_path, [mpii_record(image=name) for name in names])
    assert [info.file_name for info in dataset.images.values()] == ["a/x.jpg", "b/y.jpg"]
    assert dataset.people.image_id.tolist() == [0, 0, 1]


def test_detections_are_not_clipped(tmp_path):
    dataset = load(tmp_path, coco_file())
    box = {"image_id": 2, "category_id": 1, "bbox": [-10, -20, 500, 300], "score": 0.25}
    empty = box | {"bbox": [1, 1, 0, 0]}
    path = save(tmp_path, [box | {"category_id": 5}, box, empty, box], "boxes.json")
    people = annotations.load_detections(path, dataset)
    np.testing.assert_array_equal(people.box, [[-10, -20, 500, 300]] * 2)
    assert people.annotation_id.tolist() == [0, 1] and people.box_score.tolist() == [0.25, 0.25]
    assert people.keypoints.shape == (2, 17, 3) and not people.keypoints.any()
    assert problems(path, dataset) == [
        f"{path}: detection number 2: box [1, 1, 0, 0] is empty (skipped)",
        f"{path}: file: boxes left out: 1 of another category, 1 empty",
    ]
    for change, message in (
        ({"bbox": [1, 2, 3]}, "bbox must be 4"),
        ({"score": None}, "score must be"),
    ):
        with pytest.raises(annotations.AnnotationError, match=f"detection number 0: {message}"):
            annotations.load_detections(save(tmp_path, [box | change], "bad.json"), dataset)


def test_detections_of_other_images_are_left_out(tmp_path):
    dataset = load(tmp_path, coco_file())
    name = dataset.images[2].file_name
    box = {"category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.25}
    records = [box | {"image_id": image} for image in (77, 2, name, 2.0, f"x/{name}", "none.jpg")]
    # Beside `name` itself, x/name is another image.
    people, notes = annotations.read_detections(save(tmp_path, records, "boxes.json"), dataset)
    assert people.image_id.tolist() == [2, 2, 2]
    (note,) = map(str, notes)
    assert "3 boxes belong to images not in a.json, e.g. 77 (skipped)" in note
    thin = box | {"image_id": 2, "bbox": [1, 2, 0, 40]}
    for records, message in (
        ([], "the list is empty"),
        ([box | {"image_id": 77}], "1 of other images, e.g. 77"),
        ([thin, box | {"image_id": 2, "category_id": 3}], "1 empty, 1 of another category"),
    ):
        with pytest.raises(annotations.AnnotationError, match=f"images of a.json: {message}"):
            annotations.load_detections(save(tmp_path, records, "bad.json"), dataset)


def test_a_name_in_another_folder_must_be_the_only_one(tmp_path):
    content = coco_file()
    first, second = content["images"][:2]
    first["file_name"], second["file_name"] = "cam1\\1.png", "cam1/2.png"
    dataset = load(tmp_path, content)
    assert dataset.images[first["id"]].file_name == "cam1/1.png"
    box = {"bbox": [1, 2, 30, 40], "score": 0.5}

    def read(*names, **others):
        records = [box | {"file_name": name} | others for name in names]
        people, notes = annotations.read_detections(save(tmp_path, records, "b.json"), dataset)
        return people.image_id.tolist(), [note.rule for note in notes]

    assert read("cam1/1.png", "2.png") == ([first["id"], second["id"]], [])
    assert read("cam1/1.png", image_id=second["id"]) == ([first["id"]], [])  # the name decides
    ids, (note,) = read("cam2/1.png")
    assert ids == [first["id"]] and "1 images are matched by name alone" in note
    assert "e.g. cam2/1.png and cam1/1.png" in note
    ids, (note,) = read("cam2/1.png", "cam1/1.png")
    assert ids == [first["id"]] and "1 boxes belong to images not in" in note
    # A dataset of boxes also knows images without boxes.
    images = [{"id": n, "file_name": f"cam{n}/1.png"} for n in (1, 2)]
    boxes = {"images": images, "annotations": [{"image_id": 2, "bbox": [1, 2, 30, 40]}]}
    path = save(tmp_path, boxes, "b.json")
    with pytest.raises(annotations.AnnotationError, match="1 of other images, e.g. 'cam2/1.png'"):
        annotations.load_detections(path, dataset)
    boxes["annotations"][0]["image_id"] = 1
    people = annotations.load_detections(save(tmp_path, boxes, "b.json"), dataset)
    assert people.image_id.tolist() == [first["id"]] and people.box_score.tolist() == [1]


def test_a_dataset_of_boxes_has_ids_of_its_own(tmp_path):
    dataset = load(tmp_path, coco_file())
    names = {info.file_name: identity for identity, info in dataset.images.items()}
    boxes = [{"image_id": n, "bbox": [n, 2, 30, 40], "score": 0.5} for n in range(len(names))]
    images = [{"id": n, "file_name": name} for n, name in enumerate(reversed(names))]
    content = {"images": images, "annotations": boxes}
    people = annotations.load_detections(save(tmp_path, content, "boxes.json"), dataset)
    assert people.image_id.tolist() == list(names.values())[::-1]
    assert people.box[:, 0].tolist() == list(range(len(names)))


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


def test_everyone_in_an_image(tmp_path):
    """Bottom-up examples contain everyone with a labeled joint, whatever the box and crowd flag."""
    records = [
        person(id=1, image_id=2, bbox=[0, 0, 40, 30]),
        person(id=2, bbox=[200, 20, 50, 60]),
        person(id=3, iscrowd=1),
        person(id=4, keypoints=[0] * 51, num_keypoints=0),
        person(id=5),
        person(id=6, image_id=3, iscrowd=1, keypoints=[0] * 51, num_keypoints=0),
        person(id=7, num_keypoints=0),
    ]
    images = [*coco_file()["images"]]
    images += [{"id": k, "file_name": f"{k}.jpg", "height": 9, "width": 9} for k in (4, 3)]
    dataset = load(tmp_path, coco_file(images=images, annotations=records))
    assert dataset.people.annotation_id.tolist() == [1, 5]
    assert dataset.labeled.annotation_id.tolist() == [1, 2, 3, 5]
    np.testing.assert_array_equal(dataset.labeled.box[1], [0] * 4)  # the clipped box is empty
    assert {k: rows.tolist() for k, rows in dataset.labeled_rows.items()} == {1: [1, 2, 3], 2: [0]}
    assert dataset.with_people == (1, 2, 3)  # no one is annotated in image 4
    assert dataset.skipped == {
        "crowd regions": 2, "with an empty box": 1, "without labeled keypoints": 2,
    }  # fmt: skip
    assert dataset.crowd_index == {}


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


def test_real_files(real_data):
    def people(name, file="annotations.json"):
        folder = real_data / name
        return len(annotations.load(folder / file, image_dir=folder / "images").people)

    assert people("coco") == 12
    crowdpose = annotations.load(
        real_data / "crowdpose" / "annotations.json", image_dir=real_data / "crowdpose" / "images"
    )
    assert crowdpose.format == "crowdpose" and len(crowdpose.labeled) == 4
    assert crowdpose.crowd_index == {106848: 0.33, 103319: 0.39}
    assert people("mpii") == 5
    assert people("lspet", "annotations_train.json") == 3000
    assert people("lspet", "annotations_val.json") == 500
    coco = annotations.load(
        real_data / "coco" / "annotations.json", image_dir=real_data / "coco" / "images"
    )
    assert (
        len(annotations.load_detections(real_data / "coco" / "person_detections.json", coco)) > 12
    )
    # One polygon each; nobody is hidden who has joints.
    assert {k: len(v) for k, v in coco.regions.items()} == {40083: 1, 196141: 1}
    mask = annotations.regions.mask(coco.regions[40083], (333, 500))
    box = mask[126:195, 275:287]
    assert (mask == 0).sum() == (box == 0).sum() == pytest.approx(491.3, rel=0.1)
