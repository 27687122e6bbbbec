"""Models that are called as layers: what they may be called on, and what lies inside them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from kcompile.common.errors import ShapeError
from kcompile.common.lists import as_list
from kcompile.engine.layer_base import LayerBase
from kcompile.ir.ops.arrays import shaping
from kcompile.symbolic.tensor import Tensor, as_tensor


class Named(Protocol):
    """A model whose inputs have names."""

    name: str
    inputs: list[Tensor]
    input_names: list[str]


def fitting_rank(mine: Tensor, given: Tensor) -> Tensor:
    """``given`` with a last axis of size 1 more or less where only so it fits a model's input, as in tf.keras."""
    wanted, shape = tuple(mine.shape), tuple(given.shape)
    if len(shape) == len(wanted) - 1 and wanted[-1] == 1:
        made = Tensor(shaping.expand_dims(given.value, len(shape)))
    elif len(shape) == len(wanted) + 1 and shape[-1] == 1 and wanted[-1] != 1 and wanted[-1] == shape[-2]:
        made = Tensor(shaping.squeeze(given.value, [len(shape) - 1]))
    else:
        return given
    made.keras_history, made.keras_mask = given.keras_history, given.keras_mask
    return made


@contextlib.contextmanager
def naming_inputs(model: Named, tensors: Sequence[Tensor]) -> Iterator[None]:
    """Inside, the model's layers are called on other tensors than its inputs: what does not fit names those too.

    Raises:
        ShapeError: a layer refused, and an input has another shape than the model's.
    """
    try:
        yield
    except ShapeError as error:
        for name, mine, given in zip(model.input_names, model.inputs, tensors, strict=True):
            if not _fits(tuple(mine.shape), tuple(given.shape)):
                raise ShapeError(
                    f"input {name!r} of model {model.name!r} has shape {tuple(mine.shape)}, got {tuple(given.shape)}, "
                    f"which does not fit: {error}"
                ) from error
        raise


def _fits(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    return len(a) == len(b) and all(p is None or q is None or p == q for p, q in zip(a[1:], b[1:], strict=True))


def inside_of(layer: LayerBase) -> str:
    """For an input layer that a graph should not depend on: how what lies inside its model is reached from outside."""
    for node in layer.call_notes.outbound_nodes:
        model = node.layer
        if not model.has_layer_graph or len(model.call_notes.inbound_nodes) < 2:
            continue
        if any(x is y for x in model.inputs for y in node.input_tensors):
            name = model.name
            return (
                f"; that is the own input of model {name!r}. To see inside its call, make "
                f"part = Model({name}.input, ...) of what it computes, and call it on the same tensor: "
                f"part({name}.get_input_at(1))"
            )
    return ""


def with_masks(tensors: Sequence[Tensor], masks: Any) -> list[Tensor]:
    """The tensors with other masks, where there are such."""
    given = as_list(masks)
    if not any(mask is not None for mask in given):
        return list(tensors)
    if len(given) != len(tensors):
        raise ShapeError(f"a model that is called on {len(tensors)} tensors takes as many masks, got {len(given)}")
    masked = []
    for x, mask in zip(tensors, given, strict=True):
        if mask is not None and mask is not x.keras_mask:
            history, x = x.keras_history, Tensor(x.value)
            x.keras_history, x.keras_mask = history, as_tensor(mask)
        masked.append(x)
    return masked
