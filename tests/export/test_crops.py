"""Images to calibrate on: from the training data of a run, or from files."""

import json

import cv2
import numpy as np
import pytest

from input_pipeline.dataset import load_dataset
from jaxpose import cli, geometry, skeletons
from jaxpose.export import crops
from tests.helpers import seeing
from tests.helpers.networks import Function, source_of

SIZE = (64, 64)


def dataset(folder, count=6, missing=()):
    """Images of one color each, with a person in the middle; returns the settings that name it."""
    (folder / "train2017").mkdir(parents=True)
    images, people = [], []
    for number in range(count):
        name = f"{number}.png"
        if number not in missing:
            pixels = np.full((80, 100, 3), 20 * number + 10, np.uint8)
            pixels[30:50, 40:60] = 255
            cv2.imwrite(str(folder / "train2017" / name), pixels)
        images.append({"id": number, "file_name": name, "width": 100, "height": 80})
        keypoints = [50, 40, 2] * 17
        person = {"bbox": [40, 30, 20, 20], "keypoints": keypoints, "num_keypoints": 17}
        people.append(person | {"id": number, "image_id": number, "category_id": 1, "area": 400})
    category = {"id": 1, "name": "person", "keypoints": list(skeletons.COCO.joints)}
    (folder / "train.json").write_text(
        json.dumps({"images": images, "annotations": people, "categories": [category]})
    )
    return {"data.root": str(folder), "data.train_annotations": "train.json"}


def source(task="topdown", settings=None):
    return source_of(Function(lambda m, x: x), "tiny", task, SIZE, settings)


def levels(images):
    """The gray level in the corner of each image."""
    return sorted(int(image[2, 2, 0]) for image in images)


def test_people_are_cropped_as_in_evaluation(tmp_path):
    network = source(settings=dataset(tmp_path))
    got = crops.of_training(network)
    assert got.shape == (6, *SIZE, 3) and got.dtype == np.uint8
    center, scale = geometry.box_to_center_scale(np.array([[40.0, 30, 19, 19]]), SIZE)
    matrix = geometry.affine(center[0], scale[0], 0, SIZE)
    pixels = cv2.imread(str(tmp_path / "train2017" / "3.png"))
    expected = geometry.crop(pixels, matrix, SIZE)
    assert any(np.array_equal(image, expected) for image in got)
    assert levels(got) == [10, 30, 50, 70, 90, 110]


def test_the_choice_is_random_and_the_same_every_time(tmp_path):
    network = source(settings=dataset(tmp_path))
    got = crops.of_training(network, 3)
    assert len(got) == 3 and np.array_equal(got, crops.of_training(network, 3))
    assert levels(got) != [10, 30, 50]


def test_a_bottom_up_network_gets_whole_images(tmp_path):
    got = crops.of_training(source("associative_embedding", dataset(tmp_path)), 6)
    inside = got[:, 32, 4, 0]  # the left edge of the image, far from the person
    assert sorted(inside.tolist()) == [10, 30, 50, 70, 90, 110]
    assert (got[:, 2] == 0).all()  # above a wide image


def test_unreadable_images_are_replaced(tmp_path):
    network = source(settings=dataset(tmp_path, missing=(0, 2)))
    assert levels(crops.of_training(network)) == [30, 70, 90, 110]


def test_the_data_may_have_moved(tmp_path):
    settings = dataset(tmp_path / "now")
    network = source(settings=settings | {"data.root": str(tmp_path / "before")})
    assert len(crops.of_training(network, data=tmp_path / "now")) == 6


@pytest.mark.parametrize("task", ["topdown", "associative_embedding"])
def test_generated_people_are_found_where_training_puts_them(task, tmp_path):
    settings = {"data.root": str(tmp_path), "data.format": "generated"}
    settings |= {"data.generated.num_train": 3, "data.generated.num_val": 1}
    network = source(task, settings)
    people = load_dataset(network.config, "train").people  # writes the data
    got = crops.of_training(network)
    assert len(got) == (len(people) if task == "topdown" else 3)


@pytest.mark.parametrize(
    "prepare, reason",
    [
        (lambda folder: {}, "config.data.root is empty"),
        (lambda folder: {"data.root": str(folder / "gone")}, "gone"),
        (lambda folder: dataset(folder, missing=range(6)), "train2017/.*No such file"),
    ],
)
def test_without_data_the_option_is_named(prepare, reason, tmp_path):
    with pytest.raises(ValueError, match=f"{reason}.*--calibrate FILE") as error:
        crops.of_training(source(settings=prepare(tmp_path)))
    assert "\n" not in str(error.value)


def test_a_random_network_needs_images(capsys):
    pytest.importorskip("onnx")
    words = ["hwl_mobilenetv3", "--init", "random", "--precision", "int8-static"]
    assert cli.main(["export", *words, "--size", "64x64"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--calibrate FILE" in error


def test_images_are_refused_where_nothing_is_calibrated(capsys):
    words = ["hwl_mobilenetv3", "--init", "random", "--calibrate", "a.png"]
    assert cli.main(["export", *words]) == 2
    assert "--calibrate is for --precision int8-static" in capsys.readouterr().err


def test_images_of_the_user_are_calibrated_on(tmp_path, capsys):
    pytest.importorskip("onnx")
    run = seeing.write_runs(tmp_path)[0]
    noise = np.random.default_rng(0).integers(0, 256, (64, 256, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), noise)
    words = ["--precision", "int8-static", "--calibrate", str(tmp_path / "a.png")]
    assert cli.main(["export", str(run), *words]) == 0
    assert (run / "export" / "Looker_32x128_int8-static.onnx").is_file()
    assert "calibration images: 1 (--calibrate)" in capsys.readouterr().out
