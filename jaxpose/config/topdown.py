"""Settings of top-down networks with heatmaps."""

from __future__ import annotations

from ml_collections import ConfigDict

from jaxpose.config import crops
from jaxpose.config.setting import ConfigError, Setting, with_defaults, with_settings

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
        "With codec=gaussian: refine peaks by a quarter of a pixel, or with DARK (smoothed with "
        "sigma).",
        choices=("quarter", "dark"),
    ),
    Setting(
        "eval.udp_kernel",
        11,
        "With codec=udp: width of the smoothing kernel, odd; use 17 for mmpose 0.x weights at "
        "384x288.",
        "heatmap pixels",
        minimum=3,
    ),
)


def check(config: ConfigDict) -> None:
    """Checks rules between settings; raises ConfigError for the first that is broken."""
    crops.check(config)
    if config.codec == "udp" and config.eval.decode != "quarter":
        raise ConfigError(
            f"config.eval.decode={config.eval.decode} works only with config.codec=gaussian; "
            "config.codec=udp has its own refinement: use --config.eval.decode=quarter"
        )
    kernel = config.eval.udp_kernel
    if kernel % 2 == 0:
        raise ConfigError(
            f"config.eval.udp_kernel={kernel} must be odd; the nearest is {kernel + 1}"
        )
