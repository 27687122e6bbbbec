"""What a tensor is computed from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kcompile import ir
from kcompile.engine.notes import made_by_other_calls
from kcompile.symbolic.tensor import Tensor

if TYPE_CHECKING:
    from kcompile.engine.network import Network


def belongs(model: Network, x: Tensor) -> bool:
    """Whether ``x`` depends on no inputs but those of ``model``, and is not what another model's calls added."""
    if made_by_other_calls(x, model._inbound_nodes if model._subclassed else model._nodes):
        return False
    known = {id(v.value) for v in model.inputs}
    return all(id(leaf) in known for leaf in input_leaves(x))


def input_leaves(x: Tensor) -> list[ir.Value]:
    """The inputs, of whatever model, that ``x`` depends on."""
    return [node.outputs[0] for node in ir.toposort([x.value]) if isinstance(node.op, ir.Input)]


def reached(found: Sequence[Tensor], start: Iterable[Tensor]) -> list[bool]:
    """For each of the tensors, whether it depends on one of ``start``."""
    wanted = {x.value for x in start}
    return [any(y in wanted for node in ir.toposort([x.value]) for y in node.outputs) for x in found]
