"""`jaxpose predict --boxes`: the images that boxes belong to, and their orientation."""

import json

import cv2
import pytest

from jaxpose import cli
from tests.helpers.files import write_json
from tests.helpers.photographs import photograph
from tests.helpers.seeing import write_image


def test_an_image_is_read_in_the_orientation_of_its_boxes(runs, tmp_path, capsys):
    photograph(tmp_path / "b.jpg", turned=True)  # stored as 90x60, upright 60x90
    box = {"id": 1, "image_id": 7, "category_id": 1, "bbox": [50, 5, 40, 50], "score": 0.9}
    image = {"id": 7, "file_name": "b.jpg"}
    boxes = write_json(tmp_path / "boxes.json", [box])
    dataset, output = tmp_path / "dataset.json", tmp_path / "out"
    command = ["predict", str(runs[0]), str(tmp_path / "b.jpg"), "-o", str(output)]

    def size(**sides):
        write_json(dataset, {"images": [image | sides], "annotations": [box]})
        explained = [str(boxes), "--annotations", str(dataset)]
        sizes = []
        for words in ([str(dataset)], explained):
            assert cli.main([*command, "--boxes", *words]) == 0
            written = json.loads((output / "predictions.json").read_text())
            assert [a["bbox"] for a in written["annotations"]] == [box["bbox"]]
            sizes += [(i["width"], i["height"]) for i in written["images"]]
        assert cv2.imread(str(output / "b.jpg")).shape[1::-1] == sizes[0] == sizes[1]
        return sizes[0]

    assert size(width=90, height=60) == (90, 60)
    assert size(width=60, height=90) == size() == (60, 90)
    write_json(dataset, {"images": [image | {"width": 45, "height": 30}], "annotations": [box]})
    capsys.readouterr()
    assert cli.main([*command, "--boxes", str(dataset)]) == 1
    assert "b.jpg: is 90x60, annotated as 45x30" in capsys.readouterr().out


def test_predictions_of_an_upside_down_photograph_can_be_its_boxes(runs, tmp_path, capsys):
    photograph(tmp_path / "a.jpg", turned=True, orientation=3)
    photograph(tmp_path / "b.jpg", turned=True)  # its size shows the orientation
    command = ["predict", str(runs[0]), str(tmp_path), "--no-flip", "-o"]

    def pose(output, boxes=None):
        words = [] if boxes is None else ["--boxes", str(boxes), "--box-score", "0"]
        assert cli.main([*command, str(tmp_path / output), *words]) == 0
        written = json.loads((tmp_path / output / "predictions.json").read_text())
        marks = ["exif_upright" in image for image in written["images"]]
        return written, marks, written["annotations"][0]["keypoints"]

    written, marks, upright = pose("out")
    assert marks == [True, False] and "EXIF" not in capsys.readouterr().out
    boxes = tmp_path / "out" / "predictions.json"
    assert pose("again", boxes)[1:] == (marks, upright)
    assert "EXIF" not in capsys.readouterr().out
    # The file of another program says nothing: stored pixels, as for training.
    del written["images"][0]["exif_upright"]
    _, marks, stored = pose("stored", write_json(tmp_path / "boxes.json", written))
    assert marks == [False, False] and stored != upright
    text = capsys.readouterr().out
    assert "1 image with an EXIF orientation that no annotated size shows" in text
    assert "e.g. a.jpg; boxes of upright images do not fit\n" in text


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([], "has no box"),
        ([{"file_name": "b.jpg", "bbox": [1, 2, 3, 4], "score": 0.2}], "1 with a low score"),
        ([{"file_name": "a.png", "bbox": [1, 2, 3, 4]}] * 3, "3 of other images, e.g. 'a.png'"),
    ],
)
def test_boxes_of_other_images_are_refused(runs, tmp_path, capsys, boxes, message):
    photograph(tmp_path / "b.jpg")
    file = write_json(tmp_path / "boxes.json", boxes)
    words = [str(tmp_path / "b.jpg"), "--boxes", str(file), "-o", str(tmp_path / "out")]
    assert cli.main(["predict", str(runs[0]), *words]) == 2
    error = capsys.readouterr().err
    assert f"{file}: " in error and message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_command_keeps_folders_and_counts_what_it_passes_over(runs, tmp_path, capsys):
    for name in ("cam1/0.jpg", "cam2/0.jpg", "cam2/more/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        photograph(tmp_path / name)
    (tmp_path / "cam2/notes.txt").write_text("notes")
    content = [
        {"image_id": 1, "category_id": 1, "bbox": [10, 5, 40, 50], "score": 0.9},
        {"image_id": 2, "category_id": 1, "bbox": [20, 5, 40, 50], "score": 0.9},
        {"image_id": 2, "category_id": 1, "bbox": [20, 5, 0, 50], "score": 0.9},
    ]
    boxes = str(write_json(tmp_path / "boxes.json", content))
    images = [{"id": 1, "file_name": "cam2/0.jpg"}, {"id": 2, "file_name": "cam1/0.jpg"}]
    dataset = str(write_json(tmp_path / "dataset.json", {"images": images}))
    folders = [str(tmp_path / "cam1"), str(tmp_path / "cam2"), "-o", str(tmp_path / "out")]
    arguments = ["predict", str(runs[0]), *folders, "--recursive", "--no-flip"]

    assert cli.main([*arguments, "--boxes", boxes, "--annotations", dataset]) == 0
    written = json.loads((tmp_path / "out" / "predictions.json").read_text())
    names = {image["id"]: image["file_name"] for image in written["images"]}
    boxes_of = {names[a["image_id"]]: a["bbox"] for a in written["annotations"]}
    assert boxes_of == {"cam1/0.jpg": [20, 5, 40, 50], "cam2/0.jpg": [10, 5, 40, 50]}
    assert set(names.values()) == {"cam1/0.jpg", "cam2/0.jpg", "more/1.jpg"}
    assert all((tmp_path / "out" / name).is_file() for name in names.values())
    text = capsys.readouterr().out
    assert "detection number 2: box [20, 5, 0, 50] is empty (skipped)" in text
    assert "boxes left out: 1 empty" in text and "1 of 3 images has no box" in text
    assert text.splitlines()[-1].endswith("predictions.json: 2 people; ignored: 1 other file")

    assert cli.main([*arguments, "--boxes", boxes]) == 2
    error = capsys.readouterr().err
    assert "image_id is a number (1)" in error and "--annotations FILE.json" in error


def test_conflicting_sources_of_boxes_are_refused_in_one_line(runs, tmp_path, capsys):
    topdown, bottomup = map(str, runs)
    write_image(tmp_path / "a.png")
    boxes = str(write_json(tmp_path / "boxes.json", []))
    for words, message in (
        (
            [bottomup, "--boxes", boxes],
            "bottom-up network, which finds the people itself: omit --boxes",
        ),
        (
            [bottomup, "--people", bottomup],
            "bottom-up network, which finds the people itself: omit --people",
        ),
        ([topdown, "--people", topdown], "is top-down: it must be a bottom-up network"),
        ([topdown, "--people", bottomup, "--boxes", boxes], "choose one of them"),
        ([topdown, "--people", str(tmp_path)], "config.json"),
    ):
        assert cli.main(["predict", *words[:1], str(tmp_path / "a.png"), *words[1:]]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
