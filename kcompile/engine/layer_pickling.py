"""How layers are written by ``pickle`` and ``copy.deepcopy`` (and joblib, and multiprocessing).

A layer is written by its attributes, without what its calls left; variables with their values. As with every pickle,
classes and functions of the user's are named and not written: the reader needs them, and a lambda has no name
(``copy.deepcopy`` takes it all the same). Models: :mod:`kcompile.engine.model_pickling`.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

from kcompile.common.meanings import as_it_is, as_meant_now
from kcompile.engine.layer_base import LayerBase, Notes
from kcompile.engine.replay import in_its_first_call
from kcompile.engine.tracking import internal_names
from kcompile.symbolic.functions import Function
from kcompile.symbolic.tensor import Tensor
from kcompile.symbolic.variable import Variable


class Picklable(LayerBase):
    """What ``pickle`` and ``copy`` ask a layer for; a part of :class:`~kcompile.engine.layer.Layer`."""

    def __getstate__(self) -> dict[str, Any]:
        return layer_state(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        set_layer_state(self, state)

    def __copy__(self) -> Any:
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other


def layer_state(layer: LayerBase) -> dict[str, Any]:
    """The attributes of a layer, without what its calls left."""
    internal = internal_names(type(layer))
    with in_its_first_call(layer):
        state = dict(vars(layer))
    for name, value in list(state.items()):
        bound = isinstance(value, types.MethodType) and value.__self__ is layer
        if name == "_call_notes" or bound or (name in internal and _is_of_this_process(value)):
            del state[name]
    state["_regularized"] = [(w, as_it_is(regularizer)) for w, regularizer in layer.penalties_of_weights]
    return state


def set_layer_state(layer: LayerBase, state: Mapping[str, Any]) -> None:
    """The opposite of :func:`layer_state`, for a new object."""
    own = vars(layer)
    own["_call_notes"] = Notes()
    own.update(state)
    own["_regularized"] = [(w, as_meant_now(regularizer)) for w, regularizer in state["_regularized"]]
    seeds = own.get("_seeds")
    if seeds is not None:
        seeds.start_at(seeds.first)  # its calls are made again


def _is_of_this_process(value: Any) -> bool:
    """Whether something of our own holds a symbolic tensor or a compiled program, which is made again when needed."""
    if isinstance(value, Function):
        return True
    if isinstance(value, Tensor):
        return not isinstance(value, Variable)
    if isinstance(value, Mapping):
        return any(map(_is_of_this_process, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_is_of_this_process, value))
