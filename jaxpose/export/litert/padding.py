"""Padding, cropping and options of window operators.

LiteRT knows two paddings: VALID, none, and SAME, which puts the odd row or column of zeros at the
end. Where SAME is not the graph's padding, as at stride 2, a PAD comes first. XNNPACK merges it
into the convolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxpose.export.litert.program import Program, Value


def padded(
    program: Program,
    x: Value,
    window: Sequence[int],
    attrs: dict,
    dilation: Sequence[int],
    shape: Sequence[int],
    name: str,
    border: float = 0.0,
    same: bool = True,
) -> tuple[Value, str]:
    """The input of a window operator, and its LiteRT padding, for the graph's padding.

    Args:
      program: gets the operators.
      x: the input without padding.
      window: size of the window (height, width).
      attrs: `stride` and `padding` of the node.
      dilation: of the window.
      shape: of the result.
      name: of the result.
      border: value of the padding.
      same: whether SAME may be used.
    """
    before, after, matches = [], [], True
    for n, o, k, s, p, d in zip(
        x.shape[1:3], shape[1:3], window, attrs["stride"], attrs["padding"], dilation, strict=True
    ):
        total = max((o - 1) * s + (k - 1) * d + 1 - n, 0)  # that the windows reach
        matches &= total // 2 == p and o == -(-n // s)
        before.append(p)
        after.append(max(total - p, 0))
    if not any((*attrs["padding"], *after)):
        return x, "VALID"
    if matches and same:
        return x, "SAME"
    pads = np.zeros((4, 2), np.int32)
    pads[1:3] = np.transpose([before, after])
    larger = [n + int(p.sum()) for n, p in zip(x.shape, pads, strict=True)]
    inputs, kind = [x, program.integers(pads)], "PAD"
    if border:
        inputs.append(program.constant(np.array([border], np.float32), "lowest"))
        kind = "PADV2"
    return program.add(kind, inputs, larger, f"{name}/padded"), "VALID"


def crop(
    program: Program, x: Value, starts: Sequence[int], shape: Sequence[int], name: str
) -> Value:
    """A part of `x`; `x` itself if it has that shape."""
    if tuple(shape) == x.shape:
        return x
    inputs = [x, program.integers(starts), program.integers(shape)]
    return program.add("SLICE", inputs, shape, name)


def stride_options(attrs: dict) -> dict[str, int]:
    """Options for the `stride` of a node."""
    return {"strideH": attrs["stride"][0], "strideW": attrs["stride"][1]}


def dilation_options(dilation: Sequence[int]) -> dict[str, int]:
    """Options for a dilation (height, width)."""
    return {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
