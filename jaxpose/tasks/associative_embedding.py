"""Bottom-up: heatmaps of all people in an image, grouped by tags (associative embedding)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import jaxpose.config.associative_embedding
from jaxpose import codecs, skeletons
from jaxpose.skeletons import Skeleton
from jaxpose.tasks import torch_losses, whole_images
from jaxpose.tasks.objective import HALF, QUARTER, check_outputs, forward, map_size
from jaxpose.tasks.protocol import DeviceBatch, FileDecoding, Objective, Size, Tree

if TYPE_CHECKING:
    import flax.linen as nn
    import jax
    from ml_collections import ConfigDict

NAME = "associative_embedding"
TITLE = "Bottom-up, associative embedding"
COUNTS = "images"
EXAMPLE = "image"
INPUT_STEP = 32
SIZINGS: tuple[str, ...] = ("short_side", "fixed")
RECIPE = "configs/custom_bottomup.py"
SETTINGS = jaxpose.config.associative_embedding.SETTINGS
BENCHMARK: Mapping[str, Any] = {"loss.name": "mse"}  # works for every network of this task
LIKE: tuple[str, ...] = ()
FILE_DECODING: FileDecoding | None = None

check_settings = functools.partial(
    jaxpose.config.associative_embedding.check, input_step=INPUT_STEP
)
describe_examples = whole_images.describe_examples
decoder_from_config = functools.partial(
    whole_images.decoder_from_config, codecs.associative_embedding
)
decoder_from_metadata = functools.partial(
    whole_images.decoder_from_metadata, codecs.associative_embedding
)
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
torch_loss = torch_losses.associative_embedding


def check_skeleton(skeleton: Skeleton, source: str) -> None:
    """Accepts all keypoints."""


def network_keypoints(num_keypoints: int) -> int:
    """The keypoints of the dataset."""
    return num_keypoints


def metric_of(skeleton: Skeleton) -> str:
    """CrowdPose has its own metric; all other datasets use COCO's."""
    return "crowdpose" if skeleton.joints == skeletons.CROWDPOSE.joints else "coco"


# ------------------------------------------------------------------------------------- training


def make_objective(model: nn.Module, config: ConfigDict) -> Objective:
    """Heatmaps at two resolutions, and tags at the lower one.

    heat(1/4) + heat(1/2) + config.loss.push * push + config.loss.pull * pull, with push and pull
    from the tags of the 1/4 output, as in HigherHRNet and LitePose; heat is the masked mean squared
    error or WLitePose's soft-boundary loss. The terms are logged without their weights.

    The batch holds `image` uint8 [B, H, W, 3], `keypoints` float32 [B, P, K, 3] (x, y, labeled) in
    pixels of the input, `mirrored` bool [B], the masks `mask_quarter` uint8 [B, H/4, W/4] and
    `mask_half` [B, H/2, W/2] (0 = ignored) and `valid` bool [B]. An invalid example adds nothing to
    the loss but counts in the denominators of the means, like ignored pixels.
    """
    from jaxpose import losses

    size, sigma, weights = tuple(config.input_size), config.sigma, config.loss
    freeze = config.freeze
    heat = losses.masked_mse
    if weights.name == "soft_boundary":
        heat = functools.partial(
            losses.soft_boundary_loss, tau=weights.tau, detach_weight=weights.detach_weight
        )

    def loss(params: Tree, batch_stats: Tree, batch: DeviceBatch, key: jax.Array | None = None):
        outputs, batch_stats = forward(model, params, batch_stats, batch["image"], key, freeze)
        joints = batch["keypoints"].shape[2]
        valid = batch["valid"]
        keypoints = batch["keypoints"] * valid[:, None, None, None]  # no labels in invalid examples

        def encode(stride: int):
            return codecs.associative_embedding.encode_batch(
                keypoints, batch["mirrored"], size, map_size(size, stride), sigma
            )

        (quarter_targets, places), (half_targets, _) = encode(QUARTER), encode(HALF)
        check_outputs(
            model,
            outputs,
            heatmaps_and_tags=(*quarter_targets.shape[:3], 2 * joints),
            heatmaps=half_targets.shape,
        )
        quarter, half = outputs
        masks = {key: batch[key] * valid[:, None, None] for key in ("mask_quarter", "mask_half")}
        pull, push = losses.associative_embedding_loss(quarter[..., joints:], places)
        terms = {
            "heat_quarter": heat(quarter[..., :joints], quarter_targets, masks["mask_quarter"]),
            "heat_half": heat(half, half_targets, masks["mask_half"]),
            "push": push,
            "pull": pull,
        }
        value = (
            terms["heat_quarter"] + terms["heat_half"] + weights.push * push + weights.pull * pull
        )
        return value, (batch_stats, terms)

    return Objective(
        loss,
        ("heat_quarter", "heat_half", "push", "pull"),
        ("image", "valid", "keypoints", "mirrored", "mask_quarter", "mask_half"),
    )


def describe_loss(config: ConfigDict) -> str:
    """The loss of the heatmaps, and the number of people per image in a benchmark."""
    return f"{config.loss.name} at 1/4 and 1/2, tags; {whole_images.PEOPLE} people per image"


def maps(outputs: Any, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the heatmaps and the tags, at the resolution of the last output."""
    outputs = [np.asarray(part) for part in outputs]
    heatmaps, tags = codecs.associative_embedding.aggregate(
        outputs, None, skeleton.flip_indices, outputs[-1].shape[1:3]
    )
    return np.asarray(heatmaps), np.asarray(tags)[..., 0]


# ------------------------------------------------------------------------------- exported files


def metadata(config: ConfigDict, skeleton: Skeleton, num_outputs: int) -> dict[str, Any]:
    """How to get from an image to its people.

    `sizing` "fixed" is the whole image, centered, as large as fits into `input_size`, with a black
    border (`geometry.bottomup_fit`). `outputs` lists the outputs of the file in order, each with
    its stride and its channels [start, stop]. `codec` and `grouping` describe the decoding: outputs
    are merged at the resolution of the last one, resized to the size of the input, and grouped
    (`codecs.associative_embedding`).
    """
    del num_outputs
    joints = skeleton.num_joints
    return {
        "sizing": "fixed",
        "outputs": [
            {
                "name": "heatmaps_tags",
                "stride": QUARTER,
                "heatmaps": [0, joints],
                "tags": [joints, 2 * joints],
            },
            {"name": "heatmaps", "stride": HALF, "heatmaps": [0, joints]},
        ],
        "codec": {
            "name": "associative_embedding",
            "sigma": config.sigma,
            "flip_shift": False,
            "resize": "bilinear, half-pixel centers",
            "project_to_input": True,
        },
        "grouping": dataclasses.asdict(decoder_from_config(config).grouping),
    }


def sample_decoding(
    input_size: Size, decoder: whole_images.ImageDecoder
) -> tuple[str, Callable[[], object]]:
    """Decodes the outputs of a synthetic scene."""
    from jaxpose.tasks.whole_images import scenes

    scene = scenes.draw(10, input_size, flip=False)
    return "10 people", lambda: scenes.find(scene, decoder.grouping)
