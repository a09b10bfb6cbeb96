"""Generates images of people and writes them as an ordinary dataset in COCO keypoint format.

Bodies of tapered limbs with texture and shading, in everyday poses, stand in cluttered scenes. Only
whether a person shows the face or the back tells left from right. `ensure` writes images of few
people, `ensure_crowds` images of groups. The data allows training on any machine; results on it say
nothing about photographs.
"""

from input_pipeline.generated.dataset import ensure, ensure_crowds
from input_pipeline.generated.parameters import Crowds, Parameters

__all__ = ["Crowds", "Parameters", "ensure", "ensure_crowds"]
