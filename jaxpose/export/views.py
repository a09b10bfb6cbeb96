"""Chains of reshapes and transposes of the export graph, as few of them as possible.

A chain only moves elements. Each of its axes is a product of factors that stay together. So a chain
is at most a reshape to these factors, one transpose of them, and a reshape to the final shape.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxpose.export.graph import Graph, Node, Tensor, count_readers

_VIEWS = ("reshape", "transpose")


def merge_views(graph: Graph) -> Graph:
    """Writes each chain of reshapes and transposes in its shortest form.

    A chain that swaps groups of channels becomes a `channel_shuffle`.
    """
    readers = count_readers(graph)
    chains: dict[str, list[Node]] = {}  # by the tensor that the chain writes
    nodes: list[Node] = []
    for node in graph.nodes:
        x, out = node.inputs[0], node.outputs[0]
        if node.op not in _VIEWS or not isinstance(x, Tensor):
            nodes.append(node)
            continue
        before = chains.pop(x.name, []) if readers[x.name] == 1 else []
        chains[out.name] = [*before, node]
        nodes.append(node)
    for chain in chains.values():
        shorter = _shortest(chain) if len(chain) > 1 else None
        if shorter is not None and _cost(shorter) < _cost(chain):
            ids = {id(node) for node in chain}
            position = next(i for i, node in enumerate(nodes) if node is chain[-1])
            nodes[position : position + 1] = [*shorter, chain[-1]]
            nodes = [node for node in nodes if id(node) not in ids]
    return Graph(graph.input, graph.outputs, nodes)


def _cost(chain: Sequence[Node]) -> tuple[int, int]:
    """Number of transposes, then of nodes."""
    return sum(node.op != "reshape" for node in chain), len(chain)


def _shortest(chain: Sequence[Node]) -> list[Node] | None:
    """The chain in another form with the same result; None if its factors are not clear.

    The batch axis is first in every shape and stays out of the calculation.
    """
    source, out, module = chain[0].inputs[0], chain[-1].outputs[0], chain[-1].module
    assert isinstance(source, Tensor)
    # The factors of each axis, innermost last: numbers that identify them, and their sizes.
    size: dict[int, int] = dict(enumerate(source.shape[1:]))
    order = list(size)  # the factors in the order of the source
    axes = [[i] for i in order]
    for node in chain:
        if node.op == "transpose":
            perm = node.attrs["perm"]
            if perm[0] != 0:
                return None
            axes = [axes[p - 1] for p in perm[1:]]
            continue
        flat = [i for axis in axes for i in axis if size[i] != 1]
        axes = []
        for length in node.outputs[0].shape[1:]:
            axis: list[int] = []
            while length > 1:
                if not flat:
                    return None
                first = flat.pop(0)
                if length % size[first]:  # the axis ends within this factor
                    if size[first] % length:
                        return None
                    rest = len(size)
                    size[rest], size[first] = size[first] // length, length
                    order.insert(order.index(first) + 1, rest)
                    flat.insert(0, rest)
                axis.append(first)
                length //= size[first]
            axes.append(axis)
        if flat:
            return None
    final = [i for axis in axes for i in axis if size[i] != 1]
    blocks = _blocks([i for i in order if size[i] != 1], final)
    sizes = [_product(size[i] for i in block) for block in blocks]
    perm = [blocks.index(block) for block in sorted(blocks, key=lambda b: final.index(b[0]))]
    return _written(source, out, module, sizes, perm)


def _blocks(order: list[int], final: list[int]) -> list[list[int]]:
    """Factors that are neighbors before and after, joined; in the order of the source."""
    blocks: list[list[int]] = []
    for i in order:
        if blocks and final.index(i) == final.index(blocks[-1][-1]) + 1:
            blocks[-1].append(i)
        else:
            blocks.append([i])
    return blocks


def _product(values) -> int:
    result = 1
    for value in values:
        result *= value
    return result


def _written(
    source: Tensor, out: Tensor, module: str, sizes: list[int], perm: list[int]
) -> list[Node] | None:
    """The nodes that reshape to `sizes`, permute these axes and reshape to the shape of `out`."""
    batch = source.shape[0]
    if perm == sorted(perm):
        return [Node("reshape", (source,), (out,), {}, module)]
    if source.shape == out.shape and len(out.shape) == 4:
        spatial = out.shape[2] * out.shape[3]
        # [groups, channels / groups, pixels], the first two swapped
        if sizes[2:] == ([spatial] if spatial > 1 else []) and perm == [1, 0, 2][: len(sizes)]:
            return [Node("channel_shuffle", (source,), (out,), {"groups": sizes[0]}, module)]
    nodes, x = [], source
    if source.shape[1:] != tuple(sizes):
        split = Tensor(f"{out.name}/factors", (batch, *sizes))
        nodes.append(Node("reshape", (x,), (split,), {}, module))
        x = split
    swapped = (batch, *(sizes[p] for p in perm))
    attrs = {"perm": (0, *(p + 1 for p in perm))}
    if swapped == out.shape:
        return [*nodes, Node("transpose", (x,), (out,), attrs, module)]
    moved = Tensor(f"{out.name}/swapped", swapped)
    return [
        *nodes,
        Node("transpose", (x,), (moved,), attrs, module),
        Node("reshape", (moved,), (out,), {}, module),
    ]
