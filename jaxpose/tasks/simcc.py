"""Top-down with SimCC: the coordinates of a keypoint as two classifications, one per axis.

A network returns two arrays, x [B, K, 2W] and y [B, K, 2H]. The networks of the library are
RTMPose's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import jaxpose.config.simcc
from jaxpose import codecs, geometry
from jaxpose.skeletons import COCO, Skeleton
from jaxpose.tasks import crops, torch_losses
from jaxpose.tasks.agreement import FP32, MismatchError, Tolerance
from jaxpose.tasks.objective import QUARTER, check_outputs, forward, simcc_sigma
from jaxpose.tasks.protocol import DeviceBatch, FileDecoding, Objective, Size, Tree

if TYPE_CHECKING:
    import flax.linen as nn
    import jax
    from ml_collections import ConfigDict

NAME = "simcc"
TITLE = "Top-down, SimCC"
COUNTS = "people"
EXAMPLE = "crop"
INPUT_STEP = 32
SIZINGS: tuple[str, ...] = ("fixed",)
RECIPE = "configs/custom_topdown.py:rtmpose_s"
SETTINGS = jaxpose.config.simcc.SETTINGS
BENCHMARK: Mapping[str, Any] = {}
LIKE: tuple[str, ...] = ("mmdeploy",)


def _in_pixels(outputs: Any) -> tuple[Any, Any]:
    """Keypoints [B, K, 2] in pixels of the crop and scores [B, K] from both vectors."""
    places, scores = codecs.simcc.locate(*outputs)
    return places / codecs.simcc.SPLIT_RATIO, scores


FILE_DECODING: FileDecoding | None = FileDecoding(_in_pixels, ("keypoints", "scores"))

check_skeleton = crops.check_skeleton
network_keypoints = crops.network_keypoints
check_settings = jaxpose.config.simcc.check
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
sample_batch = crops.sample_batch
torch_loss = torch_losses.simcc


# ------------------------------------------------------------------------------------- training


def make_objective(model: nn.Module, config: ConfigDict) -> Objective:
    """The KL divergence of both vectors, as a mean over the batch.

    RTMPose's code adds the losses of the people of a batch instead of averaging them. AdamW, with
    which it trains, takes the same steps for both, except where a gradient is so small that
    `optimizer.eps` matters.

    The batch holds `image` uint8 [B, H, W, 3] and `keypoints` float32 [B, K, 3] (x, y, visible) in
    pixels of the crop.
    """
    from jaxpose import losses

    size, sigma, beta = tuple(config.input_size), simcc_sigma(config), config.loss.beta
    freeze = config.freeze

    def loss(params: Tree, batch_stats: Tree, batch: DeviceBatch, key: jax.Array | None = None):
        outputs, batch_stats = forward(model, params, batch_stats, batch["image"], key, freeze)
        x, y, weights = codecs.simcc.encode_batch(batch["keypoints"], size, sigma)
        check_outputs(model, outputs, x=x.shape, y=y.shape)
        pred_x, pred_y = outputs
        value = losses.simcc_kl(pred_x, pred_y, x, y, weights, beta) / len(weights)
        return value, (batch_stats, {})

    return Objective(loss, (), ("image", "keypoints"))


def describe_loss(config: ConfigDict) -> str:
    """The divergence with its factor."""
    return f"KL divergence of SimCC vectors (beta {config.loss.beta:g})"


# ----------------------------------------------------------------------------------- prediction


@dataclasses.dataclass(frozen=True)
class Decoder:
    """How two vectors per keypoint become a pose.

    Attributes:
      flip: whether to average with the vectors of the mirrored crop.
      udp: always False; crops are not those of UDP.
      input_size: (H, W) of the network; needed only for the outputs of files that decode.
      decoded: whether the network is a file that decodes.
    """

    flip: bool = True
    udp: bool = False
    input_size: Size | None = None
    decoded: bool = False

    def decode(
        self, outputs: Any, mirrored: Any, center: Any, scale: Any, skeleton: Skeleton
    ) -> tuple[Any, Any]:
        """See `crops.CropDecoder`; outputs are x [B, K, n] and y [B, K, m].

        Those of a file that decodes are keypoints [B, K, 2] and scores [B, K]; there is no mirrored
        image then.
        """
        x, y = outputs
        if _decoded(outputs):
            assert mirrored is None and self.input_size is not None
            return codecs.simcc.in_image(x, self.input_size[::-1], center, scale), y
        if mirrored is not None:
            other_x, other_y = mirrored
            back_x, back_y = codecs.simcc.flip_back(other_x, other_y, skeleton.flip_pairs)
            x, y = (x + back_x) / 2, (y + back_y) / 2
        return codecs.simcc.decode(x, y, center, scale)


def _decoded(outputs: Any) -> bool:
    """Whether these are keypoints and scores, not two vectors per keypoint."""
    return np.ndim(outputs[1]) == 2


def decoder_from_config(config: ConfigDict) -> Decoder:
    """From `config.eval.flip`."""
    return Decoder(config.eval.flip, input_size=tuple(config.input_size))


def decoder_from_metadata(metadata: Mapping[str, Any]) -> Decoder:
    """With the flip test, unless the file decodes."""
    height, width = metadata["input_size"]
    decoded = metadata.get("decoded", False)
    return Decoder(not decoded, input_size=(height, width), decoded=decoded)


def decoder_for_estimate(decoder: Decoder, flip: bool) -> Decoder:
    """With or without the flip test."""
    return dataclasses.replace(decoder, flip=flip)


def maps(outputs: Any, skeleton: Skeleton) -> tuple[np.ndarray, None]:
    """Heatmaps of a quarter of the input's size, from both vectors; there are no tags.

    Raises:
      ValueError: the outputs are those of a file that decodes.
    """
    del skeleton
    if _decoded(outputs):
        raise ValueError(
            "the file returns keypoints, not the vectors that heatmaps are drawn from: export it "
            "without --decode"
        )
    x, y = (np.asarray(output) for output in outputs)
    group = int(QUARTER * codecs.simcc.SPLIT_RATIO)
    return np.asarray(codecs.simcc.heatmaps(x, y, group)), None


# ------------------------------------------------------------------------------- exported files


def metadata(config: ConfigDict, skeleton: Skeleton, num_outputs: int) -> dict[str, Any]:
    """How to get from an image and a box to keypoints.

    Crops are those of `jaxpose.geometry`: the aspect ratio of the box is fixed first, then the box
    is enlarged by `box_padding`. The two outputs are decoded by `codecs.simcc.decode`.
    """
    del skeleton, num_outputs
    return {
        "box_padding": geometry.BOX_PADDING,
        "outputs": [{"name": "simcc_x"}, {"name": "simcc_y"}],
        "codec": {
            "name": NAME,
            "split_ratio": codecs.simcc.SPLIT_RATIO,
            "sigma": list(simcc_sigma(config)),
        },
    }


def fit_settings(config: ConfigDict, metadata: Mapping[str, Any], source: str) -> str:
    """Checks the input size; without flip test if the file decodes. See `Task.fit_settings`."""
    crops.check_size(config, metadata, source)
    if not (metadata.get("decoded") and config.eval.flip):
        return ""
    config.eval.flip = False
    return "no flip test: the file returns keypoints, whose vectors cannot be averaged"


def compare(
    expected: Any,
    actual: Any,
    input_size: Size,
    decoder: Decoder,
    skeleton: Skeleton,
    tolerance: Tolerance = FP32,
) -> crops.CropAgreement:
    """Differences between two pairs of outputs and the keypoints decoded from them.

    A file that decodes is compared by its keypoints and scores.

    Raises:
      MismatchError: not two outputs, or outputs of different shapes.
    """
    shapes = [[np.shape(output) for output in outputs] for outputs in (expected, actual)]
    count, people = len(shapes[0]), shapes[0][0][:2]
    decoded = shapes[1] == [(*people, 2), people]
    if count != 2 or not (decoded or shapes[0] == shapes[1]):
        raise MismatchError(
            f"the file returns outputs of shape {shapes[1]}, the model {shapes[0]}: expected x and "
            "y of each keypoint"
        )
    decoder = dataclasses.replace(decoder, input_size=input_size)
    values = None
    if decoded:
        values = (np.asarray(codecs.simcc.locate(*expected)[1]),), (np.asarray(actual[1]),)

    def ties(noise: float, *_: Any) -> np.ndarray:
        if decoded:  # the error of the vectors is not known, only what it may be
            noise = FP32.heatmap * max(float(np.abs(output).max()) for output in expected)
        return np.any([crops.equal_maxima(output, noise) for output in expected], axis=0)

    return crops.compare_poses(
        expected,
        actual,
        input_size,
        lambda outputs, center, scale: decoder.decode(outputs, None, center, scale, skeleton),
        ties,
        tolerance,
        "scores" if decoded else "outputs",
        values,
    )


def sample_decoding(input_size: Size, decoder: Decoder) -> tuple[str, Callable[[], object]]:
    """Decodes the pose of one person from random vectors, or from the keypoints of a file."""
    import jax
    import jax.numpy as jnp

    decode = jax.jit(lambda outputs, c, s: decoder.decode(outputs, None, c, s, COCO))
    center, scale = (jnp.asarray(part)[None] for part in view((480, 640), input_size))
    random = np.random.default_rng(0)
    people = (1, COCO.num_joints)
    shapes: list[tuple[int, ...]] = [(*people, count) for count in codecs.simcc.bins(input_size)]
    if decoder.decoded:
        shapes = [(*people, 2), people]
    outputs = tuple(jnp.asarray(random.random(shape)) for shape in shapes)
    kind = "keypoints" if decoder.decoded else "SimCC"
    return f"1 person, {kind}", lambda: jax.block_until_ready(decode(outputs, center, scale))
