"""`jaxpose predict`: what it reads, draws and writes."""

import json
import os
import re

import cv2
import numpy as np
import pytest

from jaxpose import cli, images
from tests.helpers.files import write_json
from tests.helpers.photographs import photograph
from tests.helpers.seeing import PEOPLE, write_image


def test_the_command_draws_every_image_it_can_read(runs, tmp_path, capsys):
    folder, output = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    photograph(folder / "a.jpg")
    photograph(folder / "b.jpg", turned=True)
    (folder / "c.jpg").write_bytes((folder / "a.jpg").read_bytes()[:200])
    (folder / "d.jpg").symlink_to(tmp_path / "gone.jpg")
    boxes = [{"file_name": "a.jpg", "bbox": [10, 5, 40, 50]}] * 3
    box_file = write_json(tmp_path / "boxes.json", boxes)
    arguments = ["predict", str(runs[0]), str(folder), "-o", str(output), "--batch", "2"]

    assert cli.main([*arguments, "--boxes", str(box_file)]) == 0
    written = json.loads((output / "predictions.json").read_text())
    assert [image["file_name"] for image in written["images"]] == ["a.jpg", "b.jpg"]
    assert len(written["annotations"]) == 3
    # The same box three times, over two calls of the network: the same pose.
    assert len({json.dumps(a["keypoints"]) for a in written["annotations"]}) == 1
    text = capsys.readouterr().out
    assert f"skipped {folder / 'c.jpg'}: " in text and f"skipped {folder / 'd.jpg'}: " in text
    assert "No such file" in text and "3 people, 2 images skipped" in text
    assert cv2.imread(str(output / "b.jpg")).shape == (90, 60, 3)  # upright

    assert cli.main([*arguments, "--no-flip"]) == 0  # the whole image is one person
    again = json.loads((output / "predictions.json").read_text())
    assert [a["bbox"] for a in again["annotations"]] == [[0, 0, 90, 60], [0, 0, 60, 90]]
    assert (output / "a.jpg").is_file()


def read_images(folder):
    written = json.loads((folder / "predictions.json").read_text())
    return [image["file_name"] for image in written["images"]]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_the_poses_of_a_stopped_command_are_kept(runs, tmp_path, capsys, monkeypatch, error):
    for name in ("a.jpg", "b.jpg", os.fsdecode(b"c\xe9.jpg")):
        photograph(tmp_path / name)
    output = tmp_path / "out"
    command = ["predict", str(runs[0]), str(tmp_path), "-o", str(output), "--no-flip"]
    write = images.write

    def stop(path, image):
        if path.name == "b.jpg":
            raise error("a full disk")
        write(path, image)

    with monkeypatch.context() as patch:
        patch.setattr(images, "write", stop)
        assert cli.main(command) == (130 if error is KeyboardInterrupt else 2)
    text = capsys.readouterr()
    assert "predictions.json: only the first 2 images\n" in text.out
    assert ("a full disk" in text.err) == (error is OSError)
    assert read_images(output) == ["a.jpg", "b.jpg"]
    assert cli.main(command) == 0  # also an image whose name is not UTF-8
    assert len(read_images(output)) == 3
    assert r"c\udce9.jpg: 1 person" in capsys.readouterr().out


def test_inputs_are_never_overwritten(runs, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "photos"
    folder.mkdir()
    photograph(folder / "a.jpg")
    before = (folder / "a.jpg").read_bytes()
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.jpg").hardlink_to(folder / "a.jpg")
    boxes = write_json(out / "predictions.json", [{"file_name": "a.jpg", "bbox": [1, 2, 30, 40]}])
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    for words, message in (
        (["photos", "-o", "photos"], "photos is the folder of the input, .* e.g. -o photos_poses"),
        (["photos/a.jpg", "-o", "link"], "link is the folder of the input"),
        (["photos", "-o", "out"], r"out/a.jpg is an input \(the same file as photos/a.jpg\)"),
    ):
        assert cli.main(["predict", str(runs[0]), *words]) == 2
        error = capsys.readouterr().err
        assert re.search(message, error) and error.count("\n") == 1
    (out / "a.jpg").unlink()
    assert cli.main(["predict", str(runs[0]), "photos", "-o", "out", "--boxes", str(boxes)]) == 2
    error = capsys.readouterr().err
    assert "out/predictions.json is an input (the same file as" in error
    assert (folder / "a.jpg").read_bytes() == before and len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("verb", ["predict", "export"])
def test_steps_of_a_run(runs, tmp_path, capsys, verb):
    run, out = str(runs[0]), ["-o", str(tmp_path / "out")]
    photograph(tmp_path / "a.jpg")
    image = [str(tmp_path / "a.jpg")] * (verb == "predict")
    if verb == "export":
        pytest.importorskip("onnxruntime")
    assert cli.main([verb, run, *image, *out, "--step", "last"]) == 0
    checkpoint = f"{run}/checkpoints/0"
    for where, step, message in (
        (run, "lst", "--step=lst: did you mean 'last'? choose from last, best, or give the number"),
        (run, "7", "no checkpoint of step 7; it has [0]"),
        (checkpoint, "best", "checkpoints/0 is one checkpoint: for step best, give its run folder"),
    ):
        assert cli.main([verb, where, *image, *out, "--step", step]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_an_output_folder_that_is_a_file_is_one_line(runs, tmp_path, capsys):
    photograph(tmp_path / "a.jpg")
    output = tmp_path / "out"
    output.write_text("text")
    assert cli.main(["predict", str(runs[0]), str(tmp_path / "a.jpg"), "-o", str(output)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("jaxpose predict: ") and error.count("\n") == 1
    assert "File exists" in error and str(output) in error
    assert output.read_text() == "text"


def predictions(folder):
    return json.loads((folder / "predictions.json").read_text())["annotations"]


@pytest.mark.slow
def test_the_command_with_a_bottom_up_network(runs, tmp_path, capsys):
    topdown, bottomup = map(str, runs)
    image = write_image(tmp_path / "a.png", dim=0.5)
    words = [str(tmp_path / "a.png"), "-o", str(tmp_path / "out")]
    assert cli.main(["predict", bottomup, *words]) == 0
    whole = predictions(tmp_path / "out")
    joints = np.array([a["keypoints"] for a in whole]).reshape(2, 3, 3)
    np.testing.assert_allclose(joints[..., :2], PEOPLE, atol=4)
    drawn = cv2.imread(str(tmp_path / "out" / "a.jpg"))
    assert drawn.shape == image.shape
    assert "compiling for 64x128" in capsys.readouterr().err

    assert cli.main(["predict", bottomup, *words, "--one-size", "--person-score", "0.4"]) == 0
    assert len(predictions(tmp_path / "out")) == 1  # the dim one is left out
    assert "compiling" not in capsys.readouterr().err

    assert cli.main(["predict", topdown, *words, "--people", bottomup]) == 0
    crops = predictions(tmp_path / "out")
    joints = np.array([a["keypoints"] for a in crops]).reshape(2, 3, 3)
    np.testing.assert_allclose(joints[..., :2], PEOPLE, atol=4)
    for person, box in zip(whole, crops, strict=True):
        assert box["bbox"][2] == pytest.approx(1.25 * person["bbox"][2], abs=0.01)
