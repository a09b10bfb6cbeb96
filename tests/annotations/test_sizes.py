"""Images whose size the annotation file does not state: read, noted, or not usable."""

import json

import cv2
import numpy as np
import pytest

from jaxpose import annotations, cli
from jaxpose.datacheck import description

NAN = float("nan")
NOTE = "images: 2 without height and width, e.g. 1.png: no size is compared"
RUNS = {"size": [40, 60], "counts": [0, 2400]}


def content():
    """Two images of 60 x 40 pixels, with a box that ends outside, one outside, and two regions."""
    images = [{"id": k, "file_name": f"{k}.png", "height": 40, "width": 60} for k in (1, 2)]
    common = {"category_id": 1, "area": 900}
    crowd = {"iscrowd": 1, "image_id": 2, "category_id": 1}
    people = [
        {"id": 1, "image_id": 1, "bbox": [20, 10, 90, 90], "keypoints": [70, 15, 2, 30, 20, 2]},
        {"id": 2, "image_id": 2, "bbox": [80, 10, 9, 9], "keypoints": [30, 15, 2, 30, 20, 2]},
    ]
    regions = [{"id": 3, "segmentation": RUNS}, {"id": 4, "segmentation": RUNS | {"size": [1, 1]}}]
    return {
        "images": images,
        "annotations": [person | common for person in people] + [r | crowd for r in regions],
        "categories": [{"id": 1, "name": "thing", "keypoints": ["left_a", "right_a"]}],
    }


def without_sizes(**size):
    data = content()
    for image in data["images"]:
        del image["height"], image["width"]
        image |= size
    return data


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("1", "2"):
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), np.full((40, 60, 3), 90, np.uint8))
    return tmp_path


def load(folder, data):
    path = folder / "a.json"
    path.write_text(json.dumps(data))
    return annotations.load(path, image_dir=folder / "images")


def notes(dataset):
    return [str(note).removeprefix(f"{dataset.path}: ") for note in dataset.notes]


@pytest.mark.parametrize(
    "size",
    [{}, {"height": None, "width": None}, {"width": 60}, {"height": 0, "width": 60},
     {"height": NAN, "width": -1}, {"height": "40", "width": "60"}],
)  # fmt: skip
def test_an_image_without_a_size_is_used_as_with_its_own(folder, size):
    expected, dataset = load(folder, content()), load(folder, without_sizes(**size))
    for name in ("box", "keypoints", "annotation_id"):
        for one, other in ((expected.people, dataset.people), (expected.labeled, dataset.labeled)):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert dataset.people.box.tolist() == [[20, 10, 39, 29]]  # clipped to the image
    assert dataset.regions == expected.regions and dataset.skipped == expected.skipped
    assert notes(dataset) == [NOTE, *notes(expected)]
    assert [info.size for info in dataset.images.values()] == [(40, 60)] * 2
    assert dataset.annotated_size(1) is None and expected.annotated_size(1) == (40, 60)


def test_an_image_that_cannot_be_read_has_no_size(folder):
    (folder / "images" / "2.png").write_bytes(b"no image")
    dataset = load(folder, without_sizes())
    assert dataset.unsized == {2} and dataset.people.annotation_id.tolist() == [1, 2]
    assert notes(dataset)[:2] == [
        NOTE, "images: 1 without height and width cannot be read, e.g. 2.png: not usable"
    ]  # fmt: skip
    assert load(folder, content()).unsized == set()
    text = description.describe(dataset)
    assert "1 labeled keypoint lies outside the image" in text
    assert "1 person in images of unknown size" in text


def test_data_prints_what_is_left_out_by_the_size_of_the_file(folder, capsys):
    def lines(data):
        load(folder, data)
        assert cli.main(["data", str(folder), "-o", ""]) == 0
        return capsys.readouterr().out.splitlines()

    expected = lines(content())
    assert any("is empty or outside the image (60 x 40) (skipped)" in line for line in expected)
    (added,) = set(lines(without_sizes())) - set(expected)
    assert added.strip() == f"a.json: {NOTE}"


def test_a_file_without_annotations_needs_no_size(folder):
    skeleton = load(folder, content()).skeleton
    (folder / "a.json").write_text(json.dumps(without_sizes() | {"annotations": []}))
    dataset = annotations.load_image_info(
        folder / "a.json", image_dir=folder / "images", skeleton=skeleton
    )
    assert dataset.format == "image_info" and notes(dataset) == [NOTE]
    assert dataset.images[1].size == (40, 60)
