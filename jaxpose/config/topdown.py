"""Settings of top-down networks with heatmaps."""

from __future__ import annotations

from jaxpose.config import crops
from jaxpose.config.setting import Setting, with_defaults, with_settings

SETTINGS = with_settings(
    with_defaults(crops.CROPS, {"model": "hwl_mobilenetv3"}),
    Setting(
        "loss.name",
        "heatmap_weighting",
        "Loss of the heatmaps.",
        choices=("heatmap_weighting", "mse"),
    ),
    Setting(
        "loss.fn",
        "x",
        "Function F of heatmap_weighting; the weight is F(target) + 1.",
        choices=("none", "x", "2x", "x2", "exp"),
    ),
    Setting(
        "eval.decode",
        "quarter",
        "Refinement of peaks: by a quarter of a pixel, or by DARK (smoothed with sigma).",
        choices=("quarter", "dark"),
    ),
)

check = crops.check
