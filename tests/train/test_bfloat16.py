"""Training in bfloat16 follows the training in float32, on generated people.

    python -m pytest -s tests/train/test_bfloat16.py

prints the figures of docs/measurements.md: mean losses and final AP of both, and of a second run
in float32 with another seed.
"""

import importlib
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from configs import check_topdown
from input_pipeline import generated
from jaxpose import ops, tables
from jaxpose.layers import BatchNorm, Conv, ConvNormAct, init
from tests.helpers.run_folders import lines

train = importlib.import_module("train")
STEPS, WINDOW = 400, 50
RUNS = {"float32": ("float32", 0), "bfloat16": ("bfloat16", 0), "float32, seed 1": ("float32", 1)}


class Funnel(nn.Module):
    """Strided convolutions down to 1/16, and back up to 1/4 by bilinear resizing and addition."""

    task = "topdown"
    input_size = (96, 64)

    num_keypoints: int
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    @nn.compact
    def __call__(self, x, train: bool = False):
        conv = partial(Conv, dtype=self.dtype)
        layer = partial(ConvNormAct, conv=conv, norm=partial(BatchNorm, axis_name=self.bn_axis))
        x = layer(16, 3, 2, name="half")(x.astype(self.dtype), train)
        levels = []
        for name, features in {"quarter": 32, "eighth": 64, "sixteenth": 128}.items():
            x = layer(features, 3, 2, name=name)(x, train)
            levels.append(x)
        for level in reversed(levels[:-1]):
            x = layer(level.shape[-1], name=f"to_{level.shape[-1]}")(x, train)
            x = level + ops.resize(x, size=level.shape[1:3])
            x = layer(level.shape[-1], 3, name=f"mix_{level.shape[-1]}")(x, train)
        final = Conv(self.num_keypoints, use_bias=True, kernel_init=init.normal_small, name="final")
        return final(x.astype(jnp.float32))


def settings(data, dtype, seed):
    config = check_topdown.get_config(f"{__name__}:Funnel")
    config.data.root, config.data.train_annotations = str(data), "train.json"
    config.update({
        "input_size": (96, 64), "dtype": dtype, "seed": seed, "batch_size": 8, "epochs": 100.0,
        "sigma": 1.5, "log_every": 10, "eval_every": 0.0, "checkpoint_every": STEPS,
        "max_bad_fraction": 0.1,
    })  # fmt: skip
    config.data.limit = 32
    config.optimizer.learning_rate = 3e-3
    config.eval.batch_size = 8
    config.eval.decode = "dark"
    return config


@pytest.mark.slow
def test_bfloat16_follows_float32(tmp_path):
    data = generated.ensure(tmp_path / "data", num_train=20, num_val=1)
    losses, scores = {}, {}
    for name, (dtype, seed) in RUNS.items():
        folder = tmp_path / name.replace(", ", "_").replace(" ", "")
        assert train.main(settings(data, dtype, seed), str(folder)) == 0
        log = lines(folder)
        every_ten = [line["loss"] for line in log if "loss" in line]
        assert len(every_ten) == STEPS // 10
        losses[name] = np.reshape(every_ten, (-1, WINDOW // 10)).mean(1)
        (scores[name],) = [line["eval/AP"] for line in log if "eval/AP" in line]
    rows = [["steps", *losses, "bfloat16 / float32"]]
    for part, (row, ratio) in enumerate(
        zip(np.stack(list(losses.values()), 1), losses["bfloat16"] / losses["float32"], strict=True)
    ):
        steps = f"{part * WINDOW}-{(part + 1) * WINDOW - 1}"
        rows.append([steps, *(f"{1000 * loss:.3f}e-3" for loss in row), f"{ratio:.4f}"])
    rows.append(["AP", *(f"{score:.3f}" for score in scores.values()), ""])
    print("\n" + tables.text(rows))

    assert losses["float32"][-1] < 0.3 * losses["float32"][0] and scores["float32"] > 0.8
    np.testing.assert_allclose(losses["bfloat16"], losses["float32"], rtol=0.05)
    assert abs(scores["bfloat16"] - scores["float32"]) < 0.03
