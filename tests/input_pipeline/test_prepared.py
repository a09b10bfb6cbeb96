"""Prepared crops: they show all that augmentation may show, and are never stale or half-written."""

import json
import os
import pathlib
import resource
import subprocess
import sys
import types

import cv2
import numpy as np
import pytest

import input_pipeline
from input_pipeline import prepared
from input_pipeline.region import Region, cut, zoom_of
from jaxpose import geometry, images
from jaxpose.config import default_config, topdown
from jaxpose.config.checks import check_config
from tests.helpers.photographs import with_orientation
from tests.helpers.reading import assert_equal, assert_same_in_parts

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(prepared, "BLOCK", 4)


@pytest.fixture(params=["config", "crowd_config"])
def either(request):
    return request.getfixturevalue(request.param)


def folders(config):
    parent = pathlib.Path(config.data.prepared_dir)
    return sorted(parent.iterdir()) if parent.is_dir() else []


def prepare(config):
    config.data.prepared = True
    return input_pipeline.train_data(config)


def assert_pixels_alone_differ(examples, expected, largest):
    for one, other in zip(examples, expected, strict=True):
        difference = np.abs(one.pop("image").astype(int) - other.pop("image"))
        assert difference.mean() < 0.05 and difference.max() <= largest
        assert_equal([one], [other])


@pytest.mark.parametrize("codec", ["gaussian", "udp"])
def test_crops_show_the_same_as_those_of_whole_images(either, codec):
    either.codec = codec
    if "shift" in either.augment:
        either.augment.half_body_prob = 0.5
        either.augment.shift_prob = either.augment.rotation_prob = 1.0
    whole = input_pipeline.train_data(either)
    data = prepare(either)
    regions = [data.open(index) for index in range(data.num_examples)]
    assert all(isinstance(region, Region) and region.reduction == (1, 1) for region in regions)
    numbers = range(20 * data.num_examples)
    # Only the rounding of coordinates differs; the dots of the images have hard edges.
    assert_pixels_alone_differ(map(data.example, numbers), map(whole.example, numbers), 9)


@pytest.mark.parametrize("distribution", ["clipped", "truncated"])
@pytest.mark.parametrize("last", [0.0, 50.0])
def test_a_crop_lies_inside_its_extent(config, distribution, last):
    config.augment.distribution, config.epochs = distribution, 100.0
    config.augment.last.update({"epochs": last, "rotation": 90.0, "shift_prob": 1.0})
    examples = input_pipeline.train_data(config).examples
    corners = np.array([[0, 0], [47, 0], [0, 63], [47, 63]])
    for index in range(11):
        size = (120 + index, 130 + 2 * index)
        extent = examples.extent(index, size)
        for epoch in range(100):
            image = Recorder(size)
            examples.make(image, epoch, index)
            linear, offset = image.matrix[:, :2], image.matrix[:, 2]
            shown = (corners - offset) @ np.linalg.inv(linear).T
            if image.mirrored:
                shown[:, 0] = size[1] - 1 - shown[:, 0]
            assert (shown >= extent.low - 1e-6).all() and (shown <= extent.high + 1e-6).all()
            assert zoom_of(image.matrix) <= extent.zoom + 1e-9


class Recorder:
    """An image that records the matrix of the crop."""

    def __init__(self, size):
        self.size = size

    def at(self, zoom):
        return self

    def crop(self, matrix, output_size, *, mirrored=False):
        self.matrix, self.mirrored = matrix, mirrored
        return np.zeros((*output_size, 3), np.uint8)


@pytest.mark.parametrize(("zoom", "reduction"), [(0.5, 2), (0.2, 4), (0.1, 8)])
def test_reduced_pixels_are_means_of_squares(rng, zoom, reduction):
    image = rng.integers(0, 256, (101, 147, 3), np.uint8)
    extent = prepared.Extent(np.array([40.0, 30.0]), np.array([90.0, 300.0]), zoom)
    region = cut(image, extent)
    x, y = region.origin
    assert x % reduction == y % reduction == 0 and x <= 40 - reduction and y <= 30 - reduction
    assert region.reduction == (reduction, reduction) and region.size == (101, 147)
    height, width = region.pixels.shape[:2]
    assert x + width * reduction > 90 + reduction and 101 <= y + height * reduction < 101 + 8
    square = image[y : y + reduction, x : x + reduction].mean((0, 1))
    np.testing.assert_allclose(region.pixels[0, 0], square, atol=0.51)
    last = image[y + (height - 1) * reduction :, x : x + reduction]
    padded = np.concatenate([last, np.repeat(last[-1:], reduction - len(last), axis=0)])
    np.testing.assert_allclose(region.pixels[-1, 0], padded.mean((0, 1)), atol=0.51)


def test_an_extent_beyond_the_image_has_a_pixel(rng):
    image = rng.integers(0, 256, (20, 30, 3), np.uint8)
    for low in (-500.0, 500.0):
        region = cut(image, prepared.Extent(np.full(2, low), np.full(2, low + 10), 0.1))
        assert region.pixels.shape == (1, 1, 3)
        matrix = np.array([[1.0, 0, -low], [0, 1, -low]])
        assert not region.crop(matrix, (10, 10)).any()


def test_restart_hosts_and_workers_give_the_same_bytes(either):
    either.data.prepared = True
    assert_same_in_parts(either, 5)
    assert len(folders(either)) == 1


def test_a_second_run_writes_and_decodes_nothing(config, monkeypatch):
    first = take_prepared(config)
    times = {path: path.stat().st_mtime_ns for path in folders(config)[0].iterdir()}
    monkeypatch.setattr(images, "decode", None)
    lines = []
    data = input_pipeline.train_data(config, log=lines.append)
    assert lines == []
    assert_equal([data.example(number) for number in range(22)], first)
    assert times == {path: path.stat().st_mtime_ns for path in folders(config)[0].iterdir()}


def take_prepared(config):
    data = prepare(config)
    return [data.example(number) for number in range(22)]


@pytest.mark.parametrize("what", ["annotations", "image", "augment", "input_size", "limit"])
def test_a_change_is_prepared_anew(config, what):
    take_prepared(config)
    root = pathlib.Path(config.data.root)
    if what == "annotations":
        data = json.loads((root / "train.json").read_text())
        data["annotations"][0]["bbox"][0] -= 1
        (root / "train.json").write_text(json.dumps(data))
    elif what == "image":
        os.utime(root / "images" / "train03.png", ns=(1, 1))
    elif what == "augment":
        config.augment.scale = 0.4
    elif what == "input_size":
        config.input_size = (64, 64)
    else:
        config.data.limit = 5
    lines = []
    input_pipeline.train_data(config, log=lines.append)
    assert len(folders(config)) == 2
    assert lines[0].startswith("preparing ") and "MB" in lines[1]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_interrupted_preparation_goes_on(config, monkeypatch):
    take_prepared(config)
    (folder,) = folders(config)
    whole = contents(folder)
    assert sorted(whole) == [
        f"{n:06d}.{kind}.npy" for n in range(3) for kind in ("pixels", "table")
    ]
    (folder / "000001.table.npy").unlink()  # killed between its pixels and its table
    (folder / "000002.table.npy").unlink()
    (folder / "000002.pixels.npy").unlink()
    (folder / ".000002.pixels.npy.host.1.part").write_bytes(b"half")
    read = []
    data = input_pipeline.train_data(config)  # is complete again
    load = data._images
    assert contents(folder) == whole
    (folder / "000001.table.npy").unlink()
    prepared.Prepared(data.examples, config).write(lambda i: read.append(i) or load(i))
    assert contents(folder) == whole and read == [43, 53, 63, 73]


@pytest.mark.slow
def test_killed_preparation_leaves_nothing_that_is_taken_as_whole(config):
    program = (
        "import os, sys, pathlib; sys.path.insert(0, '.'); sys.path.insert(0, sys.argv[1])\n"
        "import numpy, input_pipeline\n"
        "from tests.input_pipeline.conftest import make_config\n"
        "from input_pipeline import prepared\n"
        "prepared.BLOCK = 4\n"
        "config = make_config(pathlib.Path(sys.argv[1]))\n"
        "config.data.prepared, config.data.workers = True, 1\n"
        "save, saved = numpy.lib.format.write_array_header_1_0, []\n"
        "def killed(file, array):\n"
        "    if len(saved) == 3: file.write(b'half'); file.flush(); os.kill(os.getpid(), 9)\n"
        "    saved.append(file); save(file, array)\n"
        "numpy.lib.format.write_array_header_1_0 = killed\n"
        "input_pipeline.train_data(config)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, config.data.root], cwd=ROOT)
    assert done.returncode == -9
    (folder,) = folders(config)
    assert len(list(folder.glob("*.table.npy"))) == 1 and list(folder.glob(".*.part"))
    after = take_prepared(config)
    assert not list(folder.glob(".*.part")) and len(list(folder.iterdir())) == 6
    config.data.prepared_dir += "_other"
    assert_equal(after, take_prepared(config))


@pytest.mark.parametrize("how", ["truncate", "remove"])
def test_damaged_files_are_one_line(config, how):
    data = prepare(config)
    path = folders(config)[0] / "000001.pixels.npy"
    if how == "remove":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="block 1 of the prepared crops is damaged") as error:
        [data.example(number) for number in range(11)]
    assert "\n" not in str(error.value) and "remove the folder" in str(error.value)


@pytest.fixture
def limits(monkeypatch):
    """Limits of open files (soft, hard), which the code under test may change."""
    values = [1024, 4096]

    def change(_, new):
        values[:] = new

    monkeypatch.setattr(prepared.resource, "getrlimit", lambda _: tuple(values))
    monkeypatch.setattr(prepared.resource, "setrlimit", change)
    return values


def test_the_blocks_of_coco_may_all_be_open(limits):
    """A map keeps its file open, and a process may usually open 1,024 files."""
    assert prepared._allow_open(2341) >= 2341 and limits == [1024 + 2341, 4096]
    assert 2048 <= prepared._allow_open(10_000) < 4096 and limits == [4096, 4096]
    assert prepared._allow_open(10) == 2048


def test_blocks_beyond_the_limit_of_open_files_are_read(config, limits):
    whole = take_prepared(config)
    limits[:] = [2, 2]
    data = input_pipeline.train_data(config)
    assert_equal([data.example(number) for number in range(22)], whole)
    assert len(data._prepared._maps) == 1 and len(data._prepared._blocks) == 3
    for path in folders(config)[0].glob("*.pixels.npy"):
        path.write_bytes(path.read_bytes()[:200])
    unmapped = [n for n in range(11) if data._prepared._row[n] // 4 not in data._prepared._maps]
    with pytest.raises(
        ValueError, match="of the prepared crops is damaged .the pixels are cut off"
    ):
        data.open(unmapped[0])


def test_unusable_images_are_replaced_and_named_as_without_it(config):
    folder = pathlib.Path(config.data.root) / "images"
    (folder / "train02.png").write_bytes(b"")
    (folder / "train05.png").unlink()
    config.max_bad_fraction = 0.5
    whole = input_pipeline.train_data(config)
    expected = [whole.example(number)["annotation_id"] for number in range(22)]
    data = prepare(config)
    assert [data.example(number)["annotation_id"] for number in range(22)] == expected
    assert data.bad_files.reasons == whole.bad_files.reasons and data.bad_files.count == 2


def test_doubtful_orientations_are_named_also_by_a_later_run(config):
    path = pathlib.Path(config.data.root) / "images" / "train02.png"
    content = cv2.imencode(".jpg", cv2.imread(str(path)))[1].tobytes()
    path.write_bytes(with_orientation(content, 3))
    lines = prepare(config).bad_files.lines()
    assert lines == [f"1 image {images.TURNED}, e.g. train02.png"]
    assert input_pipeline.train_data(config).bad_files.lines() == lines


def test_a_full_disk_is_one_line_and_leaves_no_part(config, small_disk):
    config.data.prepared_dir = str(small_disk(16) / "crops")
    with pytest.raises(OSError, match=r"pixels.npy could not be written \(No space left"):
        prepare(config)
    assert not list(folders(config)[0].iterdir())


def test_a_file_that_is_too_large_is_one_line_and_leaves_no_part(config):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match=r"pixels.npy could not be written \(File too large\)"):
            prepare(config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(folders(config)[0].iterdir())


@pytest.mark.parametrize("dtype", [np.uint8, prepared._TABLE])
@pytest.mark.parametrize("length", [0, 3])
def test_the_files_are_those_of_numpy(tmp_path, dtype, length):
    array = np.zeros(length, dtype)
    prepared._save(tmp_path / "ours.npy", array)
    np.save(tmp_path / "theirs.npy", array)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()


def test_the_command_prepares(config, monkeypatch, capsys):
    monkeypatch.setattr(prepared, "_CONFIG", types.SimpleNamespace(value=config), raising=False)
    prepared.main()
    assert capsys.readouterr().out.splitlines()[-1] == "prepared: 11 examples"
    assert len(folders(config)) == 1
    config.data.train_annotations = "none.json"
    with pytest.raises(SystemExit):
        prepared.main()
    assert "none.json" in capsys.readouterr().err


def test_evaluation_reads_the_images(config):
    before = list(input_pipeline.eval_data(config).batches())
    prepare(config)
    assert_equal(list(input_pipeline.eval_data(config).batches()), before)


def test_prepared_crops_leave_nothing_to_reduce():
    config = default_config(topdown.SETTINGS, task="topdown")
    config.data.root, config.data.prepared, config.data.reduced_decode = "data", True, "train"
    with pytest.raises(
        ValueError, match="reduced_decode=train has no effect with config.data.prepared"
    ):
        check_config(config, topdown.SETTINGS, input_step=32, recipe="", devices=1)
    check_config(config, topdown.SETTINGS, input_step=32, recipe="", devices=1, training=False)


def test_points_of_a_reduced_region_stay_in_place():
    rows, columns = np.mgrid[:301, :403]
    spot = 255 * np.exp(-((columns - 201.3) ** 2 + (rows - 140.8) ** 2) / (2 * 12**2))
    image = np.repeat(spot.astype(np.uint8)[..., None], 3, axis=2)
    extent = prepared.Extent(np.array([95.0, 61.0]), np.array([330.0, 250.0]), 0.24)
    region = cut(image, extent)
    assert region.reduction == (4, 4) and region.origin == (84, 52)
    for mirrored in (False, True):
        x = 402 - 201.3 if mirrored else 201.3
        matrix = geometry.affine((x + 3, 150), (1.0, 1.0), 25, (48, 48))
        crop = region.crop(matrix, (48, 48), mirrored=mirrored)[..., 0].astype(float)
        rows, columns = np.mgrid[:48, :48]
        center = np.array([(crop * columns).sum(), (crop * rows).sum()]) / crop.sum()
        np.testing.assert_allclose(center, geometry.transform([x, 140.8], matrix), atol=0.05)
