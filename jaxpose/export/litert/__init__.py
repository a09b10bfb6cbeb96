"""The export graph as a LiteRT (TensorFlow Lite) file, in the layout NHWC.

`builder` translates the graph to a `Program`, `gate` checks it against the GPU delegate, and
`schema` writes it. Only `flatbuffers` and the schema module of `ai_edge_litert` are needed, and
only by `schema`.
"""

from __future__ import annotations

from typing import Any

from jaxpose.export.graph import Graph
from jaxpose.export.litert.builder import translate
from jaxpose.export.litert.gate import check_gpu
from jaxpose.export.litert.schema import to_bytes

__all__ = ["build", "check_gpu", "translate"]


def build(
    graph: Graph,
    metadata: dict[str, Any],
    *,
    half: bool = False,
    copy_outputs: bool = False,
    names: bool = True,
) -> bytes:
    """The contents of a .tflite file: `image` float32 [1,H,W,3] -> `heatmaps` [1,h,w,K].

    Args:
      graph: the network.
      metadata: JSON values.
      half: store kernels as float16.
      copy_outputs: copy outputs that operators read too (`Program.copy_outputs`).
      names: store the names of all values (`schema.to_bytes`).

    Raises:
      ExportError: a node has no LiteRT equivalent, or the GPU delegate does not take it.
    """
    program = translate(graph, half=half)
    if copy_outputs:
        program.copy_outputs()
    check_gpu(program)
    return to_bytes(program, metadata, names=names)
