"""Bottom-up codec: all people of a picture at once, told apart by tags (associative embedding).

Newell, Huang and Deng, "Associative Embedding: End-to-End Learning for Joint Detection and
Grouping", NIPS 2017, with the arithmetic of the public HigherHRNet code, which LitePose shares and
to which the published scores belong.

The way of a picture: `encode_batch` makes the targets of training (on the device); at test the
network's outputs go through `aggregate` (both resolutions, the mirror image) and `combine_scales`,
then `candidates` (peaks, on the device) and `group` (people, on the host). `find` is all of that on
the device; `decode` is the last two for one picture. Positions are on the grid of the maps, which
`aggregate` brings to the size of the network's input; `geometry.heatmap_to_image` leads on to the
picture.
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
