"""Estimates the poses of the people in images: `PoseEstimator` in Python, or `jaxpose predict`.

    from jaxpose import PoseEstimator
    estimator = PoseEstimator("runs/demo/run")     # a run folder or an exported file
    poses = estimator(image)                       # uint8 RGB [H, W, 3]
    poses.keypoints, poses.scores                  # [N, K, 2] in pixels, [N, K]

A bottom-up network finds the people itself. A top-down network needs their boxes [N, 4] as
(x, y, w, h): `estimator(image, boxes)`. The boxes can come from a bottom-up network:
`jaxpose.predict.boxes.around(bottomup(image))`.
"""

import warnings
from typing import Any

from jaxpose.poses import Poses
from jaxpose.predict.estimator import PoseEstimator

__all__ = ["Pose", "PoseEstimator", "Poses"]


def __getattr__(name: str) -> Any:
    if name == "Pose":
        message = "jaxpose.predict.Pose is now jaxpose.PoseEstimator"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return PoseEstimator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
