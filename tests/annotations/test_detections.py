"""Detected boxes: which people they belong to, and what is left out."""

import numpy as np
import pytest

from jaxpose import annotations
from jaxpose.annotations import file_names
from tests.helpers.annotation_files import (
    coco_file,
    load,
    problems,
    save,
)


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
    assert ids == [first["id"]] and "1 image is matched by name alone" in note
    assert "e.g. cam2/1.png and cam1/1.png" in note
    ids, (note,) = read("cam2/1.png", "cam1/1.png")
    assert ids == [first["id"]] and "1 box belongs to images not in" in note
    # A dataset of boxes also knows images without boxes.
    images = [{"id": n, "file_name": f"cam{n}/1.png"} for n in (1, 2)]
    boxes = {"images": images, "annotations": [{"image_id": 2, "bbox": [1, 2, 30, 40]}]}
    path = save(tmp_path, boxes, "b.json")
    with pytest.raises(annotations.AnnotationError, match="1 of other images, e.g. 'cam2/1.png'"):
        annotations.load_detections(path, dataset)
    boxes["annotations"][0]["image_id"] = 1
    people = annotations.load_detections(save(tmp_path, boxes, "b.json"), dataset)
    assert people.image_id.tolist() == [first["id"]] and people.box_score.tolist() == [1]


def test_a_name_that_fits_several_images_is_named(tmp_path):
    content = coco_file()
    first, second = content["images"][:2]
    first["file_name"], second["file_name"] = "cam1/1.png", "cam2/1.png"
    box = {"bbox": [1, 2, 30, 40], "score": 0.5}
    records = [box | {"file_name": name} for name in ("1.png", "1.png", "cam2/1.png")]
    dataset = load(tmp_path, content)
    people, notes = annotations.read_detections(save(tmp_path, records[2:], "b.json"), dataset)
    assert people.image_id.tolist() == [second["id"]] and not notes
    people, notes = annotations.read_detections(save(tmp_path, records, "b.json"), dataset)
    assert people.image_id.tolist() == [first["id"]] * 2 + [second["id"]] and not notes
    second["file_name"] = "cam2/2.png"
    content["images"].append(second | {"id": 9, "file_name": "cam3/1.png"})
    records[2]["file_name"] = "2.png"
    dataset = load(tmp_path, content)
    people, notes = annotations.read_detections(save(tmp_path, records, "b.json"), dataset)
    assert people.image_id.tolist() == [second["id"]]
    assert "1 file name fits several images, e.g. 1.png (cam1/1.png, cam3/1.png)" in str(notes)


def test_a_name_may_begin_with_the_current_folder():
    images = [("/data/cam1/1.png", "cam1/1.png"), ("/data/cam2/1.png", "cam2/1.png")]
    matches = file_names.match(["./cam2/1.png", "cam1//1.png"], images)
    assert matches.image_of == {"./cam2/1.png": 1, "cam1//1.png": 0}
    assert not matches.by_name_alone and not matches.ambiguous


def test_a_dataset_of_boxes_has_ids_of_its_own(tmp_path):
    dataset = load(tmp_path, coco_file())
    names = {info.file_name: identity for identity, info in dataset.images.items()}
    boxes = [{"image_id": n, "bbox": [n, 2, 30, 40], "score": 0.5} for n in range(len(names))]
    images = [{"id": n, "file_name": name} for n, name in enumerate(reversed(names))]
    content = {"images": images, "annotations": boxes}
    people = annotations.load_detections(save(tmp_path, content, "boxes.json"), dataset)
    assert people.image_id.tolist() == list(names.values())[::-1]
    assert people.box[:, 0].tolist() == list(range(len(names)))
