"""Calls of layers made again: in a model that is called as a layer, and in copies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from kcompile import ir
from kcompile.common.errors import KCompileError
from kcompile.common.lists import as_list
from kcompile.common.nest import flatten, pack
from kcompile.engine.layer_base import LayerBase, Node
from kcompile.ir.ops.elementwise.random import RandomBits
from kcompile.ir.substitution import substitute
from kcompile.symbolic.tensor import Tensor

_node: ContextVar[Node | None] = ContextVar("_node", default=None)
_replayed: ContextVar[bool] = ContextVar("_replayed", default=False)


@contextlib.contextmanager
def as_called(node: Node, copy: LayerBase | None = None) -> Iterator[None]:
    """Inside, the functions of the node's layer (or of its copy) mean what they meant when it was called.

    See :mod:`kcompile.engine.meanings`.
    """
    tokens = _node.set(node), _replayed.set(True)
    try:
        with node.meanings.restored(copy) if node.meanings is not None else contextlib.nullcontext():
            yield
    finally:
        _node.reset(tokens[0])
        _replayed.reset(tokens[1])


def is_replayed() -> bool:
    """Whether a call is made again that was made before."""
    return _replayed.get()


@contextlib.contextmanager
def in_its_first_call(layer: LayerBase) -> Iterator[None]:
    """Inside, the functions of a layer mean what they meant when it was called: for its configuration and copies.

    Raises:
        ValueError: it was called several times, and they did not always mean the same.
    """
    found = [node.meanings for node in layer.call_notes.inbound_nodes if node.meanings is not None]
    for other in found[1:]:
        name = found[0].differs(other)
        if name is not None:
            raise KCompileError(
                f"layer {layer.name!r} ({type(layer).__name__}) was called with several values of {name!r}, which its "
                "function reads; a file or copy holds one: make a layer for each"
            )
    with found[0].restored() if found else contextlib.nullcontext():
        yield


def layer_config(layer: LayerBase) -> dict[str, Any]:
    """``get_config`` of a layer, its functions as they were when it was called."""
    with in_its_first_call(layer):
        config: dict[str, Any] = layer.get_config()
    return config


def kept(inputs: Any, outputs: Any, arguments: dict[str, Any]) -> Any:
    """What a function computed when it was first called, where it computes something else of the same inputs by now.

    Names are restored by :func:`as_called`; this is for what else a function may read, such as attributes.

    Args:
        inputs: of this call.
        outputs: what the function made of them.
        arguments: the mask and other arguments of this call.
    """
    node = _node.get()
    if node is None:
        return outputs
    _node.set(None)
    old, new = [x.value for x in node.input_tensors], [x.value for x in as_list(inputs)]
    mine, theirs = flatten(outputs), [y.value for y in node.output_tensors]
    if [x.type for x in old] != [x.type for x in new] or len(mine) != len(theirs):
        return outputs
    if any(value is not None for value in (*arguments.values(), *node.arguments.values(), *node.input_masks)):
        return outputs
    if not all(isinstance(y, Tensor) for y in mine):
        return outputs
    if _same_program(theirs, [y.value for y in mine], dict(zip(old, new, strict=True))):
        return outputs
    values = substitute(theirs, dict(zip(old, new, strict=True)))
    return pack(outputs, [Tensor(value) for value in values])


def _same_program(old: list[ir.Value], new: list[ir.Value], known: dict[ir.Value, ir.Value]) -> bool:
    """Whether two programs do the same with inputs that ``known`` pairs. Random numbers are as good as others."""
    stack = list(zip(old, new, strict=True))
    while stack:
        a, b = stack.pop()
        if a in known:
            if known[a] is not b:
                return False
            continue
        if a is b:
            continue
        known[a] = b
        same = type(a.op) is type(b.op) and a.index == b.index and len(a.node.inputs) == len(b.node.inputs)
        if not same or not _same_op(a.op, b.op):
            return False
        stack += zip(a.node.inputs, b.node.inputs, strict=True)
    return True


def _same_op(a: ir.Op, b: ir.Op) -> bool:
    if isinstance(a, ir.Constant) and isinstance(b, ir.Constant):
        x, y = a.array, b.array
        return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
    return a == b or isinstance(a, RandomBits)
