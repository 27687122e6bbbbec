"""Estimates of the work that a graph takes: floating point operations, and bytes read and written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Graph, Node, Value
from kcompile.ir.dims import Dim, Size, names_in, substitute


@dataclass(frozen=True, slots=True)
class Work:
    """Floating point operations (a multiplication and an addition count as two) and bytes moved."""

    flops: int = 0
    bytes: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.bytes + other.bytes)


def work_of_graph(graph: Graph, sizes: Mapping[str, int] | None = None) -> Work:
    """The work of one execution.

    Args:
        graph: any graph. Regions count once.
        sizes: the symbolic sizes; those not given count as 1.
    """
    nodes = graph.nodes()
    inside = (work_of_graph(region, sizes) for node in nodes for region in node.op.regions)
    return sum_of_work(work_of_node(node, sizes) for node in nodes) + sum_of_work(inside)


def sum_of_work(parts: Iterable[Work]) -> Work:
    """The work of all parts."""
    flops = moved = 0
    for part in parts:
        flops += part.flops
        moved += part.bytes
    return Work(flops, moved)


def work_of_node(node: Node, sizes: Mapping[str, int] | None = None) -> Work:
    """The work of one node; constants, variables, inputs and reshapes are free."""
    if node.op.free:
        return Work()
    size = known(sizes or {})
    values = [*node.inputs, *node.outputs]
    moved = sum(value.type.elements(size) * np.dtype(value.dtype).itemsize for value in values)
    return Work(node.op.flops(node, size), moved)


def known(sizes: Mapping[str, int], otherwise: int = 1) -> Size:
    """What sizes count as, where names of symbolic ones are given; those that are not count as ``otherwise``."""

    def size(dim: Dim) -> int:
        if isinstance(dim, int):
            return dim
        result = substitute(dim, {name: sizes.get(name, otherwise) for name in names_in(dim)})
        assert isinstance(result, int)
        return max(result, 0)

    return size


def elements(value: Value, sizes: Mapping[str, int], otherwise: int = 1) -> int:
    """The number of elements of ``value``; symbolic sizes that are not given count as ``otherwise``."""
    return value.type.elements(known(sizes, otherwise))
