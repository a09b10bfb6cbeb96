"""Public checkpoints by name: the table of them, and their download into a cache.

    checkpoint = weights.find("higher_hrnet_w32-coco-640x640", weights.load_table())
    file = weights.fetch(checkpoint)

`jaxpose weights` lists the table, `jaxpose import NAME` makes a run folder of a checkpoint.
"""

from jaxpose.weights.checkpoint import HEATMAP_CODECS, Checkpoint
from jaxpose.weights.download import DownloadError, fetch, find_file, verify
from jaxpose.weights.table import find, load_table

__all__ = [
    "HEATMAP_CODECS",
    "Checkpoint",
    "DownloadError",
    "fetch",
    "find",
    "find_file",
    "load_table",
    "verify",
]
