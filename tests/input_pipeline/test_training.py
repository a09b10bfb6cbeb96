"""The stream of training batches: determinism, restart, hosts, damaged images, clean exit."""

import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest

import input_pipeline
from input_pipeline import order
from input_pipeline.bad_files import BadFiles, BadFilesError
from input_pipeline.batch import PADDING_ID, empty_batch, topdown_spec
from tests.helpers.reading import assert_equal, assert_fits, take

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_batches_follow_the_spec_and_the_order(config):
    data = input_pipeline.train_data(config)
    batches = take(config, 6)
    for batch in batches:
        assert_fits(batch, 4, topdown_spec((64, 48), 5))
        assert batch["valid"].all()
    ids = np.concatenate([batch["annotation_id"] for batch in batches])
    expected = [100 + order.example(n, 0, 11)[1] for n in range(24)]
    assert ids.tolist() == expected and data.num_examples == 11
    assert sorted(ids[:11]) == list(range(100, 111)) == sorted(ids[11:22])


def test_restart_at_every_step_gives_the_same_tail(config):
    whole = take(config, 7)
    for start in range(7):
        assert_equal(take(config, 7 - start, start), whole[start:])


def test_workers_cache_and_order_of_reading_do_not_matter(config):
    whole = take(config, 4)
    config.data.workers, config.data.cache, config.data.prefetch = 1, True, 1
    assert_equal(take(config, 4), whole)


def test_hosts_share_the_same_batches(config):
    whole = take(config, 4)
    hosts = [take(config, 4, host_id=host, host_count=2) for host in range(2)]
    joined = [
        {key: np.concatenate([a[key], b[key]]) for key in a} for a, b in zip(*hosts, strict=True)
    ]
    assert_equal(joined, whole)


def test_epochs_differ_in_augmentation(config):
    batches = take(config, 11)  # four epochs
    images = {}
    for batch in batches:
        for identity, image in zip(batch["annotation_id"].tolist(), batch["image"], strict=True):
            images.setdefault(identity, []).append(image)
    crops = images[100]
    assert len(crops) == 4 and not all(np.array_equal(crops[0], other) for other in crops[1:])


def test_udp_changes_the_crop_alone(config):
    plain = input_pipeline.train_data(config)
    config.codec = "udp"
    data = input_pipeline.train_data(config)
    for number in range(5):
        one, other = data.example(number), plain.example(number)
        for key in ("center", "scale", "annotation_id"):
            np.testing.assert_array_equal(one[key], other[key])
        # Lengths of 47 and 63 pixels instead of 48 and 64, around a center half a pixel away.
        labeled = one["keypoints"][:, 2] > 0
        middle = np.array([48, 64]) / 2
        expected = (other["keypoints"][labeled, :2] - middle) * [47 / 48, 63 / 64] + middle - 0.5
        np.testing.assert_allclose(one["keypoints"][labeled, :2], expected, atol=1e-3)
        assert labeled.any() and not np.array_equal(one["image"], other["image"])


def test_limit_takes_the_first_people(config):
    config.data.limit = 3
    data = input_pipeline.train_data(config)
    assert data.num_examples == 3
    assert set(take(config, 3)[0]["annotation_id"].tolist()) <= {100, 101, 102}


def test_indivisible_batch_is_refused(config):
    with pytest.raises(ValueError, match="batch_size=4 does not divide among 3 hosts"):
        input_pipeline.train_data(config, host_id=0, host_count=3)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("format", "coc", "did you mean 'coco'"), ("storage", "tfd", "did you mean 'tfds'")],
)
def test_unknown_choices_are_refused(config, key, value, message):
    config.data[key] = value
    with pytest.raises(ValueError, match=message):
        input_pipeline.train_data(config)


def change(config, edit):
    path = pathlib.Path(config.data.root) / "train.json"
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))


def test_mirrored_images_need_pairs(config):
    def rename(data):
        data["categories"][0]["keypoints"] = list("abcde")

    change(config, rename)
    with pytest.raises(ValueError, match=r"train.json: category 'dots': .*config.data.flip_pairs="):
        input_pipeline.train_data(config)
    config.augment.flip = 0.0
    assert input_pipeline.train_data(config).skeleton.flip_pairs == ()
    config.augment.flip = 0.5
    for make in (input_pipeline.train_data, input_pipeline.eval_data):
        config.data.flip_pairs = ("a/b", "d/e")
        assert make(config).skeleton.flip_pairs == ((0, 1), (3, 4))
        config.data.flip_pairs = ("none",)
        assert make(config).skeleton.flip_pairs == ()


def test_mirrored_example_swaps_names_with_a_side_inside(config):
    for name in ("flip", "scale", "rotation", "shift"):
        config.augment[name] = 1.0 if name == "flip" else 0.0
    config.augment.half_body_prob = config.augment.rotation_prob = 0.0
    before = take(config, 2)

    def rename(data):
        names = ["front_left_paw", "front_right_paw", "nose", "B_L_Hip", "B_R_Hip"]
        data["categories"][0]["keypoints"] = names

    change(config, rename)
    assert_equal(take(config, 2), before)


@pytest.mark.parametrize("make", [input_pipeline.train_data, input_pipeline.eval_data])
def test_missing_paths_in_one_line(config, make):
    split = "train" if make is input_pipeline.train_data else "val"
    config.data[f"{split}_annotations"] = ""
    with pytest.raises(ValueError, match=f"config.data.{split}_annotations is empty: give"):
        make(config)
    config.data.root += "/none"
    with pytest.raises(ValueError, match="config.data.root=.*none: no such folder"):
        make(config)


def test_image_of_another_size_is_left_out_and_turned_ones_are_read_upright(config):
    folder = pathlib.Path(config.data.root) / "images"
    image = cv2.imread(str(folder / "train02.png"))
    cv2.imwrite(str(folder / "train02.png"), image[:, :-3])
    # Stored on its side; orientation 6 turns it clockwise.
    stored = cv2.rotate(cv2.imread(str(folder / "train05.png")), cv2.ROTATE_90_COUNTERCLOCKWISE)
    jpeg = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x112, 3, 1, 6, 0, 0)
    segment = b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff
    config.eval.batch_size, config.max_bad_fraction = 11, 0.5
    (before,) = input_pipeline.eval_data(config).batches()
    (folder / "train05.png").write_bytes(jpeg[:2] + segment + jpeg[2:])
    data = input_pipeline.eval_data(config)
    (batch,) = data.batches()
    assert data.bad_files.reasons == {"train02.png": "is 131x122, annotated as 134x122"}
    difference = np.abs(batch["image"][5].astype(int) - before["image"][5])
    assert batch["valid"][5] and difference.mean() < 3
    assert_equal([{"keypoints": batch["keypoints"][5]}], [{"keypoints": before["keypoints"][5]}])
    training = input_pipeline.train_data(config)
    ids = [training.example(n)["annotation_id"] for n in range(22)]
    assert 102 not in ids and 105 in ids


@pytest.mark.parametrize("make", [input_pipeline.train_data, input_pipeline.eval_data])
def test_images_whose_orientation_the_size_does_not_show_are_named_once(config, make):
    folder = pathlib.Path(config.data.root) / "images"
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x112, 3, 1, 3, 0, 0)
    segment = b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff
    for number in (2, 5):
        path = folder / f"train{number:02d}.png"
        jpeg = cv2.imencode(".jpg", cv2.imread(str(path)))[1].tobytes()
        path.write_bytes(jpeg[:2] + segment + jpeg[2:])
    data = make(config)
    assert data.bad_files.lines() == []
    for image_id in [*data.dataset.images] * 2:
        data._images._recent.clear()
        data._images(image_id)
    (line,) = data.bad_files.lines()
    assert line.startswith("2 images with an EXIF orientation that no annotated size shows")
    assert line.endswith("read as stored, e.g. train02.png") and data.bad_files.count == 0


def test_top_down_needs_boxes(config):
    def without_boxes(data):
        for record in data["annotations"]:
            record |= {"bbox": None, "keypoints": [9, 9, 2] + [0] * 12}

    change(config, without_boxes)
    with pytest.raises(ValueError, match="no usable person .11 with an empty box"):
        input_pipeline.train_data(config)


def damage(config, *numbers, how="truncate"):
    names = []
    for number in numbers:
        path = pathlib.Path(config.data.root) / "images" / f"train{number:02d}.png"
        if how == "truncate":
            path.write_bytes(path.read_bytes()[:100])
        else:
            path.unlink()
        names.append(path.name)
    return names


@pytest.mark.parametrize("how", ["truncate", "remove"])
def test_damaged_image_is_replaced_counted_and_named(config, how):
    names = damage(config, 2, 5, how=how)
    config.max_bad_fraction = 0.5
    data = input_pipeline.train_data(config)
    iterator = data.batches()
    batches = [next(iterator) for _ in range(6)]
    iterator.close()
    assert data.bad_files.names == names and data.bad_files.count == 2
    indexes = [order.example(n, 0, 11)[1] for n in range(40)]
    expected = [next(i for i in indexes[n:] if i not in (2, 5)) + 100 for n in range(24)]
    assert np.concatenate([b["annotation_id"] for b in batches]).tolist() == expected
    assert_equal(take(config, 3, 3), batches[3:])


def test_too_many_damaged_images_stop_the_run_in_one_line(config):
    damage(config, 2)
    with pytest.raises(BadFilesError) as error:
        take(config, 6)
    message = str(error.value)
    assert "1 of 11 images" in message and "train02.png" in message and "\n" not in message
    assert isinstance(error.value, ValueError)


def test_damaged_files_are_never_changed(config):
    (name,) = damage(config, 2)
    path = pathlib.Path(config.data.root) / "images" / name
    before = path.read_bytes()
    config.max_bad_fraction = 0.5
    take(config, 6)
    assert path.read_bytes() == before


def test_only_damaged_images(config):
    damage(config, *range(11))
    config.max_bad_fraction = 1.0
    with pytest.raises(ValueError, match="train.json: no image of the dataset is usable"):
        take(config, 1)


def test_bad_files_counts_a_image_once():
    bad = BadFiles(1000, 0.001)
    bad.add("a.jpg", "broken")
    bad.add("a.jpg", "broken")
    assert bad.count == 1 and bad.reasons == {"a.jpg": "broken"}
    with pytest.raises(BadFilesError, match="2 of 1000 images"):
        bad.add("b.jpg", "broken")


def test_padding_fits_the_spec():
    padding = empty_batch(4, topdown_spec((64, 48), 5))
    assert_fits(padding, 4, topdown_spec((64, 48), 5))
    assert not padding["valid"].any() and (padding["image_id"] == PADDING_ID).all()


def test_tensorflow_sees_no_accelerator():
    from input_pipeline import graph

    tf = graph.tensorflow()
    assert tf.config.get_visible_devices("GPU") == tf.config.get_visible_devices("TPU") == []
    assert {d.device_type for d in tf.config.get_visible_devices()} == {"CPU"}


@pytest.mark.slow
def test_process_ends_cleanly_while_threads_work(config):
    """A TensorFlow thread that calls Python at exit would abort the process."""
    shutil.copy(pathlib.Path(__file__).with_name("conftest.py"), config.data.root)
    program = (
        "import sys, pathlib; sys.path.insert(0, '.'); sys.path.insert(0, sys.argv[1])\n"
        "import conftest, input_pipeline\n"
        "config = conftest.make_config(pathlib.Path(sys.argv[1]))\n"
        "batches = input_pipeline.train_data(config).batches()\n"
        "for _ in range(20): next(batches)\n"
        "print('done')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, config.data.root],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "done\n" and result.stderr == ""


def test_importing_the_package_does_not_import_tensorflow():
    program = "import sys, input_pipeline; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=300)
