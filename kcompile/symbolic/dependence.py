"""What a tensor is computed from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kcompile import ir
from kcompile.symbolic.tensor import Tensor


def input_leaves(x: Tensor) -> list[ir.Value]:
    """The inputs, of whatever model, that ``x`` depends on."""
    return [node.outputs[0] for node in ir.toposort([x.value]) if isinstance(node.op, ir.Input)]


def reached(found: Sequence[Tensor], start: Iterable[Tensor]) -> list[bool]:
    """For each of the tensors, whether it depends on one of ``start``."""
    wanted = {x.value for x in start}
    return [any(y in wanted for node in ir.toposort([x.value]) for y in node.outputs) for x in found]
