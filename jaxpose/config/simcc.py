"""Settings of top-down networks with SimCC: the coordinates as two classifications."""

from __future__ import annotations

from ml_collections import ConfigDict

from jaxpose.config import crops
from jaxpose.config.setting import ConfigError, Setting, with_defaults, with_settings, without

SETTINGS = with_settings(
    with_defaults(without(crops.CROPS, "codec"), {"model": "rtmpose_s"}),
    Setting(
        "sigma",
        (),
        "Standard deviations (x, y) of the Gaussian targets; empty: those of RTMPose for the size.",
        "bins",
    ),
    Setting(
        "loss.beta",
        10.0,
        "Factor of outputs and targets before their softmax.",
        above=0,
    ),
)


def check(config: ConfigDict) -> None:
    """Checks rules between settings; raises ConfigError for the first that is broken."""
    crops.check(config)
    sigma = tuple(config.sigma)
    numbers = all(isinstance(part, int | float) and 0 < part < float("inf") for part in sigma)
    if sigma and (len(sigma) != 2 or not numbers):
        raise ConfigError(
            f"config.sigma={sigma} must be two numbers greater than 0, for x and y, or () for "
            "those of RTMPose"
        )
