"""JPEG files decoded at 1/2, 1/4 and 1/8: geometry to the subpixel, pixels, exact repeats."""

import functools
import json
import pathlib

import cv2
import numpy as np
import pytest

import input_pipeline
from input_pipeline.region import Jpeg, Region, zoom_of
from jaxpose import geometry, images
from jaxpose.config import default_config, topdown
from jaxpose.config.checks import check_config
from tests.helpers.photographs import with_orientation
from tests.helpers.reading import assert_equal, assert_same_in_parts, take

SIZE = (605, 803)  # no side is divisible by 2, 4 or 8
GRID = np.stack(np.meshgrid(np.arange(70.3, 760, 110), np.arange(60.7, 560, 100)), -1)


def draw_grid():
    """An image with a Gaussian spot of 12 pixels around each point of `GRID`."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    image = np.zeros(SIZE)
    for x, y in GRID.reshape(-1, 2):
        image += np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 12**2))
    return np.repeat((255 * image.clip(0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def encode(image, quality=95):
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("reduction", "zoom"), [(2, 0.45), (4, 0.22), (8, 0.12)])
def test_points_stay_in_place_to_a_fraction_of_a_pixel(reduction, zoom, mirrored):
    file = Jpeg(encode(draw_grid()), SIZE)
    size = (128, 96)
    points = GRID.reshape(-1, 2)
    if mirrored:
        points = np.stack([SIZE[1] - 1 - points[:, 0], points[:, 1]], -1)
    matrix = geometry.affine((380, 290), np.full(2, 96 / zoom / 200), 20, size)
    assert zoom_of(matrix) == pytest.approx(zoom)
    region = file.at(zoom)
    assert region.pixels.shape[:2] == (-(-SIZE[0] // reduction), -(-SIZE[1] // reduction))
    crop = region.crop(matrix, size, mirrored=mirrored)[..., 0].astype(float)
    rows, columns = np.mgrid[: size[0], : size[1]]
    shown, reach = 0, 40 * zoom
    for x, y in geometry.transform(points, matrix):
        if not (reach < x < size[1] - reach and reach < y < size[0] - reach):
            continue
        shown += 1
        weight = crop * (np.hypot(columns - x, rows - y) < reach)
        center = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
        np.testing.assert_allclose(center, (x, y), atol=0.06)
    assert shown >= 3


@pytest.mark.parametrize("zoom", [0.45, 0.22, 0.12])
def test_crops_differ_little_from_those_of_the_whole_image(rng, zoom):
    image = cv2.GaussianBlur(rng.normal(size=(*SIZE, 3)), (0, 0), 1.5 / zoom)
    image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    data = encode(image)
    matrix = geometry.affine((400, 300), np.full(2, 96 / zoom / 200), -15, (128, 96))
    whole = Region.whole(images.decode(data)).crop(matrix, (128, 96))
    reduced = Jpeg(data, SIZE).at(zoom).crop(matrix, (128, 96))
    inside = geometry.crop(np.full(SIZE, 255, np.uint8), matrix, (128, 96))
    inside = cv2.erode(inside, np.ones((5, 5))) == 255  # the edge reaches into two pixels
    difference = np.abs(whole.astype(int) - reduced)[inside]
    assert whole[inside].std() > 20 and difference.mean() < 2


def test_the_crop_decides_the_resolution():
    file = Jpeg(encode(draw_grid()), SIZE)
    widths = [file.at(zoom).pixels.shape[1] for zoom in (2, 1, 0.51, 0.5, 0.3, 0.25, 0.125, 0.01)]
    assert widths == [803, 803, 803, 402, 402, 201, 101, 101]
    np.testing.assert_array_equal(file.at(1).pixels, images.decode(file.data))


def test_a_region_of_an_image_gives_the_crop_of_the_image(rng):
    image = rng.integers(0, 256, (90, 120, 3), np.uint8)
    part = Region(image[20:70, 30:100], (90, 120), origin=(30.0, 20.0))
    for mirrored in (False, True):
        matrix = np.array([[1.0, 0, -(40 if not mirrored else 30)], [0, 1, -25]])
        expected = Region.whole(image).crop(matrix, (40, 45), mirrored=mirrored)
        np.testing.assert_array_equal(part.crop(matrix, (40, 45), mirrored=mirrored), expected)


def use_jpegs(config, scale=4):
    """Replaces the images of the dataset by JPEG files of `scale` times the size."""
    root = pathlib.Path(config.data.root)
    data = json.loads((root / "train.json").read_text())
    for record in data["images"]:
        path = root / "images" / record["file_name"]
        image = cv2.imread(str(path))
        record["height"], record["width"] = scale * image.shape[0] - 1, scale * image.shape[1] - 3
        image = cv2.resize(image, (record["width"], record["height"]))
        path.write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
    for person in data["annotations"]:
        person["bbox"] = [scale * number for number in person["bbox"]]
        points = np.reshape(person["keypoints"], (-1, 3)) * [scale, scale, 1]
        person["keypoints"] = points.ravel().tolist()
    (root / "train.json").write_text(json.dumps(data))


@pytest.fixture(params=["config", "crowd_config"])
def either(request):
    config = request.getfixturevalue(request.param)
    use_jpegs(config)
    return config


def test_only_pixels_change(either):
    whole = take(either, 4)
    either.data.reduced_decode = "train"
    reduced = take(either, 4)
    for one, other in zip(reduced, whole, strict=True):
        difference = np.abs(one.pop("image").astype(int) - other.pop("image"))
        assert 0 < difference.mean() < 3
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)


def test_restart_hosts_and_workers_give_the_same_bytes(either):
    either.data.reduced_decode = "train"
    assert_same_in_parts(either, 4)


def test_evaluation_decodes_whole_images_unless_set(either):
    def evaluated(value):
        either.data.reduced_decode = value
        return list(input_pipeline.eval_data(either).batches())

    never = evaluated("never")
    assert_equal(evaluated("train"), never)
    for one, other in zip(evaluated("always"), never, strict=True):
        np.testing.assert_array_equal(one["center"], other["center"])
        np.testing.assert_array_equal(one["valid"], other["valid"])
    with pytest.raises(ValueError, match="must be one of never, train, always"):
        evaluated("sometimes")


def test_other_files_are_decoded_whole(config):
    use_jpegs(config)
    data = input_pipeline.train_data(config)
    folder = pathlib.Path(config.data.root) / "images"
    content = (folder / "train02.png").read_bytes()
    (folder / "train02.png").write_bytes(with_orientation(content, 3))
    image = cv2.imread(str(folder / "train05.png"))
    (folder / "train05.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    (folder / "train07.png").write_bytes(encode(image[:-5]))
    config.data.reduced_decode = "train"
    data = input_pipeline.train_data(config)
    ids = list(data.dataset.images)
    assert isinstance(data._images.open(ids[3]), Jpeg)
    for number in (2, 5):
        assert isinstance(data._images.open(ids[number]), Region)
    with pytest.raises(images.ImageError, match="annotated as"):
        data._images.open(ids[7])


def test_damaged_files_are_named(config):
    use_jpegs(config)
    config.data.reduced_decode, config.max_bad_fraction = "train", 0.5
    folder = pathlib.Path(config.data.root) / "images"
    content = (folder / "train02.png").read_bytes()
    (folder / "train02.png").write_bytes(content[: len(content) // 2])
    (folder / "train05.png").write_bytes(content[:10])
    data = input_pipeline.train_data(config)
    ids = [data.example(number)["annotation_id"] for number in range(22)]
    assert 102 not in ids and 105 not in ids
    assert data.bad_files.names == ["train02.png", "train05.png"]


def test_sizes_of_headers():
    image = draw_grid()
    for options in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 4]):
        data = cv2.imencode(".jpg", image, options)[1].tobytes()
        assert images.jpeg_size(data) == images.jpeg_size(with_orientation(data, 6)) == SIZE
        assert images.jpeg_size(data[:2] + b"\xff\xff" + data[3:]) == SIZE  # fill byte
    for cut in (0, 2, 3, 20, 150):
        assert images.jpeg_size(data[:cut]) is None
    assert images.jpeg_size(cv2.imencode(".png", image)[1].tobytes()) is None


def test_whole_images_in_memory_leave_nothing_to_reduce():
    config = default_config(topdown.SETTINGS, task="topdown")
    config.data.root, config.data.cache, config.data.reduced_decode = "data", True, "train"
    check = functools.partial(
        check_config, config, topdown.SETTINGS, input_step=32, recipe="", devices=1
    )
    with pytest.raises(ValueError, match="reduced_decode=train has no effect .*data.cache=False"):
        check()
    check(training=False)  # evaluation decodes whole images
    config.data.reduced_decode = "always"
    with pytest.raises(ValueError, match="reduced_decode=always has no effect"):
        check(training=False)
