"""Poses of the people in pictures: four lines of Python, or `jaxpose predict`.

from jaxpose.predict import Pose
pose = Pose("runs/demo/run")              # a run folder, a .onnx or a .pt2 file
people = pose(image)                      # uint8 RGB [H, W, 3]
people.keypoints, people.scores           # [N, K, 2] in pixels, [N, K]

A bottom-up network finds the people itself; a top-down one is told where they are:
`pose(image, boxes)`, boxes [N, 4] as (x, y, w, h), for instance those of the people that a
bottom-up network found: `boxes.around(finder(image))`.
"""

from jaxpose.predict.people import People
from jaxpose.predict.pose import Pose

__all__ = ["People", "Pose"]
