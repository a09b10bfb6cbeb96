"""The RTMPose-t of the golden files."""

import gzip
import json

import numpy as np

from jaxpose import convert
from tests.helpers import recipe


def shapes(golden):
    """Case, e.g. "rtmpose_m@384x288" -> {key: shape} of its public checkpoint."""
    return json.loads(gzip.decompress((golden / "torch_keys_rtmpose.json.gz").read_bytes()))


def released(golden):
    """The stored outputs at 128x96, and the variables that they were computed with.

    The variables come from a state_dict in the public naming.
    """
    case = json.loads((golden / "forward_rtmpose_t.json").read_text())
    state = recipe.state_dict(shapes(golden)["rtmpose_t@128x96"], case["gain"])
    for key, factor in case["factor"].items():  # else attention would be too weak to see
        state[key] = state[key] * np.float32(factor)
    return case, convert.from_torch("rtmpose_t", state)
