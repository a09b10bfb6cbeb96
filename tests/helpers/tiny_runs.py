"""A dataset of a dozen people, and settings that train on it within seconds."""

import json
import os
import pathlib
import subprocess
import sys
from functools import partial
from typing import Any

import cv2
import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from configs import common, rtmpose
from jaxpose import runs, skeletons
from jaxpose.config import flatten
from jaxpose.evaluation import command_line
from jaxpose.layers import BatchNorm, Conv, ConvNormAct

ROOT = pathlib.Path(__file__).resolve().parents[2]


def write_people(folder: pathlib.Path, people: int = 12, each: int = 1) -> pathlib.Path:
    """Draws `each` people per image: colored discs at the joints, in COCO keypoint format."""
    random = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for person in range(people):
        number = person // each
        if person % each == 0:
            image = random.integers(0, 80, (96, 80, 3), np.uint8)
            images.append({"id": number, "file_name": f"{number}.png", "height": 96, "width": 80})
        joints = random.uniform((15, 15), (65, 80), (17, 2))
        for k, (x, y) in enumerate(joints):
            color = (80 + 10 * k, 250 - 10 * k, 60 * (k % 4))
            cv2.circle(image, (round(x), round(y)), 3, color, -1)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), image)
        keypoints = np.concatenate([joints, np.full((17, 1), 2)], axis=1).ravel().tolist()
        annotations.append({
            "id": 100 + person, "image_id": number, "category_id": 1, "bbox": [10, 10, 60, 75],
            "area": 3000, "iscrowd": 0, "num_keypoints": 17, "keypoints": keypoints,
        })  # fmt: skip
    category = {
        "id": 1, "name": "person", "keypoints": list(skeletons.COCO.joints),
        "skeleton": [[a + 1, b + 1] for a, b in skeletons.COCO.limbs],
    }  # fmt: skip
    content = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "people.json").write_text(json.dumps(content))
    return folder


def config(data: pathlib.Path, **changes):
    """Settings of a run of 6 steps: 12 people, batch 4, 2 epochs, 64x64 pixels."""
    return _tiny(common.get_config(), data, changes)


def crowd_config(data: pathlib.Path, **changes):
    """The same for `TinyPose`, with 12 images."""
    changes = {"model": "tests.helpers.tiny_runs:TinyPose", "max_people": 3} | changes
    return _tiny(common.bottomup(), data, changes)


def simcc_config(data: pathlib.Path, **changes):
    """The same for `TinySimCC`, with the augmentation and the optimizer of RTMPose's recipe."""
    changes = {
        "model": "tests.helpers.tiny_runs:TinySimCC",
        "augment.last.epochs": 1.0,
        "optimizer.decay_also": (),
        "data.detections": "",
    } | changes
    return _tiny(rtmpose.get_config(), data, changes)


def fields_config(data: pathlib.Path, **changes):
    """The same for `TinyFields`."""
    changes = {"model": "tests.helpers.tiny_runs:TinyFields", "max_people": 3} | changes
    return _tiny(common.part_affinity(), data, changes)


def _tiny(made, data: pathlib.Path, changes: dict):
    made.update({
        "input_size": (64, 64), "batch_size": 4, "epochs": 2.0, "log_every": 2, "eval_every": 1.0,
        "max_bad_fraction": 0.1,
    })  # fmt: skip
    made.eval.batch_size = 4
    made.schedule.warmup_steps = 2
    made.data.root = str(data)
    for split in ("train", "val"):
        made.data[f"{split}_annotations"] = "people.json"
        made.data[f"{split}_images"] = "images"
    made.update_from_flattened_dict(changes)
    return made


def flags(config) -> list[str]:
    """Returns the command-line flags of the settings that differ from the defaults.

    With SimCC, they are those that differ from RTMPose's recipe.
    """
    bases = {"associative_embedding": common.bottomup, "simcc": rtmpose.get_config}
    before = flatten(bases.get(config.task, common.get_config)())
    return [
        f"--config.{key}={value}"
        for key, value in flatten(config).items()
        if key != "model_options" and value != before[key]
    ]


def source_of(folder, **changes):
    """(settings, source) as the command line makes them from --workdir."""
    run = runs.read_run(folder)
    config = run.config.copy_and_resolve_references()
    config.update_from_flattened_dict(changes)
    return config, command_line.Source(str(run.path), folder, run=run)


def _stem(network: nn.Module, x, train: bool):
    """Two layers of convolution, batch norm and ReLU: maps at 1/2 and 1/4 of the input."""
    layer = partial(
        ConvNormAct, act="relu", conv=partial(Conv, dtype=network.dtype),
        norm=partial(BatchNorm, axis_name=network.bn_axis),
    )  # fmt: skip
    half = layer(16, 5, 2, name="half")(x.astype(network.dtype), train)
    return half, layer(24, 5, 2, name="quarter")(half, train)


class TinyPose(nn.Module):
    """A bottom-up network of four layers, which compiles in a second."""

    task = "associative_embedding"
    input_size = (64, 64)

    num_keypoints: int
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    @nn.compact
    def __call__(self, x, train: bool = False):
        half, quarter = _stem(self, x, train)
        low = Conv(2 * self.num_keypoints, name="final_0")(quarter)
        high = Conv(self.num_keypoints, name="final_1")(half)
        return low.astype(jnp.float32), high.astype(jnp.float32)


class TinyHeatmaps(nn.Module):
    """A top-down network of three layers."""

    task = "topdown"
    input_size = (64, 64)

    num_keypoints: int
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    @nn.compact
    def __call__(self, x, train: bool = False):
        _, quarter = _stem(self, x, train)
        return Conv(self.num_keypoints, name="final")(quarter).astype(jnp.float32)


class TinySimCC(nn.Module):
    """Two vectors per keypoint, from the means of heatmaps over rows and columns."""

    task = "simcc"
    input_size = (64, 64)

    num_keypoints: int
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    @nn.compact
    def __call__(self, x, train: bool = False):
        height, width = x.shape[1:3]
        _, quarter = _stem(self, x, train)
        maps = Conv(self.num_keypoints, name="final")(quarter).astype(jnp.float32)
        along_x = nn.Dense(2 * width, name="x")(maps.mean(1).transpose(0, 2, 1))
        along_y = nn.Dense(2 * height, name="y")(maps.mean(2).transpose(0, 2, 1))
        return along_x, along_y


class TinyFields(nn.Module):
    """Heatmaps and part affinity fields from three layers."""

    task = "part_affinity"
    input_size = (64, 64)

    num_keypoints: int
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    @nn.compact
    def __call__(self, x, train: bool = False):
        norm = partial(BatchNorm, axis_name=self.bn_axis)
        x = ConvNormAct(16, 9, 8, act="relu", conv=Conv, norm=norm, name="eighth")(x, train)
        heatmaps = Conv(self.num_keypoints + 1, name="heatmaps")(x)
        return heatmaps, Conv(38, name="fields")(x)


def command(program: str, *arguments: str) -> list[str]:
    """Command line of train.py or eval.py."""
    return [sys.executable, str(ROOT / program), *arguments]


def environment(devices: int = 1) -> dict[str, str]:
    """Returns the environment of a process with simulated CPU devices."""
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}",
    }


def run(*arguments: str, program: str = "train.py", devices: int = 1, **options):
    """Runs a program to its end; output is captured as text."""
    return subprocess.run(
        command(program, *arguments), env=environment(devices), cwd=ROOT, capture_output=True,
        text=True, timeout=600, **options,
    )  # fmt: skip
