"""Generated crowds: overlap under control, regions to ignore, an ordinary dataset."""

import json

import numpy as np
import pytest

import input_pipeline
from input_pipeline import generated
from input_pipeline.generated.crowd import crowd_region
from jaxpose import annotations, skeletons

SMALL = {
    "num_train": 6, "num_val": 2, "min_side": 100, "max_side": 140, "people": (2, 4),
    "unlabelled": 0.3, "far_crowds": 0.5,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return generated.ensure_crowds(tmp_path_factory.mktemp("generated") / "crowds", **SMALL)


def test_is_an_ordinary_dataset_with_regions(folder):
    path = folder / "train.json"
    assert all(
        "no labeled keypoints (skipped)" in str(problem) for problem in annotations.check(path)
    )
    dataset = annotations.load_coco(path, image_dir=folder / "images")
    assert len(dataset.images) == 6 and dataset.skeleton == skeletons.COCO
    assert all(dataset.image_path(identity).is_file() for identity in dataset.images)
    records = json.loads(path.read_text())["annotations"]
    crowds = [record for record in records if record["iscrowd"]]
    nobody = [r for r in records if not r["num_keypoints"] and not r["iscrowd"]]
    assert crowds and nobody
    assert sum(map(len, dataset.regions.values())) == len(crowds) + len(nobody)
    for record in records:  # the records agree with the regions that are read from them
        info = dataset.images[record["image_id"]]
        mask = annotations.regions.mask([record["segmentation"]], (info.height, info.width)) == 0
        assert record["area"] == pytest.approx(mask.sum(), rel=0.5, abs=40)
        x, y, w, h = map(int, record["bbox"])
        assert mask[y : y + h, x : x + w].sum() >= 0.95 * mask.sum()


def test_is_reproducible_and_kept_apart_from_people(folder, tmp_path):
    assert generated.ensure_crowds(folder, **SMALL) == folder
    again = generated.ensure_crowds(tmp_path / "again", **SMALL)
    for path in folder.rglob("*.*"):
        assert (again / path.relative_to(folder)).read_bytes() == path.read_bytes()
    with pytest.raises(ValueError, match="generated with version=None, not 1"):
        generated.ensure(folder, num_train=6, num_val=2)
    with pytest.raises(ValueError, match="overlap=0.3, not 0.5"):
        generated.ensure_crowds(folder, **SMALL, overlap=0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"people": (3, 2)}, "minimum <= maximum"),
        ({"people": (0, 2)}, "1 <= minimum"),
        ({"people": (1, 2, 3)}, "people must be"),
        ({"overlap": 1.5}, "overlap must be between 0 and 1"),
        ({"min_side": 10}, "64 <= min_side"),
        ({"persons": 3}, "unknown parameter 'persons'"),
    ],
)
def test_impossible_parameters_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        generated.ensure_crowds(tmp_path / "x", **change)


def measure(overlap, count=8):
    """(share of hidden joints, largest share of a box that lies in another's, labeled people)."""
    options = generated.Crowds(
        people=(3, 5), overlap=overlap, unlabelled=0, far_crowds=0, obstacles=0, hard_poses=0,
        min_side=120, max_side=160,
    )  # fmt: skip
    flags, shares, people = [], [], 0
    for number in range(count):
        _, records = options.draw(np.random.default_rng([0, number]))
        joints = np.array([record["keypoints"] for record in records]).reshape(-1, 17, 3)
        flags.append(joints[joints[..., 2] > 0][:, 2])
        people += (joints[..., 2].any(axis=1)).sum()
        boxes = np.array([record["bbox"] for record in records])
        for a in range(len(boxes)):
            for b in range(a):
                low = np.maximum(boxes[a, :2], boxes[b, :2])
                high = np.minimum(boxes[a, :2] + boxes[a, 2:], boxes[b, :2] + boxes[b, 2:])
                common = np.prod(np.maximum(high - low, 0))
                shares.append(common / min(np.prod(boxes[a, 2:]), np.prod(boxes[b, 2:])))
    return (np.concatenate(flags) == 1).mean(), max(shares), people / count


def test_overlap_is_controlled():
    apart, some, close = (measure(overlap) for overlap in (0.0, 0.5, 1.0))
    assert apart[0] < some[0] < close[0] and close[0] > 2 * apart[0]
    assert apart[1] == 0  # boxes of visible pixels do not touch
    assert 0.1 < some[1] <= close[1]
    assert all(2.5 < people[2] <= 5 for people in (apart, some, close))


def test_run_lengths_of_a_far_crowd():
    rng = np.random.default_rng(0)
    for mask in (
        (rng.random((9, 7)) < 0.5).astype(np.uint8),
        np.ones((3, 4), np.uint8),
        np.eye(5, dtype=np.uint8),
        np.array([[0, 1], [0, 1]], np.uint8),
    ):
        region = crowd_region(mask)
        decoded = annotations.regions.mask([region["segmentation"]], mask.shape)
        np.testing.assert_array_equal(decoded, 1 - mask)
        assert region["area"] == mask.sum()


def test_config_format_generated(crowd_config, folder):
    crowd_config.data.format, crowd_config.data.root = "generated", str(folder)
    crowd_config.data.generated = SMALL
    batches = input_pipeline.train_data(crowd_config).batches()
    batch = next(batches)
    batches.close()
    assert batch["keypoints"].shape == (4, 4, 17, 3)
    assert input_pipeline.eval_data(crowd_config).dataset.path == folder / "val.json"
