"""Updates of large variables run part by part, so that what passes between kernels stays in the cache.

The elementwise chain that computes a new weight and its optimizer slots takes about ten kernels. On a whole large
matrix each of them reads its operands from memory and writes its result there; on a part of it they find them in the
second-level cache. The parts are windows on the state, which is not copied.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from kcompile.ir import costs
from kcompile.ir.core import Graph, Op, Value, Variable, apply, scope
from kcompile.ir.ops.arrays.shaping import slice_axes
from kcompile.ir.ops.arrays.variable_part import part_of
from kcompile.ir.ops.products.linalg import MatMul
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import count_uses
from kcompile.passes.updates.group_updates import Chain, update_chains
from kcompile.passes.updates.sparse_updates import find_sparse_steps


def split_updates(graph: Graph) -> Graph:
    """Run the elementwise updates of large variables on some rows after the other."""
    updates = dict(graph.updates)
    uses = count_uses(graph)
    for chain in update_chains(graph):
        height = _part_height(chain)
        if height:
            for variable in chain.updated:
                del updates[variable]
            with scope("split_updates"):
                updates.update(_in_parts(chain, height, uses))
            fired("updates run in parts")
    return Graph(graph.inputs, graph.outputs, updates, graph.name)


def _part_height(chain: Chain) -> int:
    """The rows of a part; 0: the chain is not worth splitting."""
    size = math.prod(chain.shape)
    if size < costs.SPLIT_UPDATES or chain.computations < costs.SPLIT_STEPS:
        return 0
    width = size // chain.shape[0]
    height = max(costs.PART_OF_UPDATE // width // costs.ALIGNED_ROWS, 1) * costs.ALIGNED_ROWS
    return height if 2 * height <= chain.shape[0] else 0


def _in_parts(chain: Chain, height: int, uses: dict[Value, int]) -> Iterator[tuple[Variable, Value]]:
    """The update of each part."""
    rows = chain.shape[0]
    starts = list(range(0, rows, height))
    sparse = find_sparse_steps(chain, starts, uses)
    for part, start in enumerate(starts):
        stop = min(start + height, rows)
        leaves = iter(chain.leaves)
        values: dict[int, Value] = {}
        for number, step in enumerate(chain.steps):
            leaf = next(leaves) if step is None else None
            if sparse is not None and number in sparse.rows:
                continue
            if step is None:
                assert leaf is not None
                values[number] = _rows(leaf, start, stop)
                continue
            op, operands = step
            added = None if sparse is None else sparse.added(op, operands, values, part)
            values[number] = added or apply(op, *(values[x] if isinstance(x, int) else x for x in operands))
        for variable, number in zip(chain.updated, chain.results, strict=True):
            yield part_of(variable, start, stop), values[number]


def _rows(value: Value, start: int, stop: int) -> Value:
    """Some rows of a leaf; of a matrix product, the product of some rows."""
    op: Op = value.op
    if isinstance(op, Variable):
        return apply(part_of(op, start, stop))
    if isinstance(op, MatMul) and value.rank == 2:
        x, y = value.node.inputs
        return apply(op, slice_axes(x, (1 if op.transpose_x else 0,), (start,), (stop,)), y)
    return slice_axes(value, (0,), (start,), (stop,))
