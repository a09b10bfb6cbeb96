"""Every setting that cannot work is refused in one line that names what would."""

import pytest

from configs import common
from jaxpose import tasks
from jaxpose.config import differences


def make(base=common.get_config, **changes):
    config = base()
    config.data.root = "somewhere"
    config.update_from_flattened_dict(changes)
    return config


MPII = {"data.format": "mpii", "eval.metric": "mpii"}


@pytest.mark.parametrize("base", [common.get_config, common.bottomup, common.part_affinity])
def test_the_defaults_are_valid(base):
    tasks.validate(make(base), devices=8)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"model": "hwl_mobilenet3"}, "hwl_mobilenetv3"),
        ({"dtype": "bfloat"}, "did you mean 'bfloat16'"),
        ({"optimizer.name": "adamww"}, "did you mean 'adamw'"),
        ({"loss.name": "heatmap"}, "heatmap_weighting"),
        ({"loss.fn": "x3"}, "choose from none, x, 2x, x2, exp"),
        ({"schedule.name": "steps"}, "did you mean 'step'"),
        ({"data.format": "cocoo"}, "did you mean 'coco'"),
        ({"eval.decode": "quater"}, "did you mean 'quarter'"),
        ({"codec": "dup"}, "did you mean 'udp'"),
        ({"codec": "udp", "eval.decode": "dark"}, "use --config.eval.decode=quarter"),
        ({"eval.udp_kernel": 10}, "must be odd; the nearest is 11"),
        ({"eval.udp_kernel": 1}, "at least 3"),
        ({"epochs": 30.0, "augment.last.epochs": 30.0}, "share is a fourteenth (2.14), and 0.0 is"),
        ({"batch_norm": "sync"}, "choose from device, global"),
        ({"input_size": (250, 192)}, "the nearest is (256, 192)"),
        ({"input_size": (256,)}, "(height, width)"),
        ({"batch_size": 30}, "the nearest is 32"),
        ({"batch_size": 64, "accumulate": 3}, "8 devices x 3 micro-batches; the nearest is 72"),
        ({"eval.batch_size": 4}, "the nearest is 8"),
        ({"batch_size": 0}, "greater than 0"),
        ({"optimizer.learning_rate": -1.0}, "greater than 0"),
        ({"epochs": 0.0}, "greater than 0"),
        ({"augment.flip": 1.5}, "between 0 and 1"),
        ({"ema_decay": 1.0}, "0.999"),
        ({"optimizer.b2": 1.0}, "config.optimizer.b2=1 must be less than 1"),
        ({"eval.rescore_threshold": 2.0}, "between 0 and 1"),
        ({"distributed.timeout": 0}, "greater than 0"),
        ({"data.limit": -1}, "negative"),
        ({"profile": "100"}, "config.profile=100 must be START:COUNT"),
        ({"profile": "0:5"}, "e.g. 100:5"),
        ({"schedule.milestones": (200.0, 170.0)}, "must be in increasing order"),
        ({"data.root": ""}, "--config.data.root=FOLDER"),
        ({"data.storage": "tfds"}, "config.data.tfds_dir"),
        ({"data.format": "mpii"}, "--config.eval.metric=mpii"),
        ({"eval.metric": "mpii"}, "does not fit config.data.format=coco"),
        ({"data.detections": "a.json", **MPII}, "PCKh needs annotated boxes"),
    ],
)
def test_refused(changes, message):
    with pytest.raises(ValueError) as error:
        tasks.validate(make(**changes), devices=8)
    text = str(error.value)
    assert message in text and "\n" not in text
    key = next(iter(changes))
    if key != "model":
        assert f"config.{key}" in text


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"loss.name": "softboundary"}, "did you mean 'soft_boundary'"),
        ({"loss.tau": 0.0}, "greater than 0"),
        ({"loss.push": -1.0}, "negative"),
        ({"data.format": "crowdpos"}, "did you mean 'crowdpose'"),
        ({"data.format": "mpii"}, "choose from coco, crowdpose, generated"),
        ({"data.detections": "boxes.json"}, "take no boxes"),
        ({"eval.metric": "crowd"}, "did you mean 'crowdpose'"),
        ({"eval.sizing": "short"}, "did you mean 'short_side'"),
        ({"eval.nms_kernel": 4}, "the nearest is 5"),
        ({"eval.detection_threshold": 1.5}, "between 0 and 1"),
        ({"eval.scales": (0.5, 2.0)}, "include 1"),
        ({"eval.scales": (0.75, 1.0)}, "at 1 the sides"),
        ({"eval.scales": (0.3, 1.0), "eval.sizing": "fixed"}, "at 0.3 the sides"),
        ({"augment.scale_min": 2.0}, "augment.scale_max=1.5"),
        ({"max_people": 0}, "greater than 0"),
        ({"data.generated.people": (5, 2)}, "(minimum, maximum)"),
        ({"input_size": (250, 256)}, "the nearest is (256, 256)"),
        ({"model": "hwl_mobilenetv3"}, "configs/custom_topdown.py"),
        ({"task": "topdown", "model": "hwl_mobilenetv3"}, "configs/custom_topdown.py"),
        ({"task": "associative"}, "did you mean 'associative_embedding'"),
    ],
)
def test_refused_bottom_up(changes, message):
    with pytest.raises(ValueError) as error:
        tasks.validate(make(common.bottomup, **changes), devices=8)
    text = str(error.value)
    assert message in text and "config." in text and "\n" not in text


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"input_size": (362, 370)}, "multiples of 8; the nearest is (360, 368)"),
        ({"data.format": "crowdpose"}, "choose from coco, generated"),
        ({"eval.metric": "crowdpose"}, "choose from coco"),
        ({"eval.agreement": 1.5}, "between 0 and 1"),
        ({"loss.thickness": 0.0}, "greater than 0"),
        ({"model": "litepose_s"}, "configs/custom_bottomup.py"),
        ({"task": "associative_embedding"}, "configs/lightweight_openpose.py"),
    ],
)
def test_refused_part_affinity(changes, message):
    with pytest.raises(ValueError) as error:
        tasks.validate(make(common.part_affinity, **changes), devices=8)
    assert message in str(error.value) and "\n" not in str(error.value)
    sizes = {"input_size": (368, 376), "eval.sizing": "fixed"}
    tasks.validate(make(common.part_affinity, **sizes), devices=8)


def test_a_bottom_up_model_needs_a_bottom_up_recipe():
    for changes in ({}, {"task": "associative_embedding"}):
        with pytest.raises(ValueError, match="configs/custom_bottomup.py"):
            tasks.validate(make(model="litepose_s", **changes), devices=1)


@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 2.0), (2.0, 1.0), (1.0, 1.5)])
def test_valid_scales(scales):
    tasks.validate(make(common.bottomup, **{"eval.scales": scales}), devices=1)


def test_model_options_are_checked_by_name():
    config = make()
    config.model_options.atention = "se"
    with pytest.raises(ValueError, match="attention"):
        tasks.validate(config, devices=1)
    config = make()
    config.model_options.bn_axis = "data"
    with pytest.raises(ValueError, match="config.batch_norm"):
        tasks.validate(config, devices=1)


def test_training_batch_does_not_matter_for_evaluation():
    tasks.validate(make(batch_size=30), devices=8, training=False)


def test_differences_that_matter_are_named():
    old = make()
    new = make(**{"seed": 3, "optimizer.learning_rate": 1e-3, "keep": 9, "data.workers": 7})
    assert differences(old, new) == [
        "optimizer.learning_rate: 0.0005 -> 0.001",
        "seed: 0 -> 3",
    ]
    new = make()
    new.model_options.attention = "se"
    assert differences(old, new) == ["model_options: {} -> {'attention': 'se'}"]
