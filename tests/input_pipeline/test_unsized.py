"""Training and evaluation with images whose size the annotation file does not state."""

import json
import pathlib

import numpy as np
import pytest

import input_pipeline
from jaxpose import images
from tests.helpers.reading import assert_equal, take


def drop_sizes(config, *names):
    """Removes height and width of all images, or of those with these names."""
    path = pathlib.Path(config.data.root) / "train.json"
    data = json.loads(path.read_text())
    for image in data["images"]:
        if not names or image["file_name"] in names:
            del image["height"], image["width"]
    path.write_text(json.dumps(data))


@pytest.fixture(params=["config", "crowd_config"])
def either(request):
    return request.getfixturevalue(request.param)


def evaluated(config):
    return list(input_pipeline.eval_data(config).batches())


def test_batches_are_those_of_stated_sizes(either):
    train, val = take(either, 3), evaluated(either)
    drop_sizes(either)
    assert_equal(take(either, 3), train)
    assert_equal(evaluated(either), val)


def test_an_image_that_cannot_be_read_is_left_out_and_named(either):
    either.max_bad_fraction = 0.5
    (pathlib.Path(either.data.root) / "images" / "train02.png").unlink()
    drop_sizes(either, "train02.png")
    data = input_pipeline.eval_data(either)
    ids = np.concatenate([batch["image_id"][batch["valid"]] for batch in data.batches()])
    assert 23 not in ids and 33 in ids and data.bad_files.names == ["train02.png"]
    assert "1 without height and width cannot be read" in str(data.dataset.notes)
    train = input_pipeline.train_data(either)
    for number in range(train.num_examples):
        assert train.example(number)["image_id"] != 23
    assert train.bad_files.names == ["train02.png"]


def test_an_image_that_appears_later_has_no_size(either):
    path = pathlib.Path(either.data.root) / "images" / "train02.png"
    content = path.read_bytes()
    path.unlink()
    drop_sizes(either, "train02.png")
    data = input_pipeline.eval_data(either)
    path.write_bytes(content)
    with pytest.raises(images.ImageError, match="has no size in the annotation file, and its file"):
        data._images(23)
    assert data._images(33).shape == data.dataset.images[33].size + (3,)
