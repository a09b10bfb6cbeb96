"""`jaxpose data`: its output, its exit status and its sample sheet."""

import argparse
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from jaxpose import cli
from jaxpose.datacheck import command, sheet
from tests.helpers.photographs import with_orientation

JOINTS = ["left_hand", "right_hand", "head"]


def write(folder, count=4, images="images", name="train.json"):
    """`count` images of 60 x 50 with one person each."""
    (folder / images).mkdir(parents=True, exist_ok=True)
    infos, people = [], []
    for k in range(count):
        image = np.full((50, 60, 3), 5 * k, np.uint8)
        cv2.imwrite(str(folder / images / f"{k}.png"), image)
        infos.append({"id": k, "file_name": f"{k}.png", "height": 50, "width": 60})
        people.append(
            {
                "id": k, "image_id": k, "category_id": 2, "bbox": [5, 5, 40, 40], "area": 900,
                "keypoints": [10, 10, 2, 40, 10, 1, 25, 40, 2],
            }
        )  # fmt: skip
    category = {"id": 2, "name": "thing", "keypoints": JOINTS, "skeleton": [[1, 3], [2, 3]]}
    data = {"images": infos, "annotations": people, "categories": [category]}
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(data))
    return data


def check(folder, *arguments):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(folder), *arguments]))


def test_the_sheet_names_people_and_images_as_the_file_does(tmp_path, capsys, monkeypatch):
    data = write(tmp_path, count=2)
    for image, person in zip(data["images"], data["annotations"], strict=True):
        image["id"] = person["image_id"] = f"img-{image['id']}"
        person["id"] = f"x{person['id']}"
    content = json.dumps(data)
    (tmp_path / "train.json").write_text(content, encoding="utf-16")  # found like UTF-8
    captions = []
    monkeypatch.setattr(
        sheet.draw, "contact_sheet", lambda tiles, texts, height: captions.extend(texts) or tiles[0]
    )
    output = str(tmp_path / "sheet.png")
    assert check(tmp_path, "-o", output) == check(tmp_path, "-o", output, "--whole") == 0
    assert captions == ["x0", "x1", "img-0", "img-1"]


def test_good_dataset(tmp_path, capsys):
    write(tmp_path)
    (tmp_path / "boxes.json").write_text("[]")
    output = tmp_path / "out" / "sheet.png"
    assert check(tmp_path, "-o", str(output)) == 0
    text = capsys.readouterr().out
    assert "4 images, 4 usable people; left out: none" in text
    assert "skeleton 'thing': 3 keypoints, 2 limbs" in text
    assert "left-right pairs: left_hand-right_hand" in text
    assert "keypoints without a side: head" in text
    assert "4 of 4 decoded, 0 unusable, 0 whose size differs" in text
    assert "boxes.json" not in text
    drawn = cv2.imread(str(output))
    assert drawn.shape[1] > 4 * 192 and drawn.std() > 10


def test_all_problems_are_printed_and_status_is_one(tmp_path, capsys):
    data = write(tmp_path)
    data["annotations"][0]["keypoints"] = [1, 2]
    data["annotations"][1]["image_id"] = 77
    data["annotations"][2]["keypoints"] = [0] * 9
    (tmp_path / "train.json").write_text(json.dumps(data))
    assert check(tmp_path, "-o", "") == 1
    text = capsys.readouterr().out
    assert "train.json: annotation 0: keypoints must be 9 numbers" in text
    assert "train.json: annotation 1: unknown image id 77" in text
    assert "train.json: annotation 2: no labeled keypoints (skipped)" in text


def test_a_file_without_a_usable_person_does_not_hide_the_next(tmp_path, capsys):
    data = write(tmp_path, count=2, name="a.json")
    for record in data["annotations"]:
        record["keypoints"] = [0] * 9
    (tmp_path / "a.json").write_text(json.dumps(data))
    data = write(tmp_path, name="b.json")
    data["annotations"][0]["image_id"] = 77
    (tmp_path / "b.json").write_text(json.dumps(data))
    for images in ((), ("--images", str(tmp_path / "images"))):
        assert check(tmp_path, "-o", "", *images) == 1
        text = capsys.readouterr().out
        assert "    a.json: annotations: no usable person (2 without labeled keypoints)\n" in text
        assert "    b.json: annotation 0: unknown image id 77\n" in text


def test_many_like_problems_are_shortened(tmp_path, capsys):
    data = write(tmp_path, count=30)
    for record in data["annotations"]:
        record["image_id"] += 1000
    (tmp_path / "train.json").write_text(json.dumps(data))
    assert check(tmp_path, "-o", "") == 1
    text = capsys.readouterr().out
    assert text.count("unknown image id") == 10 and "and 20 more like these" in text
    assert check(tmp_path, "--all", "-o", "") == 1
    assert capsys.readouterr().out.count("unknown image id") == 30


def test_damaged_and_missing_images(tmp_path, capsys):
    write(tmp_path)
    (tmp_path / "images" / "0.png").write_bytes(b"nothing")
    (tmp_path / "images" / "1.png").unlink()
    cv2.imwrite(str(tmp_path / "images" / "2.png"), np.zeros((60, 50, 3), np.uint8))
    assert check(tmp_path, "-o", "") == 1
    text = capsys.readouterr().out
    assert "2 unusable, 1 whose size differs" in text
    assert "0.png: not an image" in text and "1.png: cannot be read (No such file" in text
    assert "2.png: is 50 x 60, annotated as 60 x 50" in text


def test_official_layout_and_several_files(tmp_path, capsys):
    write(tmp_path, images="train2017", name="annotations/person_keypoints_train2017.json")
    write(tmp_path, count=2, images="val2017", name="annotations/person_keypoints_val2017.json")
    captions = {"images": [], "annotations": []}
    (tmp_path / "annotations" / "captions_val2017.json").write_text(json.dumps(captions))
    assert check(tmp_path, "-o", str(tmp_path / "s.png")) == 0
    text = capsys.readouterr().out
    assert f"images in {tmp_path / 'train2017'}: 4 of 4" in text and "captions" not in text
    assert f"images in {tmp_path / 'val2017'}: 2 of 2" in text
    assert (tmp_path / "s_person_keypoints_val2017.png").is_file()


def test_whole_images(tmp_path, capsys):
    data = write(tmp_path, count=2)
    corner = [[0, 0, 9, 0, 9, 9, 0, 9]]
    data["annotations"].append(
        {
            "id": 9, "image_id": 1, "category_id": 2, "bbox": [0, 0, 9, 9], "keypoints": [0] * 9,
            "segmentation": corner,
        }
    )  # fmt: skip
    (tmp_path / "train.json").write_text(json.dumps(data))
    assert check(tmp_path, "--whole", "-o", str(tmp_path / "s.png")) == 0
    text = capsys.readouterr().out
    assert "at most 1; 2 images with people, 1 ignored region" in text
    drawn = cv2.imread(str(tmp_path / "s.png"))[..., ::-1].astype(int)
    red = (np.abs(drawn - (122, 2, 2)) < 9).all(-1)
    assert 400 < red.sum() < 10000  # a corner of the second image
    assert check(tmp_path, "-o", str(tmp_path / "s.png")) == 0
    assert not (np.abs(cv2.imread(str(tmp_path / "s.png")) - (2, 2, 122)) < 9).all(-1).any()


def rename(folder, *joints, **changes):
    """Writes a good dataset whose three keypoints have other names."""
    data = write(folder)
    data["categories"][0] |= {"keypoints": list(joints)} | changes
    (folder / "train.json").write_text(json.dumps(data))


def test_pairs_are_printed_or_needed(tmp_path, capsys):
    rename(tmp_path, "front_left_paw", "front_right_paw", "tail")
    assert check(tmp_path, "-o", "") == 0
    text = capsys.readouterr().out
    assert "left-right pairs: front_left_paw-front_right_paw (from the names; they swap in" in text
    rename(tmp_path, "a", "b", "c")
    assert check(tmp_path, "-o", "") == 1
    text = capsys.readouterr().out
    assert "left-right pairs: none (from the names)" in text
    assert "train.json: category 'thing': mirrored images need the left-right pairs" in text
    assert check(tmp_path, "-o", "", "--flip-pairs", "a/c") == 0
    assert "left-right pairs: a-c (declared; they swap in" in capsys.readouterr().out
    assert check(tmp_path, "-o", "", "--flip-pairs", "none") == 0
    assert "left-right pairs: none (declared)" in capsys.readouterr().out
    rename(tmp_path, "a", "b", "c", flip_idx=[2, 1, 0])
    assert check(tmp_path, "-o", "") == 0
    assert "left-right pairs: a-c (declared" in capsys.readouterr().out
    rename(tmp_path, "left_a", "b", "c", flip_pairs=[[0, 7]])
    assert check(tmp_path, "-o", "") == 1
    assert "train.json: category 2: category 'thing': 'flip_pairs' has the keypoint number 7" in (
        capsys.readouterr().out
    )


def test_chosen_category(tmp_path, capsys):
    data = write(tmp_path)
    data["categories"].append({"id": 3, "name": "tip", "keypoints": ["tip"]})
    data["annotations"].append(data["annotations"][0] | {"id": 9, "category_id": 3, "keypoints": [
        9, 9, 2]})  # fmt: skip
    (tmp_path / "train.json").write_text(json.dumps(data))
    assert check(tmp_path, "-o", "") == 0
    text = capsys.readouterr().out
    assert "categories with other keypoints are left out: 'tip'" in text
    assert "left out: 1 of another category" in text
    assert check(tmp_path, "-o", "", "--category", "tip", "--flip-pairs", "none") == 0
    assert "skeleton 'tip': 1 keypoint," in capsys.readouterr().out


def test_notes_on_images(tmp_path, capsys):
    write(tmp_path)
    cv2.imwrite(str(tmp_path / "images" / "1.png"), np.full((50, 60), 4000, np.uint16))
    turned = cv2.imencode(".jpg", np.arange(3000, dtype=np.uint8).reshape(60, 50))[1].tobytes()
    (tmp_path / "images" / "2.png").write_bytes(with_orientation(turned, 6))
    assert check(tmp_path, "-o", str(tmp_path / "s.png")) == 0
    text = capsys.readouterr().out
    assert "0 unusable, 0 whose size differs" in text
    assert "note: 1 image rotated by EXIF orientation" in text and ": 2.png\n" in text
    assert (
        "note: 1 image nearly black after conversion from 16 to 8 bits" in text
        and ": 1.png\n" in text
    )


def test_images_without_people_are_noted(tmp_path, capsys):
    data = write(tmp_path)
    del data["annotations"][0]
    (tmp_path / "train.json").write_text(json.dumps(data))
    assert check(tmp_path, "-o", "") == 0
    assert "note: 1 image without people; bottom-up networks use" in capsys.readouterr().out


def test_a_file_without_boxes_is_described(tmp_path, capsys):
    data = write(tmp_path)
    for record in data["annotations"]:
        record |= {"bbox": None, "keypoints": [10, 10, 2] + [0] * 6}
    (tmp_path / "train.json").write_text(json.dumps(data))
    assert check(tmp_path, "-o", str(tmp_path / "s.png")) == 0
    text = capsys.readouterr().out
    assert "0 usable people; left out: 4 with an empty box" in text
    assert "only bottom-up networks" in text


def test_nothing_to_check(tmp_path, capsys):
    assert cli.main(["data", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert cli.main(["data", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "no annotation file" in error and error.count("\n") == 1
    write(tmp_path)
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="give their folder with --images"):
        check(tmp_path)


def test_damaged_annotation_file_is_reported(tmp_path, capsys):
    write(tmp_path)
    (tmp_path / "val.json").write_text('{"images": [], "annotations": [{"keypoints": [1, ')
    assert check(tmp_path, "-o", "") == 1
    assert "val.json: file: not JSON" in capsys.readouterr().out


def test_detections_are_checked(tmp_path, capsys):
    write(tmp_path)
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"image_id": 9, "category_id": 2, "bbox": [1] * 4, "score": 1}]))
    assert check(tmp_path, "--detections", str(boxes), "-o", "") == 1
    text = capsys.readouterr().out
    assert "boxes.json: file: no box belongs to a person in the images of " in text
    assert "1 of other images, e.g. 9" in text


def test_the_sheet_never_overwrites_what_is_checked(tmp_path, capsys):
    write(tmp_path)
    link = tmp_path / "sheet.png"
    link.symlink_to(next((tmp_path / "images").iterdir()))
    before = link.read_bytes()
    for output in (link, next(tmp_path.glob("*.json"))):
        with pytest.raises(ValueError, match=f"{output} is an input.* choose another name"):
            check(tmp_path, "-o", str(output))
    assert link.read_bytes() == before


def test_does_not_import_tensorflow(tmp_path):
    write(tmp_path)
    program = (
        "import sys; from jaxpose import cli\n"
        "assert cli.main(['data', sys.argv[1], '-o', '']) == 0\n"
        "assert 'tensorflow' not in sys.modules and 'input_pipeline' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=300)


@pytest.mark.slow
def test_real_folders(real_data, capsys, tmp_path):
    for name in ("coco", "crowdpose", "mpii", "lspet"):
        assert check(real_data / name, "-o", str(tmp_path / f"{name}.png")) == 0
    text = capsys.readouterr().out
    assert "12 usable people; left out: 2 without labeled keypoints" in text
    assert "mpii format: 5 images, 5 usable people" in text
    assert "at most 5; 4 images with people, 2 ignored regions" in text
    assert "crowdpose format: 2 images, 4 usable people" in text
    assert "crowdIndex 0.33 to 0.39: 0 easy, 2 medium, 0 hard images" in text
