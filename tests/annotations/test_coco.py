"""Files in COCO format: which people are read, and every rule that a file can break."""

import numpy as np
import pytest

from jaxpose import annotations
from tests.helpers.annotation_files import (
    coco_file,
    load,
    mpii_record,
    person,
    problems,
    save,
    without,
)


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


BAD_COCO = {
    "not JSON": ('{"images": [', "file: not JSON"),
    "not text": ("", "file: not JSON"),
    "a list of nothing": ([], "file: must be an object"),
    "no annotations": (without(coco_file(), "annotations"), "lacks 'annotations'"),
    "images not a list": (coco_file(images={}), "images: must be a list"),
    "no keypoint names": (coco_file(categories=[{"id": 1, "name": "person"}]), "keypoint names"),
    "image without a name": (coco_file(images=[{"id": 1, "height": 5, "width": 5}]), "image 1"),
    "duplicate image": (coco_file(images=coco_file()["images"] * 2), "image 1: duplicate id"),
    "duplicate person": (coco_file(annotations=[person(), person()]), "annotation 7: duplicate id"),
    "unknown image": (coco_file(annotations=[person(image_id=9)]), "unknown image id 9"),
    "list as image": (coco_file(annotations=[person(image_id=[1])]), "unknown image id"),
    "no id": (coco_file(annotations=[without(person(), "id")]), "annotation number 0: lacks 'id'"),
    "no keypoints": (
        coco_file(annotations=[without(person(), "keypoints")]),
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


def test_folders_of_windows(tmp_path):
    names = ["a\\x.jpg", "a/x.jpg", "b\\y.jpg"]
    dataset = load(tmp_path, [mpii_record(image=name) for name in names])
    assert [info.file_name for info in dataset.images.values()] == ["a/x.jpg", "b/y.jpg"]
    assert dataset.people.image_id.tolist() == [0, 0, 1]


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
