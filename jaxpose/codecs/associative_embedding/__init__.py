"""Bottom-up codec: all people of an image at once, told apart by tags (associative embedding).

Newell, Huang and Deng, "Associative Embedding: End-to-End Learning for Joint Detection and
Grouping", NIPS 2017, with the arithmetic of the public HigherHRNet code, which LitePose shares and
to which the published scores belong.

`encode_batch` makes the training targets. At test time the network's outputs go through `aggregate`
(both resolutions, mirrored image) and `combine_scales`; `candidates` finds peaks, and `group`
builds people from them with numpy. `find` does all but the last step for a batch; `decode` does the
last two for one image. `find` runs on the device for jax arrays and on the host for numpy arrays
(see `jaxpose.codecs.arrays`). Positions are on the grid of the maps, which `aggregate` resizes to
the network's input; `geometry.heatmap_to_image` converts them to image pixels.
"""

from jaxpose.codecs.associative_embedding.aggregation import aggregate, combine_scales, find
from jaxpose.codecs.associative_embedding.candidates import Candidates, Grouping, candidates
from jaxpose.codecs.associative_embedding.grouping import decode, group
from jaxpose.codecs.associative_embedding.targets import encode, encode_batch, ignore_mask

__all__ = [
    "Candidates",
    "Grouping",
    "aggregate",
    "candidates",
    "combine_scales",
    "decode",
    "encode",
    "encode_batch",
    "find",
    "group",
    "ignore_mask",
]
