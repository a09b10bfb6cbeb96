"""The prepared copy gives the same batches as the files, and is never stale."""

import json
import pathlib

import pytest

import input_pipeline
from input_pipeline import tfds_builders
from input_pipeline.dataset import load_dataset
from input_pipeline.fingerprint import dataset_name
from jaxpose import annotations, skeletons
from jaxpose.images import ImageError
from tests.helpers.reading import assert_equal, take


def test_same_batches_as_files_even_without_them(config):
    files = take(config)
    evaluated = list(input_pipeline.eval_data(config).batches())
    config.data.storage = "tfds"
    tfds_builders.prepare(config)
    for path in (pathlib.Path(config.data.root) / "images").iterdir():
        path.unlink()
    assert_equal(take(config), files)
    assert_equal(list(input_pipeline.eval_data(config).batches()), evaluated)


def test_records_follow_the_annotation_file(config):
    dataset = load_dataset(config, "train")
    folder = pathlib.Path(config.data.root) / "images"
    (folder / "train04.png").unlink()
    builder = tfds_builders.prepare_dataset(dataset, config.data.tfds_dir)
    records = builder.as_data_source(split=tfds_builders.SPLIT)
    assert len(records) == 11
    for record, info in zip(records, dataset.images.values(), strict=True):
        assert int(record["image_id"]) == info.id
        assert record["file_name"].decode() == info.file_name
        path = folder / info.file_name
        assert bytes(record["image"]) == (path.read_bytes() if path.exists() else b"")


def test_changed_annotations_are_prepared_anew(config):
    config.data.storage = "tfds"
    before = dataset_name(load_dataset(config, "train"))
    take(config, 1)
    path = pathlib.Path(config.data.root) / "train.json"
    data = json.loads(path.read_text())
    data["images"].reverse()
    path.write_text(json.dumps(data))
    assert dataset_name(load_dataset(config, "train")) != before
    config_files = config.copy_and_resolve_references()
    config_files.data.storage = "files"
    assert_equal(take(config), take(config_files))


def test_mpii_has_a_builder_of_its_own(config):
    record = {
        "image": "train00.png", "center": [56.0, 50.0], "scale": 0.4,
        "joints": [[60.0, 50.0]] * 16, "joints_vis": [1] * 16,
    }  # fmt: skip
    path = pathlib.Path(config.data.root) / "train.json"
    path.write_text(json.dumps([record, record | {"image": "train01.png"}]))
    config.data.format = "mpii"
    files = take(config, 2)
    config.data.storage = "tfds"
    assert_equal(take(config, 2), files)
    dataset = load_dataset(config, "train")
    assert tfds_builders.prepare_dataset(dataset, config.data.tfds_dir).name == "mpii_keypoints"


def test_images_without_annotations_have_a_builder(config):
    path = pathlib.Path(config.data.root) / "train.json"
    content = json.loads(path.read_text())
    content["annotations"] = []
    path.write_text(json.dumps(content))
    dataset = annotations.load_image_info(
        path, image_dir=path.parent / "images", skeleton=skeletons.COCO
    )
    read = tfds_builders.reader(dataset, config.data.tfds_dir)
    identity, info = next(iter(dataset.images.items()))
    assert read(identity) == (path.parent / "images" / info.file_name).read_bytes()


def test_changed_and_added_images_are_prepared_anew(config, caplog):
    folder = pathlib.Path(config.data.root) / "images"
    config.data.storage = "tfds"
    dataset = load_dataset(config, "train")
    path, image = folder / "train03.png", (folder / "train03.png").read_bytes()
    path.unlink()
    read = tfds_builders.reader(dataset, config.data.tfds_dir)
    assert "lacks 1 of 11 images: train03.png (cannot be read (No such file" in caplog.text
    with pytest.raises(ImageError, match="No such file"):
        read(33)
    path.write_bytes(image)
    assert read(33) == image  # what the copy lacks is read from its file
    names = [dataset_name(dataset)]
    assert tfds_builders.reader(dataset, config.data.tfds_dir)(33) == image
    other = (folder / "train04.png").read_bytes()
    path.write_bytes(other)
    assert tfds_builders.reader(dataset, config.data.tfds_dir)(33) == other
    names.append(dataset_name(dataset))
    assert len(set(names)) == 2
    for file in folder.iterdir():
        file.unlink()
    assert tfds_builders.reader(dataset, config.data.tfds_dir)(33) == other  # the newest copy


def test_a_wrong_folder_is_not_prepared(config):
    dataset = load_dataset(config, "train")
    for file in (pathlib.Path(config.data.root) / "images").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match=r"none of its images \(train00.png, ...\) is in .*images"):
        tfds_builders.prepare_dataset(dataset, config.data.tfds_dir)
    assert not pathlib.Path(config.data.tfds_dir).exists()
