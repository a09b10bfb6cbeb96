"""Whose box it is: file names, ids with their dataset, categories, scores."""

import pathlib

import numpy as np
import pytest

from jaxpose.predict.boxes import Boxes
from tests.helpers.files import write_json

BOX, OTHER = [1, 2, 3, 4], [5, 6, 7, 8]


def read(folder, content, images, **options):
    """(the boxes of each image by its path, the notes) of files named in `images`."""
    files = [(folder, pathlib.Path(name)) for name in images]
    boxes = Boxes(write_json(folder / "boxes.json", content), files, **options)
    return {name: boxes.of(folder / name).tolist() for name in images}, boxes.notes


def record(bbox, **others):
    return {"image_id": "1.jpg", "bbox": bbox} | others


def dataset(*images, annotations=(), **others):
    size = {"height": 20, "width": 10}
    images = [{"id": n, "file_name": name} | size for n, name in enumerate(images)]
    return {"images": images, "annotations": list(annotations)} | others


def test_a_dataset_explains_its_ids(tmp_path):
    crowd = {"image_id": 0, "bbox": OTHER, "iscrowd": 1}
    content = dataset("sub/a.jpg", annotations=[{"image_id": 0, "bbox": BOX}, crowd])
    boxes, notes = read(tmp_path, content, ["sub/a.jpg", "b.jpg"])
    assert boxes == {"sub/a.jpg": [BOX], "b.jpg": []}
    assert notes == [
        f"{tmp_path / 'boxes.json'}: boxes left out: 1 marked as a crowd",
        f"{tmp_path / 'boxes.json'}: 1 of 2 images has no box",
    ]


def test_equal_names_in_two_folders_are_two_images(tmp_path):
    content = [record(BOX, image_id="cam1/1.png"), record(OTHER, image_id="cam2\\1.png")]
    names = ["cam1/1.png", "cam2/1.png"]
    assert read(tmp_path, content, names)[0] == dict(zip(names, ([BOX], [OTHER]), strict=True))
    # The folder of the input may be inside the folder of the images.
    inside = Boxes(tmp_path / "boxes.json", [(tmp_path / "cam2", pathlib.Path("1.png"))])
    assert inside.of(tmp_path / "cam2" / "1.png").tolist() == [OTHER]
    assert any("boxes left out: 1 of other images" in note for note in inside.notes)


def test_a_name_without_its_folder_must_fit_one_image(tmp_path):
    with pytest.raises(
        ValueError, match=r"'1.png' matches 2 images \(.*cam1/1.png, .*cam2/1.png\)"
    ):
        read(tmp_path, [record(BOX, image_id="1.png")], ["cam1/1.png", "cam2/1.png"])
    names = ["1.png", "cam1/1.png"]  # the path from the image folder is the name
    assert read(tmp_path, [record(BOX, image_id="1.png")], names)[0] == {
        "1.png": [BOX],
        "cam1/1.png": [],
    }


def test_another_folder_is_noted_and_must_be_the_only_one(tmp_path):
    content = dataset("train/a.jpg", annotations=[{"image_id": 0, "bbox": BOX}])
    boxes, notes = read(tmp_path, content, ["a.jpg"])
    assert boxes == {"a.jpg": [BOX]} and "matched by name alone" in notes[0]
    content = dataset("train/a.jpg", "val/a.jpg", annotations=[{"image_id": 0, "bbox": BOX}])
    with pytest.raises(ValueError, match="1 of other images, e.g. 'train/a.jpg'"):
        read(tmp_path, content, ["a.jpg"])


def test_numbers_need_the_dataset(tmp_path):
    content = [record(BOX, image_id=1), record(OTHER, image_id=2.0), record(OTHER, image_id=9)]
    names = ["1.png", "2.png"]
    with pytest.raises(ValueError, match=r"image_id is a number \(1\).*--annotations FILE.json"):
        read(tmp_path, content, names)
    images = write_json(tmp_path / "d.json", dataset("0.png", "2.png", "1.png"))
    boxes, notes = read(tmp_path, content, names, dataset=images)
    assert boxes == {"1.png": [OTHER], "2.png": [BOX]}
    assert notes == [f"{tmp_path / 'boxes.json'}: boxes left out: 1 of other images"]
    with pytest.raises(ValueError, match=r"no image_id \(e.g. 9\) is in .*d.json"):
        read(tmp_path, content[2:], names, dataset=images)
    with pytest.raises(ValueError, match="has its own list of images"):
        read(tmp_path, dataset("1.png"), names, dataset=images)
    with pytest.raises(ValueError, match="b.json: file: must be an object with the list 'images'"):
        read(tmp_path, content, names, dataset=write_json(tmp_path / "b.json", []))


def test_only_people_with_a_score_and_an_extent_remain(tmp_path):
    content = [
        record(BOX, category_id=1, score=0.3),
        record(OTHER, category_id=1, score=0.2),
        record(OTHER, category_id=18, score=0.9),
        record([1, 2, 0, 4], score=0.9),
        record([1, 2, 3, -4], score=0.1),
    ]
    boxes, notes = read(tmp_path, content, ["1.jpg"], threshold=0.3)
    assert boxes == {"1.jpg": [BOX]}
    file = tmp_path / "boxes.json"
    assert notes == [
        f"{file}: detection number 3: box [1, 2, 0, 4] is empty (skipped)",
        f"{file}: boxes left out: 2 with a low score, 1 of another category, 1 empty",
    ]
    with pytest.raises(ValueError, match="none of its 1 boxes is for 1.jpg: 1 of another category"):
        read(tmp_path, content[2:3], ["1.jpg"])
    animal = {"id": 1, "name": "cow"}
    categories = [animal, {"id": 5, "name": "person"}]
    people = [{"image_id": 0, "bbox": BOX, "category_id": 5}]
    cows = [{"image_id": 0, "bbox": OTHER, "category_id": 1}]
    content = dataset("1.jpg", annotations=people + cows, categories=categories)
    assert read(tmp_path, content, ["1.jpg"])[0] == {"1.jpg": [BOX]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([record([1, 2, 3])], "detection number 0: bbox must be 4 finite numbers"),
        ([record(None)], "detection number 0: bbox must be 4 finite numbers .*, not None"),
        ([record(["a", 2, 3, 4])], "detection number 0: bbox must be 4 finite numbers"),
        ([record([float("nan"), 2, 3, 4])], "detection number 0: bbox must be 4 finite numbers"),
        ([{"image_id": 1}], "detection number 0: lacks 'bbox'"),
        ([record(BOX, score="high")], "detection number 0: score must be a finite number"),
        ([{"bbox": BOX}], "detection number 0: needs file_name or image_id"),
        ([record(BOX, image_id=[1])], "image_id must be an integer or a string"),
        ([record(BOX, image_id=1.5)], "image_id must be an integer or a string"),
        ([record(BOX, file_name=5)], "detection number 0: file_name must be a string, not 5"),
        ([record(BOX), 3], "detection number 1: must be an object"),
        ({"annotations": [record(None, id=8)]}, "annotation 8: bbox must be"),
        ({"images": [{"file_name": "a.jpg"}], "annotations": []}, "image number 0: lacks 'id'"),
        ({"images": [{"id": 7}], "annotations": []}, "image 7: lacks 'file_name'"),
        (dataset(None), "image 0: file_name must be a non-empty string"),
        ({"images": ["a.jpg"], "annotations": []}, "image number 0: must be an object"),
        ({"images": 1, "annotations": []}, "file: must be a list of boxes, or an object"),
        ({"images": [], "annotations": {}}, "file: must be a list of boxes, or an object"),
        ({"images": []}, "file: must be a list of boxes, or an object"),
        (None, "file: must be a list of boxes, or an object"),
    ],
)
def test_unusable_records_are_named(tmp_path, content, message):
    with pytest.raises(ValueError, match=rf"boxes\.json: .*{message}") as refusal:
        read(tmp_path, content, ["1.jpg"])
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_json_is_named(tmp_path):
    (tmp_path / "boxes.json").write_text("{")
    with pytest.raises(ValueError, match=r"boxes\.json: file: not JSON"):
        Boxes(tmp_path / "boxes.json", [(tmp_path, pathlib.Path("1.jpg"))])
    with pytest.raises(ValueError, match=r"none\.json: file: cannot be read"):
        Boxes(tmp_path / "none.json", [(tmp_path, pathlib.Path("1.jpg"))])


def test_boxes_are_float32(tmp_path):
    write_json(tmp_path / "boxes.json", [record(BOX)])
    boxes = Boxes(tmp_path / "boxes.json", [(tmp_path, pathlib.Path("1.jpg"))])
    assert len(boxes) == 1 and boxes.of(tmp_path / "1.jpg").dtype == np.float32
    assert boxes.of(tmp_path / "2.jpg").shape == (0, 4)


def test_a_list_has_the_categories_of_its_dataset(tmp_path):
    kinds = [{"id": name, "name": name, "keypoints": ["nose"]} for name in ("cat", "dog")]
    content = dataset("a.jpg", categories=[{"id": 1, "name": "car"}, *kinds])
    content["images"][0]["id"] = "x"
    explained = write_json(tmp_path / "dataset.json", content)
    boxes = [record(BOX, image_id="x", category_id=name) for name in ("cat", "dog", 1)]
    read_boxes, notes = read(tmp_path, boxes, ["a.jpg"], dataset=explained)
    assert read_boxes == {"a.jpg": [BOX, BOX]}
    assert notes == [f"{tmp_path / 'boxes.json'}: boxes left out: 1 of another category"]


def test_images_without_a_size_are_counted(tmp_path):
    content = dataset("a.jpg", "b.jpg", "c.jpg", annotations=[{"image_id": 0, "bbox": BOX}])
    del content["images"][0]["height"]
    content["images"][2] |= {"width": None}
    boxes = Boxes(write_json(tmp_path / "d.json", content), [(tmp_path, pathlib.Path("a.jpg"))])
    assert boxes.size_of(tmp_path / "a.jpg") is None
    (line,) = boxes.notes
    assert line.endswith("images: 2 without height and width, e.g. a.jpg: no size is compared")
