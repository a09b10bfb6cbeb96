"""Prediction on images: boxes from files, output files, and the whole command."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import struct
import types

import cv2
import numpy as np
import pytest

import jaxpose
from jaxpose import annotations, cli, export, geometry, images, predict, runtimes, skeletons, tasks
from jaxpose.config import default_config
from jaxpose.export.source import from_run
from jaxpose.poses import extent
from jaxpose.predict import PoseEstimator, Poses
from jaxpose.predict.boxes import around
from jaxpose.predict.document import coco_document
from jaxpose.tasks.whole_images import sized_view
from tests.helpers import seeing


def write_json(path, content):
    path.write_text(json.dumps(content))
    return path


# --- images and results --------------------------------------------------------------------------


def test_predictions_are_a_dataset_that_can_be_read_again(tmp_path):
    skeleton = skeletons.MPII
    keypoints = np.random.default_rng(0).uniform(5, 50, (2, 16, 2)).astype(np.float32)
    scores = np.full((2, 16), 0.5, np.float32)
    scores[1, 3] = 0
    poses = Poses(
        keypoints,
        scores,
        np.array([[1, 2, 60, 60], [3, 3, 50, 50]], np.float32),
        np.array([0.5, 0.25], np.float32),
    )
    document = coco_document([(pathlib.PurePath("sub/a.jpg"), (90, 80), poses)], skeleton)
    dataset = annotations.load_coco(write_json(tmp_path / "p.json", document), image_dir=tmp_path)
    assert dataset.images[1].file_name == "sub/a.jpg"
    assert dataset.skeleton.joints == skeleton.joints
    assert dataset.skeleton.limbs == skeleton.limbs
    keypoints[1, 3] = 0  # not located
    np.testing.assert_allclose(dataset.people.keypoints[..., :2], keypoints, atol=6e-4)
    assert dataset.people.keypoints[1, 3, 2] == 0
    assert [a["score"] for a in document["annotations"]] == [0.5, 0.25]
    assert [a["num_keypoints"] for a in document["annotations"]] == [16, 15]


def test_the_ids_and_the_pairs_of_predictions_can_be_read():
    pairs = ((2, 1),)
    skeleton = skeletons.Skeleton("x", ("a", "b", "c"), (), (0.1,) * 3, pairs)
    nobody = Poses(np.zeros((0, 3, 2)), np.zeros((0, 3)), np.zeros((0, 4)), np.zeros(0))
    records = [(pathlib.PurePath(f"{name}.jpg"), (9, 8), nobody) for name in ("7", "²")]
    document = coco_document(records, skeleton)
    assert [image["id"] for image in document["images"]] == [1, 2]
    (category,) = document["categories"]
    assert category["flip_pairs"] == [["c", "b"]]
    assert skeletons.from_coco_category(category).declared_pairs == pairs
    records = records[:1]
    assert coco_document(records, skeletons.COCO)["images"][0]["id"] == 7
    assert "flip_pairs" not in coco_document(records, skeletons.COCO)["categories"][0]


# --- the networks --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """(top-down, bottom-up) run folders of networks that detect colored dots."""
    return seeing.write_runs(tmp_path_factory.mktemp("runs"))


def photograph(path, turned=False, orientation=6):
    """A JPEG of 90x60 random blocks; if `turned`, with an EXIF orientation (6: 90 degrees)."""
    blocks = np.random.default_rng(3).integers(0, 255, (6, 9, 3), np.uint8)
    image = cv2.resize(blocks, (90, 60), interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".jpg", image)[1].tobytes()
    if turned:
        tag = struct.pack("<HHI4s", 0x0112, 3, 1, struct.pack("<HH", orientation, 0))
        tiff = b"II*\x00" + struct.pack("<IH", 8, 1) + tag + bytes(4)
        segment = b"Exif\x00\x00" + tiff
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    path.write_bytes(data)


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
    assert r"c\udce9.jpg: 1 people" in capsys.readouterr().out


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
    assert "1 images have an EXIF orientation that no annotated size shows" in text
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
    assert "boxes left out: 1 empty" in text and "1 of 3 images have no box" in text
    assert text.splitlines()[-1].endswith("predictions.json: 2 people; ignored: 1 other file")

    assert cli.main([*arguments, "--boxes", boxes]) == 2
    error = capsys.readouterr().err
    assert "image_id is a number (1)" in error and "--annotations FILE.json" in error


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


def test_images_and_boxes_of_another_kind_are_refused(runs):
    topdown, bottomup = runs
    estimator = PoseEstimator(topdown)
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\]"):
        estimator(np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match="positive width and height"):
        estimator(np.zeros((4, 4, 3), np.uint8), np.array([[0, 0, 0, 5]]))
    image = np.zeros((4, 4, 3), np.uint8)
    assert len(estimator(image, np.zeros((0, 4)))) == len(estimator(image, [])) == 0
    for boxes in (np.zeros(4), np.zeros((2, 6)), np.zeros((1, 2, 4)), [[1, 2], [3]], [["a"] * 4]):
        with pytest.raises(ValueError, match=r"boxes must be \[N, 4\] as .*, or \[N, 5\]"):
            estimator(image, boxes)
    with pytest.raises(ValueError, match="finds the people itself and takes no boxes"):
        PoseEstimator(bottomup)(np.zeros((4, 4, 3), np.uint8), np.array([[0, 0, 5, 5]]))
    with pytest.raises(ValueError, match="sizing='short_side': choose from fixed$"):
        PoseEstimator(topdown, sizing="short_side")
    with pytest.raises(ValueError, match="sizing='squashed': choose from short_side, fixed$"):
        PoseEstimator(bottomup, sizing="squashed")
    for size in (0, -2):
        with pytest.raises(ValueError, match=f"batch_size must be at least 1, not {size}"):
            PoseEstimator(topdown, batch_size=size)


@pytest.mark.parametrize("name", ["topdown", "associative_embedding"])
def test_a_file_of_a_run_without_flip_test_has_none(name, monkeypatch):
    task = tasks.get(name)
    config = default_config(task.SETTINGS, task=name)

    def flips(**changes):
        described = export.describe("net", task, config, skeletons.COCO, (64, 64)) | changes
        metadata = {key: value for key, value in described.items() if value is not None}
        file = types.SimpleNamespace(metadata=metadata, run=lambda images: images)
        monkeypatch.setattr(runtimes, "open_file", lambda path: file)
        return PoseEstimator("net.onnx")._network.decoder.flip

    assert flips() and flips(flip=None)  # files of version 0.1 have no such key
    config.eval.flip = False
    assert not flips()


def test_the_score_of_a_box_is_split_off(runs):
    estimator, image = PoseEstimator(runs[0]), np.full((96, 80, 3), 90, np.uint8)
    boxes = np.array([[8, 8, 60, 70], [1, 2, 30, 40]], np.float32)
    plain = estimator(image, boxes)
    scored = estimator(image, np.concatenate([boxes, [[0.5], [0.25]]], axis=1))
    np.testing.assert_array_equal(scored.boxes, boxes)
    np.testing.assert_array_equal(scored.keypoints, plain.keypoints)
    assert (plain.person_scores > 0).all()
    np.testing.assert_allclose(scored.person_scores, plain.person_scores * [0.5, 0.25], rtol=1e-6)


@pytest.mark.parametrize("flip", [True, False])
def test_udp_from_image_to_keypoints(tmp_path, flip):
    pytest.importorskip("onnxruntime")
    run = seeing.write_runs(tmp_path, codec="udp")[0]
    assert cli.main(["export", str(run)]) == 0
    file = run / "export" / "Looker_32x128.onnx"
    stored = export.read_metadata(file)["codec"]
    assert (stored["targets"], stored["flip_shift"], stored["kernel"]) == ("udp", False, 11)

    image_size, size, box = (80, 240), (32, 128), np.array([20.0, 12.0, 180.0, 50.0])
    joints = np.array([[60.3, 30.1], [110.7, 45.4], [150.2, 36.9]])
    image = seeing.draw_image(joints[None], image_size)
    poses = [PoseEstimator(source, flip=flip)(image, box[None]) for source in (run, file)]
    np.testing.assert_allclose(poses[1].keypoints, poses[0].keypoints, atol=0.01)
    np.testing.assert_allclose(poses[1].scores, poses[0].scores, atol=1e-5)

    # `Looker` averages squares of four pixels, so its pixel i is at 4 i + 1.5; UDP has it at
    # (W - 1) / (w - 1) i. What is left of the joint's place is exact.
    center, scale = geometry.box_to_center_scale(box, size)
    last = np.array([127, 31])
    sides = 200 * scale
    in_crop = (joints - center) / sides * last + last / 2
    read = (in_crop - 1.5) / 4 * last / (np.array([32, 8]) - 1)
    expected = (read - last / 2) / last * sides + center
    np.testing.assert_allclose(poses[0].keypoints[0], expected, atol=0.1)


# --- bottom-up -----------------------------------------------------------------------------------

SIZE = (96, 160)  # of the image
PEOPLE = seeing.two_people(SIZE)


def write_image(path, dim=1.0):
    """The two people as a PNG; the lower one's colors are dimmed."""
    image = seeing.draw_image(PEOPLE, SIZE)
    image[SIZE[0] // 2 :] = image[SIZE[0] // 2 :] * dim
    cv2.imwrite(str(path), image[..., ::-1])
    return image


@pytest.mark.parametrize("sizing", ["short_side", "fixed", "file"])
def test_people_are_detected(runs, tmp_path, sizing):
    image = write_image(tmp_path / "a.png", dim=0.8)
    source, options = runs[1], {"sizing": sizing}
    if sizing == "file":
        pytest.importorskip("onnxruntime")
        network, options = from_run(source, (64, 128)), {}
        source = tmp_path / "seer.onnx"
        export.to_onnx(
            network.model, network.variables, (64, 128), source, metadata=network.metadata()
        )
    poses = PoseEstimator(source, **options)(image)
    assert poses.keypoints.shape == (2, 3, 2) and poses.present.all()
    # A pixel of the view is two and a half of the image's at most, and a peak lies between two.
    np.testing.assert_allclose(poses.keypoints, PEOPLE, atol=4)
    assert (np.diff(poses.person_scores) < 0).all()  # the bright one first
    np.testing.assert_allclose(poses.person_scores, poses.scores.mean(1), rtol=1e-5)
    low, high = poses.keypoints.min(1), poses.keypoints.max(1)
    np.testing.assert_allclose(poses.boxes, np.concatenate([low, high - low], 1), atol=1e-3)
    assert len(PoseEstimator(source, **options, flip=False)(np.zeros_like(image))) == 0


def test_sizes_are_bounded(runs):
    def view(estimator, image_size):
        return sized_view(image_size, estimator.input_size, estimator.sizing)

    estimator = PoseEstimator(runs[1])
    rng = np.random.default_rng(0)
    sizes = {view(estimator, tuple(rng.integers(1, 3000, 2).tolist()))[0] for _ in range(3000)}
    assert len(sizes) == 2 * (3 * 64 - 64) // 64 + 1 and max(map(max, sizes)) == 3 * 64
    size, center, scale = view(estimator, (50, 1000))  # the whole panorama is in view
    corners = geometry.transform(
        np.array([[0, 0], [999, 49]]), geometry.affine(center, scale, 0, size)
    )
    assert size == (64, 192) and (corners >= -1).all() and (corners <= size[::-1]).all()
    assert view(PoseEstimator(runs[1], sizing="fixed"), (50, 1000))[0] == (64, 64)


def test_boxes_around_people():
    keypoints = np.array([[[10, 20], [30, 60], [20, 40]], [[5, 5], [0, 0], [9, 9]]], np.float32)
    scores = np.array([[0.5, 0.9, 0.3], [0.5, 0.0, 0.4]], np.float32)
    boxes = extent(keypoints, scores > 0)
    np.testing.assert_array_equal(boxes, [[10, 20, 20, 40], [5, 5, 4, 4]])
    poses = Poses(keypoints, scores, boxes, scores.mean(1))
    np.testing.assert_array_equal(around(poses), [[7.5, 15, 25, 50]])
    assert around(poses.select(np.array([1]))).shape == (0, 4)


def predictions(folder):
    return json.loads((folder / "predictions.json").read_text())["annotations"]


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


# --- files of version 0.1 ------------------------------------------------------------------------


def test_the_former_name_of_the_estimator_is_deprecated():
    with pytest.warns(DeprecationWarning, match="jaxpose.predict.Pose is now jaxpose.PoseEstimato"):
        assert predict.Pose is PoseEstimator is jaxpose.PoseEstimator
    with pytest.warns(DeprecationWarning):
        from jaxpose.predict import Pose
    assert Pose is PoseEstimator
    assert not hasattr(predict, "Posse")


def assert_equal(poses, expected):
    assert len(poses) == len(expected) == 2
    for field in dataclasses.fields(Poses):
        values = getattr(poses, field.name), getattr(expected, field.name)
        np.testing.assert_array_equal(*values, field.name)


def test_a_run_of_version_0_1_has_a_paradigm(runs, tmp_path):
    run = shutil.copytree(runs[1], tmp_path / "run")
    record = json.loads((run / "config.json").read_text())
    assert record["config"].pop("task") == "associative_embedding"
    record["config"]["paradigm"] = "bottomup"
    write_json(run / "config.json", record)
    image = write_image(tmp_path / "a.png")
    assert_equal(PoseEstimator(run)(image), PoseEstimator(runs[1])(image))


def test_a_file_of_version_0_1_has_a_paradigm(runs, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    network, file, former = from_run(runs[1], (64, 128)), tmp_path / "a.onnx", tmp_path / "b.onnx"
    export.to_onnx(network.model, network.variables, (64, 128), file, metadata=network.metadata())
    model = onnx.load(file)
    (entry,) = (entry for entry in model.metadata_props if entry.key == "task")
    assert json.loads(entry.value) == "associative_embedding"
    entry.key, entry.value = "paradigm", json.dumps("bottomup")
    onnx.save(model, former)
    metadata = export.read_metadata(former)
    assert metadata == export.read_metadata(file) and "paradigm" not in metadata
    image = write_image(tmp_path / "a.png")
    assert_equal(PoseEstimator(former)(image), PoseEstimator(file)(image))
