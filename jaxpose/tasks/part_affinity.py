"""Bottom-up: heatmaps of all people in an image, grouped by part affinity fields."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import jaxpose.config.part_affinity
from jaxpose import codecs, skeletons
from jaxpose.skeletons import Skeleton
from jaxpose.tasks import torch_losses, whole_images
from jaxpose.tasks.objective import QUARTER, forward, map_size
from jaxpose.tasks.protocol import DeviceBatch, FileDecoding, Objective, Size, Tree

if TYPE_CHECKING:
    import flax.linen as nn
    import jax
    from ml_collections import ConfigDict

NAME = "part_affinity"
TITLE = "Bottom-up, part affinity fields"
COUNTS = "images"
EXAMPLE = "image"
INPUT_STEP = 8
SIZINGS: tuple[str, ...] = ("short_side", "fixed")
RECIPE = "configs/lightweight_openpose.py"
SETTINGS = jaxpose.config.part_affinity.SETTINGS
BENCHMARK: Mapping[str, Any] = {}
LIKE: tuple[str, ...] = ()
FILE_DECODING: FileDecoding | None = None

check_settings = functools.partial(jaxpose.config.part_affinity.check, input_step=INPUT_STEP)
describe_examples = whole_images.describe_examples
decoder_from_config = functools.partial(whole_images.decoder_from_config, codecs.part_affinity)
decoder_from_metadata = functools.partial(whole_images.decoder_from_metadata, codecs.part_affinity)
decoder_for_estimate = whole_images.decoder_for_estimate
model_predictor = whole_images.model_predictor
file_predictor = whole_images.file_predictor
view = whole_images.view
crop_matrix = whole_images.crop_matrix
estimate = whole_images.estimate
evaluate = whole_images.evaluate
predict_results = whole_images.predict_results
worst_cases = whole_images.worst_cases
compare = whole_images.compare
sample_batch = whole_images.sample_batch
fit_settings = whole_images.fit_settings
torch_loss = torch_losses.part_affinity


def check_skeleton(skeleton: Skeleton, source: str) -> None:
    """Accepts COCO's 17 keypoints only: the fields follow their limbs and an added neck."""
    if skeleton.joints != skeletons.COCO.joints:
        raise ValueError(
            f"{source}: part affinity fields need COCO's 17 keypoints, got "
            f"{skeleton.num_joints} ({', '.join(skeleton.joints)})"
        )


def network_keypoints(num_keypoints: int) -> int:
    """The keypoints of the dataset and the neck."""
    return num_keypoints + 1


def metric_of(skeleton: Skeleton) -> str:
    """Always COCO's."""
    del skeleton
    return "coco"


# ------------------------------------------------------------------------------------- training


def make_objective(model: nn.Module, config: ConfigDict) -> Objective:
    """Squared errors of heatmaps and of fields along the limbs, after every stage of the network.

    The batch is that of `associative_embedding.make_objective`, with COCO's keypoints; the neck is
    added here. A cell of the heatmaps counts if all pixels of `mask_quarter` in it count.
    """
    size, sigma, thickness = tuple(config.input_size), config.sigma, config.loss.thickness
    freeze = config.freeze

    def loss(params: Tree, batch_stats: Tree, batch: DeviceBatch, key: jax.Array | None = None):
        outputs, batch_stats = forward(model, params, batch_stats, batch["image"], key, freeze)
        valid = batch["valid"]
        targets = codecs.part_affinity.encode_batch(
            codecs.part_affinity.from_coco(batch["keypoints"] * valid[:, None, None, None]),
            size,
            sigma=sigma,
            thickness=thickness,
        )
        height, width = map_size(size, 2 * QUARTER)
        mask = batch["mask_quarter"].reshape(-1, height, 2, width, 2).min((2, 4))
        mask = mask * valid[:, None, None]
        heatmaps, fields = codecs.part_affinity.loss(outputs, *targets, mask)
        return heatmaps + fields, (batch_stats, {"heatmaps": heatmaps, "fields": fields})

    return Objective(loss, ("heatmaps", "fields"), ("image", "valid", "keypoints", "mask_quarter"))


def describe_loss(config: ConfigDict) -> str:
    """The loss, and the number of people per image in a benchmark."""
    del config
    return f"squared errors of heatmaps and fields; {whole_images.PEOPLE} people per image"


def maps(outputs: Any, skeleton: Skeleton) -> tuple[np.ndarray, None]:
    """The heatmaps of the last stage, without neck and background; there are no tags."""
    *_, heatmaps, _ = outputs
    names = codecs.part_affinity.OPENPOSE.joints
    return np.asarray(heatmaps)[..., [names.index(name) for name in skeleton.joints]], None


# ------------------------------------------------------------------------------- exported files


def metadata(config: ConfigDict, skeleton: Skeleton, num_outputs: int) -> dict[str, Any]:
    """How to get from an image to its people; see `associative_embedding.metadata`.

    There are two `outputs` per stage; poses come from those of the last stage. The heatmaps have
    one channel for each of `codec["joints"]` and one for the background. The fields have two
    channels, x and y, for each of `codec["limbs"]`.
    """
    del skeleton
    joints, limbs = codecs.part_affinity.OPENPOSE.joints, codecs.part_affinity.LIMBS
    return {
        "sizing": "fixed",
        "outputs": [
            {"name": f"{name}_{stage}", "stride": 2 * QUARTER, name: [0, channels]}
            for stage in range(num_outputs // 2)
            for name, channels in (("heatmaps", len(joints)), ("fields", 2 * len(limbs)))
        ],
        "codec": {
            "name": "part_affinity",
            "joints": list(joints),
            "limbs": [list(limb) for limb in limbs],
            "sigma": config.sigma,
            "resize": "bicubic, half-pixel centers, a = -0.75",
            "project_to_input": True,
        },
        "grouping": dataclasses.asdict(decoder_from_config(config).grouping),
    }


def sample_decoding(
    input_size: Size, decoder: whole_images.ImageDecoder
) -> tuple[str, Callable[[], object]]:
    """Decodes the outputs of a synthetic scene."""
    import jax

    from jaxpose.tasks.whole_images import scenes

    scene = scenes.draw(10, input_size, flip=False)
    keypoints = codecs.part_affinity.from_coco(scene.joints)
    outputs = codecs.part_affinity.encode_batch(keypoints[None], input_size)
    grouping = decoder.grouping
    find = jax.jit(
        lambda maps: codecs.part_affinity.find({1.0: (maps, None)}, input_size, grouping)
    )

    def decode():
        heatmaps, fields = (part[0] for part in jax.device_get(find(outputs)))
        return codecs.part_affinity.group(heatmaps, fields, grouping)

    return "10 people", decode
