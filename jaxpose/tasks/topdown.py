"""Top-down: heatmaps of one person per crop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import jaxpose.config.topdown
from jaxpose import codecs, geometry
from jaxpose.skeletons import COCO, Skeleton
from jaxpose.tasks import crops, torch_losses
from jaxpose.tasks.objective import QUARTER, check_outputs, forward, map_size
from jaxpose.tasks.protocol import DeviceBatch, FileDecoding, Objective, Size, Tree

if TYPE_CHECKING:
    import flax.linen as nn
    import jax
    from ml_collections import ConfigDict

NAME = "topdown"
TITLE = "Top-down"
COUNTS = "people"
EXAMPLE = "crop"
INPUT_STEP = 32
SIZINGS: tuple[str, ...] = ("fixed",)
RECIPE = "configs/custom_topdown.py"
SETTINGS = jaxpose.config.topdown.SETTINGS
BENCHMARK: Mapping[str, Any] = {}
LIKE: tuple[str, ...] = ()
FILE_DECODING: FileDecoding | None = None

check_skeleton = crops.check_skeleton
network_keypoints = crops.network_keypoints
check_settings = jaxpose.config.topdown.check
describe_examples = crops.describe_examples
metric_of = crops.metric_of
model_predictor = crops.model_predictor
file_predictor = crops.file_predictor
view = crops.view
crop_matrix = crops.crop_matrix
estimate = crops.estimate
evaluate = crops.evaluate
predict_results = crops.predict_results
worst_cases = crops.worst_cases
compare = crops.compare
sample_batch = crops.sample_batch
fit_settings = crops.fit_settings
torch_loss = torch_losses.topdown


# ------------------------------------------------------------------------------------- training


def make_objective(model: nn.Module, config: ConfigDict) -> Objective:
    """The mean squared error or HWL's heatmap weighting loss, as `config.loss` says.

    The batch holds `image` uint8 [B, H, W, 3] and `keypoints` float32 [B, K, 3] (x, y, visible) in
    pixels of the crop.
    """
    from jaxpose import losses

    size, sigma, udp = tuple(config.input_size), config.sigma, config.codec == "udp"
    freeze = config.freeze
    weighting = config.loss.fn if config.loss.name == "heatmap_weighting" else "none"

    def loss(params: Tree, batch_stats: Tree, batch: DeviceBatch, key: jax.Array | None = None):
        heatmaps, batch_stats = forward(model, params, batch_stats, batch["image"], key, freeze)
        targets, weights = codecs.topdown.encode_batch(
            batch["keypoints"], size, map_size(size, QUARTER), sigma, udp
        )
        check_outputs(model, heatmaps, heatmaps=targets.shape)
        value = losses.heatmap_weighting_loss(heatmaps, targets, weights, fn=weighting)
        return value, (batch_stats, {})

    return Objective(loss, (), ("image", "keypoints"))


def describe_loss(config: ConfigDict) -> str:
    """`heatmap_weighting (x)` or `mse`."""
    loss = config.loss
    return f"{loss.name} ({loss.fn})" if loss.name == "heatmap_weighting" else loss.name


# ----------------------------------------------------------------------------------- prediction


@dataclasses.dataclass(frozen=True)
class Decoder:
    """How heatmaps become a pose.

    Attributes:
      flip: whether to average with the heatmaps of the mirrored crop.
      offset: "quarter" or "dark", the refinement of positions between pixels; unused with `udp`.
      sigma: of the targets in training, in heatmap pixels.
      udp: whether crops and targets in training were those of UDP.
      kernel: width of UDP's smoothing kernel, in heatmap pixels.
    """

    flip: bool = True
    offset: str = "quarter"
    sigma: float = 2.0
    udp: bool = False
    kernel: int = 11

    def decode(
        self, outputs: Any, mirrored: Any, center: Any, scale: Any, skeleton: Skeleton
    ) -> tuple[Any, Any]:
        """See `crops.CropDecoder`; outputs are heatmaps [B, h, w, K]."""
        if mirrored is not None:
            pairs, shift = skeleton.flip_pairs, not self.udp
            outputs = (outputs + codecs.topdown.flip_back(mirrored, pairs, shift)) / 2
        if self.udp:
            return codecs.topdown.decode(outputs, center, scale, udp=True, kernel=self.kernel)
        return codecs.topdown.decoder(self.offset, self.sigma)(outputs, center, scale)


def decoder_from_config(config: ConfigDict) -> Decoder:
    """From `config.codec`, `config.sigma` and `config.eval`."""
    test, udp = config.eval, config.codec == "udp"
    return Decoder(test.flip, test.decode, config.sigma, udp, test.udp_kernel)


def decoder_from_metadata(metadata: Mapping[str, Any]) -> Decoder:
    """With the flip test."""
    codec = metadata["codec"]
    if crops.codec_of(metadata) == "udp":
        return Decoder(sigma=codec["sigma"], udp=True, kernel=codec["kernel"])
    return Decoder(offset=codec["decode"], sigma=codec["sigma"])


def maps(outputs: Any, skeleton: Skeleton) -> tuple[np.ndarray, None]:
    """The heatmaps; there are no tags."""
    del skeleton
    return np.asarray(outputs), None


def decoder_for_estimate(decoder: Decoder, flip: bool) -> Decoder:
    """With or without the flip test."""
    return dataclasses.replace(decoder, flip=flip)


# ------------------------------------------------------------------------------- exported files


def metadata(config: ConfigDict, skeleton: Skeleton, num_outputs: int) -> dict[str, Any]:
    """How to get from an image and a box to keypoints.

    Crops are those of `jaxpose.geometry`: the aspect ratio of the box is fixed first, then the box
    is enlarged by `box_padding`. With the targets "udp", crops and decoding are those of
    `geometry.affine` and `codecs.topdown.decode` with `udp=True` and this kernel.
    """
    del skeleton, num_outputs
    udp = config.codec == "udp"
    codec: dict[str, Any] = {
        "name": "topdown",
        "targets": config.codec,
        "decode": "udp" if udp else config.eval.decode,
        "sigma": config.sigma,
        "flip_shift": not udp,
    }
    if udp:
        codec["kernel"] = config.eval.udp_kernel
    return {
        "box_padding": geometry.BOX_PADDING,
        "heatmap_stride": QUARTER,
        "codec": codec,
    }


def sample_decoding(input_size: Size, decoder: Decoder) -> tuple[str, Callable[[], object]]:
    """Decodes the pose of one person from random heatmaps."""
    import jax
    import jax.numpy as jnp

    decode = jax.jit(lambda maps, c, s: decoder.decode(maps, None, c, s, COCO))
    center, scale = (jnp.asarray(part)[None] for part in view((480, 640), input_size))
    height, width = map_size(input_size, QUARTER)
    maps = jnp.asarray(np.random.default_rng(0).random((1, height, width, COCO.num_joints)))
    refinement = "udp" if decoder.udp else decoder.offset
    return f"1 person, {refinement}", lambda: jax.block_until_ready(decode(maps, center, scale))
