"""Batches without pixels: with the packed pixels, they give the same crops."""

import pathlib

import jax
import numpy as np
import pytest

import input_pipeline
from input_pipeline import on_device, prepared
from input_pipeline.region import Region
from jaxpose import geometry
from jaxpose.config import ConfigError, default_config, topdown
from jaxpose.config.checks import check_config
from jaxpose.images import ImageError
from jaxpose.training.device_crops import crop
from tests.helpers.reading import assert_equal, assert_fits, assert_same_in_parts, take


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(prepared, "BLOCK", 4)


@pytest.fixture(params=["config", "crowd_config"])
def either(request):
    config = request.getfixturevalue(request.param)
    config.data.prepared = True
    return config


def crops_of(config, batches):
    """The crops of batches without pixels."""
    packed = input_pipeline.train_data(config).pack()
    make = jax.jit(crop, static_argnums=4)
    return [
        np.asarray(
            make(packed.pixels, packed.table, x["row"], x["matrix"], tuple(config.input_size))
        )
        for x in batches
    ]


@pytest.mark.parametrize("shrink", [1, 2])
def test_crops_are_those_of_the_host(either, shrink):
    height, width = either.input_size
    either.input_size = (height // shrink, width // shrink)  # the prepared pixels are then reduced
    expected = take(either, 12)
    either.data.on_device = True
    batches = take(either, 12)
    data = input_pipeline.train_data(either)
    assert_fits(batches[0], 4, on_device.spec_on_device(data.examples.spec))
    for batch, image in zip(batches, crops_of(either, batches), strict=True):
        batch["image"] = image
        del batch["row"], batch["matrix"]
    for batch, other in zip(batches, expected, strict=True):
        difference = np.abs(batch.pop("image").astype(int) - other.pop("image"))
        assert difference.max() <= 1 and difference.mean() < 0.02
        assert_equal([batch], [{key: other[key] for key in batch}])


def test_restart_hosts_and_workers_give_the_same_bytes(either):
    either.data.on_device = True
    assert_same_in_parts(either, 5)


def test_packed_pixels_are_the_prepared_ones(config):
    config.data.prepared = config.data.on_device = True
    data = input_pipeline.train_data(config)
    packed = data.pack()
    assert packed.pixels.dtype == np.uint32 and packed.pixels.shape[1] == on_device.LANES
    for index, (row, height, width) in enumerate(packed.table.tolist()):
        part = packed.pixels[row:].ravel()[: height * width].reshape(height, width)
        colors = np.stack([part & 255, part >> 8 & 255, part >> 16 & 255], axis=-1)
        np.testing.assert_array_equal(colors, data.open(index).region.pixels)


def test_unusable_images_are_replaced_and_named_as_without_it(config):
    folder = pathlib.Path(config.data.root) / "images"
    (folder / "train02.png").write_bytes(b"")
    (folder / "train05.png").unlink()
    config.max_bad_fraction = 0.5
    config.data.prepared = True
    whole = input_pipeline.train_data(config)
    expected = [whole.example(number)["annotation_id"] for number in range(22)]
    config.data.on_device = True
    data = input_pipeline.train_data(config)
    assert [data.example(number)["annotation_id"] for number in range(22)] == expected
    assert data.bad_files.reasons == whole.bad_files.reasons and data.bad_files.count == 2
    table = data.pack().table
    assert [index for index in range(11) if not table[index].any()] == [2, 5]


class Unprepared:
    """A prepared copy without the image."""

    folder = "copy"

    def __call__(self, index):
        return None


def test_an_image_that_was_unusable_for_a_while_is_named(config, monkeypatch):
    config.data.prepared = config.data.on_device = True
    config.max_bad_fraction = 0.5
    data = input_pipeline.train_data(config)
    monkeypatch.setattr(data, "_prepared", Unprepared())
    with pytest.raises(ImageError, match="was unusable when copy was written"):
        data.open(3)


def test_a_crop_too_wide_for_the_arithmetic_is_an_image_error():
    outline = on_device.Outline(Region.whole(np.zeros((20, 30, 3), np.uint8)))
    wide = geometry.affine((15, 10), (400.0, 400.0), 0, (48, 64))
    with pytest.raises(ImageError, match=r"too wide for data\.on_device"):
        outline.crop(wide, (48, 64))
    narrow = geometry.affine((15, 10), (200.0, 200.0), 0, (48, 64))
    assert outline.crop(narrow, (48, 64)).shape == (2, 3)


def test_it_needs_prepared_crops(config):
    config.data.on_device = True
    expected = r"keeps prepared crops on the devices: --config\.data\.prepared=True"
    with pytest.raises(ConfigError, match=expected):
        input_pipeline.train_data(config)
    settings = default_config(topdown.SETTINGS, task="topdown")
    settings.data.root, settings.data.on_device = "data", True
    with pytest.raises(ConfigError, match=expected):
        check_config(settings, topdown.SETTINGS, input_step=32, recipe="", devices=1)
    options = {"input_step": 32, "recipe": "", "devices": 1, "training": False}
    check_config(settings, topdown.SETTINGS, **options)
