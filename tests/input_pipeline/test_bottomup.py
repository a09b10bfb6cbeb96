"""Whole images: training and evaluation batches, their order, masks, sizes, damaged files."""

import json
import pathlib

import cv2
import numpy as np
import pytest

import input_pipeline
from input_pipeline import benchmark, order, tfds_builders
from input_pipeline.batch import (
    bottomup_evaluation_spec,
    bottomup_training_spec,
    scale_key,
)
from input_pipeline.region import Region
from jaxpose import geometry, metrics
from tests.helpers.reading import assert_equal, assert_fits, take

IDS = [10 * k + 3 for k in range(7)]  # the eighth image has no people


@pytest.mark.slow
def test_batches_follow_the_spec_and_the_order(crowd_config):
    data = input_pipeline.train_data(crowd_config)
    batches = take(crowd_config, 7)
    for batch in batches:
        assert_fits(batch, 4, bottomup_training_spec((128, 192), 5, 4))
        assert batch["valid"].all()
        assert set(np.unique(batch["mask_half"])) <= {0, 1}
    ids = np.concatenate([batch["image_id"] for batch in batches])
    assert data.num_examples == 7
    assert ids.tolist() == [IDS[order.example(n, 0, 7)[1]] for n in range(28)]
    assert_equal(take(crowd_config, 4, 3), batches[3:])
    hosts = [take(crowd_config, 3, host_id=host, host_count=2) for host in range(2)]
    joined = [
        {key: np.concatenate([a[key], b[key]]) for key in a} for a, b in zip(*hosts, strict=True)
    ]
    assert_equal(joined, batches[:3])


@pytest.mark.slow
def test_joints_stay_on_their_dots_and_masks_on_their_square(crowd_config, crowds):
    """The image shows each joint's color at the joint's position (the color of its counterpart when
    mirrored, as dots keep their color); the mask is 0 on the square of the unlabeled person and
    outside the image."""
    compared = mirrored = masked = 0
    for batch in take(crowd_config, 10):
        for slot in range(4):
            image, flipped = batch["image"][slot].astype(int), batch["mirrored"][slot]
            mirrored += flipped
            colors = crowds.colors[crowds.skeleton.flip_indices] if flipped else crowds.colors
            people = batch["keypoints"][slot]
            assert (people[:2, :, 2] == 1).all() and not people[2:].any()
            for person in people[:2]:
                for (x, y, _), color in zip(person, colors, strict=True):
                    x, y = round(float(x)), round(float(y))
                    if 0 <= x < 192 and 0 <= y < 128:
                        assert np.abs(image[y, x] - color).max() < 60
                        compared += 1
            for key, part in (("mask_half", 2), ("mask_quarter", 4)):
                mask = batch[key][slot]
                # Pixel (i, j) of the map is pixel (part i, part j) of the image, whose mirror
                # image is (part j + part - 1): each resolution is flipped separately.
                sampled = image[::part, part - 1 :: part] if flipped else image[::part, ::part]
                magenta = (np.abs(sampled - (255, 0, 255)) < 40).all(-1)
                black = (sampled < 20).all(-1)
                gray = (np.abs(sampled - 64) < 8).all(-1)
                assert not mask[magenta | black].any() and mask[gray].all()
                masked += magenta.sum()
    assert compared > 250 and 10 < mirrored < 30 and masked > 1000


def test_more_people_than_slots(crowd_config):
    """People in view come first; with one slot, the second person takes it if the first is out."""
    crowd_config.max_people = 1
    crowd_config.augment.scale_min = crowd_config.augment.scale_max = 0.3
    crowd_config.input_size = (64, 64)
    whole = crowd_config.copy_and_resolve_references()
    whole.max_people = 2
    chosen = set()
    for few, all_of_them in zip(take(crowd_config, 8), take(whole, 8), strict=True):
        for one, two in zip(few["keypoints"], all_of_them["keypoints"], strict=True):
            inside = [((p[:, :2] >= 0) & (p[:, :2] < 64)).all(1).any() for p in two]
            if any(inside):
                np.testing.assert_array_equal(one[0], two[inside.index(True)])
                chosen.add(inside.index(True))
            else:
                assert not one.any()
    assert chosen == {0, 1}


def test_crowdpose_masks_are_ones(crowd_config, real_data):
    crowd_config.data.format = "crowdpose"
    crowd_config.data.root = str(real_data / "crowdpose")
    crowd_config.data.train_annotations = "annotations.json"
    crowd_config.augment = {
        "scale_type": "short", "flip": 0.5, "scale_min": 0.2, "scale_max": 0.4, "rotation": 5.0,
        "translate": 0.0,
    }  # fmt: skip
    (batch,) = take(crowd_config, 1)
    assert batch["mask_half"].all() and batch["mask_quarter"].all()
    assert batch["keypoints"].shape == (4, 4, 14, 3)
    assert sorted(set(batch["image_id"].tolist())) == [103319, 106848]


def test_damaged_image_is_replaced(crowd_config):
    (pathlib.Path(crowd_config.data.root) / "images" / "train02.png").write_bytes(b"no image")
    crowd_config.max_bad_fraction = 0.5
    data = input_pipeline.train_data(crowd_config)
    ids = [data.example(n)["image_id"] for n in range(14)]
    assert 23 not in ids and data.bad_files.names == ["train02.png"]
    batches = list(input_pipeline.eval_data(crowd_config).batches())
    ids = np.concatenate([batch["image_id"][batch["valid"]] for batch in batches])
    assert sorted(ids) == [i for i in [*IDS, 73] if i != 23]


def test_images_without_people_are_negatives(crowd_config):
    data = input_pipeline.train_data(crowd_config)
    (line,) = [str(note) for note in data.dataset.notes if note.record == "images"]
    assert "images: 1 without a record of a person are not used" in line
    crowd_config.data.negatives = True
    data = input_pipeline.train_data(crowd_config)
    assert data.num_examples == 8 and 73 in data.examples.image_id
    row = data.examples.image_id.tolist().index(73)
    example = data.examples.make(Region.whole(np.zeros((150, 200, 3), np.uint8)), 0, row)
    assert not example["keypoints"].any() and example["mask_quarter"].any()
    assert not [note for note in data.dataset.notes if note.record == "images"]


def test_image_of_another_size_than_annotated_is_left_out(crowd_config):
    """A rotated or resized image does not match its masks and views."""
    path = str(pathlib.Path(crowd_config.data.root) / "images" / "train02.png")
    image = cv2.imread(path)
    height, width = image.shape[:2]
    cv2.imwrite(path, cv2.resize(image, (width + 8, height)))
    crowd_config.max_bad_fraction = 0.5
    data, evaluated = (
        input_pipeline.train_data(crowd_config),
        input_pipeline.eval_data(crowd_config),
    )
    expected = {"train02.png": f"is {width + 8}x{height}, annotated as {width}x{height}"}
    assert 23 not in [data.example(n)["image_id"] for n in range(14)]
    assert data.bad_files.reasons == expected
    ids = np.concatenate([batch["image_id"][batch["valid"]] for batch in evaluated.batches()])
    assert 23 not in ids and evaluated.bad_files.reasons == expected


@pytest.mark.parametrize(("hosts", "per_host"), [(1, 2), (1, 20), (2, 2), (3, 1)])
@pytest.mark.parametrize("sizing", ["short_side", "fixed"])
def test_every_image_once(crowd_config, hosts, per_host, sizing):
    crowd_config.eval.batch_size, crowd_config.eval.sizing = hosts * per_host, sizing
    parts = []
    for host in range(hosts):
        data = input_pipeline.eval_data(crowd_config, host_id=host, host_count=hosts)
        parts.append(list(data.batches()))
        assert len(parts[-1]) == data.num_batches and data.num_examples == 8
    specs = [data.examples.group_spec(group) for group in range(len(data.examples.groups))]
    sizes = sorted({spec["image"][1][:2] for spec in specs})
    ids = []
    for same in zip(*parts, strict=True):
        assert len({batch["image"].shape for batch in same}) == 1  # all hosts run one program
        assert same[0]["image"].shape[1:3] in sizes
        for batch in same:
            assert_fits(batch, per_host, bottomup_evaluation_spec({1.0: (None, None)}))
            ids += batch["image_id"][batch["valid"]].tolist()
            assert (batch["image_id"][~batch["valid"]] == -1).all()
            assert not batch["image"][~batch["valid"]].any()
    assert sorted(ids) == [*IDS, 73]  # including the image without people
    fixed = [(128, 192)]
    assert sizes == (fixed if sizing == "fixed" else [(128, 128), (128, 192), (128, 256),
                                                      (192, 128)])  # fmt: skip


@pytest.mark.parametrize("sizing", ["short_side", "fixed"])
def test_views_map_back_to_the_image(crowd_config, crowds, sizing):
    crowd_config.eval.sizing = sizing
    crowd_config.eval.scales = (0.5, 1.0, 1.5) if sizing == "fixed" else (0.5, 1.0, 2.0)
    crowd_config.input_size = (128, 192)
    data = input_pipeline.eval_data(crowd_config)
    checked = 0
    for batch in data.batches():
        for slot in np.flatnonzero(batch["valid"]):
            index = (batch["image_id"][slot] - 3) // 10
            _, points = crowds.draw(index)
            for scale in crowd_config.eval.scales:
                image = batch[scale_key(scale)][slot].astype(int)
                size = image.shape[:2]
                assert size == tuple(round(scale * side) for side in batch["image"].shape[1:3])
                matrix = geometry.affine(batch["center"][slot], batch["scale"][slot], 0, size)
                points_in_view = geometry.transform(points.astype(float), matrix)
                back = geometry.heatmap_to_image(
                    points_in_view, batch["center"][slot], batch["scale"][slot], size
                )
                np.testing.assert_allclose(back, points, atol=1e-3)
                colors = np.tile(crowds.colors, (2, 1))
                for (x, y), color in zip(points_in_view.reshape(-1, 2), colors, strict=True):
                    pixel = image[round(float(y)), round(float(x))]
                    assert np.abs(pixel - color).max() < 110
                    checked += 1
    assert checked == 8 * 3 * 10


def test_samples_are_the_annotated_people(crowd_config):
    data = input_pipeline.eval_data(crowd_config)
    assert len(data.samples) == 14
    crowd_config.data.limit = 3
    data = input_pipeline.eval_data(crowd_config)
    assert data.num_examples == 3 and set(data.samples.image_id.tolist()) == {3, 13, 23}
    assert input_pipeline.train_data(crowd_config).num_examples == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eval.scales": (0.5, 2.0)}, "must be positive and include 1"),
        ({"eval.sizing": "fix"}, "did you mean 'fixed'"),
        ({"eval.sizing": "fixed", "eval.scales": (1.0, 0.3)}, "must be multiples of 32"),
        ({"task": "associative"}, "did you mean 'associative_embedding'"),
        ({"task": "part_affinity"}, "COCO's 17 keypoints"),
        ({"eval.metric": "crowdpose"}, "train.json has it for 0 of 8"),
    ],
)
def test_impossible_settings_are_refused(crowd_config, change, message):
    crowd_config.eval.metric = "coco"
    crowd_config.update_from_flattened_dict(change)
    with pytest.raises(ValueError, match=message):
        input_pipeline.eval_data(crowd_config)


def test_mpii_is_not_for_bottomup(crowd_config):
    record = {"image": "train00.png", "center": [56.0, 50.0], "scale": 0.4,
              "joints": [[60.0, 50.0]] * 16, "joints_vis": [1] * 16}  # fmt: skip
    path = pathlib.Path(crowd_config.data.root) / "train.json"
    path.write_text(json.dumps([record]))
    crowd_config.data.format = "mpii"
    with pytest.raises(ValueError, match="does not annotate everyone"):
        input_pipeline.train_data(crowd_config)


def test_prepared_copy_gives_the_same_batches(crowd_config):
    files = take(crowd_config, 2)
    evaluated = list(input_pipeline.eval_data(crowd_config).batches())
    crowd_config.data.storage = "tfds"
    tfds_builders.prepare(crowd_config)
    for path in (pathlib.Path(crowd_config.data.root) / "images").iterdir():
        path.unlink()
    assert_equal(take(crowd_config, 2), files)
    assert_equal(list(input_pipeline.eval_data(crowd_config).batches()), evaluated)


def test_crowdpose_has_a_builder_of_its_own(crowd_config, real_data):
    crowd_config.data.root = str(real_data / "crowdpose")
    crowd_config.data.format, crowd_config.data.storage = "crowdpose", "tfds"
    crowd_config.data.train_annotations = "annotations.json"
    data = input_pipeline.train_data(crowd_config)
    builder = tfds_builders.prepare_dataset(data.dataset, crowd_config.data.tfds_dir)
    assert builder.name == "crowd_pose" and data.example(0)["image"].any()


def test_input_benchmark(crowd_config):
    rates = benchmark.measure(crowd_config, examples=4, steps=1)
    assert list(rates) == ["read", "decode", "augment", "one thread", "graph"]


@pytest.mark.parametrize("sizing", ["short_side", "fixed"])
@pytest.mark.parametrize("name", ["coco", "crowdpose"])
def test_annotations_mapped_back_from_real_images_score_one(crowd_config, real_data, name, sizing):
    """Ground truth mapped to input pixels and back scores an AP of 1."""
    crowd_config.data.root, crowd_config.data.format = str(real_data / name), name
    crowd_config.data.val_annotations = "annotations.json"
    crowd_config.eval.sizing, crowd_config.eval.metric = sizing, name
    crowd_config.input_size = (256, 320)
    data = input_pipeline.eval_data(crowd_config)
    results = []
    for batch in data.batches():
        size = batch["image"].shape[1:3]
        for slot in np.flatnonzero(batch["valid"]):
            center, scale = batch["center"][slot], batch["scale"][slot]
            rows = data.dataset.labeled_rows[int(batch["image_id"][slot])]
            for joints in data.dataset.labeled.keypoints[rows]:
                points_in_view = geometry.transform(
                    joints[:, :2], geometry.affine(center, scale, 0, size)
                )
                labeled = joints[:, 2] > 0
                assert (points_in_view[labeled] >= 0).all() and (
                    points_in_view[labeled] < size[::-1]
                ).all()
                back = geometry.heatmap_to_image(points_in_view, center, scale, size)
                results.append(
                    {
                        "image_id": int(batch["image_id"][slot]), "category_id": 1, "score": 1.0,
                        "keypoints": np.concatenate([back, joints[:, 2:]], 1).ravel().tolist(),
                    }
                )  # fmt: skip
    score = metrics.crowdpose if name == "crowdpose" else metrics.coco_keypoints
    assert score(data.dataset.path, results)["AP"] == pytest.approx(1)
    assert len(results) == len(data.samples)


def test_real_images(crowd_config, real_data):
    """Four whole COCO photographs at their own sizes, with all of their people."""
    crowd_config.data.root = str(real_data / "coco")
    crowd_config.data.train_annotations = crowd_config.data.val_annotations = "annotations.json"
    crowd_config.input_size, crowd_config.max_people = (256, 256), 30
    data = input_pipeline.eval_data(crowd_config)
    assert data.num_examples == 4 and len(data.samples) == 12
    assert sum(batch["valid"].sum() for batch in data.batches()) == 4
    (batch,) = take(crowd_config, 1)
    joints = (batch["keypoints"][..., 2] > 0).any(-1).sum(-1)
    counts = {785: 1, 40083: 2, 196141: 4, 197388: 5}
    assert joints.tolist() == [counts[i] for i in batch["image_id"].tolist()]
    assert sum(joints) == 12
