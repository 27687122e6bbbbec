"""What recurrent layers ask of cells; where their states begin, and how stateful layers keep them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kcompile import backend as K
from kcompile import ir
from kcompile.common.errors import AbsentError, DataTypeError, KCompileError, ShapeError, shown
from kcompile.common.lists import shapes_agree
from kcompile.common.nest import flatten, is_nested, pack
from kcompile.engine.layer import Layer
from kcompile.ir.ops.arrays import shaping
from kcompile.layers.base.types import BatchSize
from kcompile.symbolic.sizes import as_dims
from kcompile.symbolic.tensor import Tensor, as_tensor
from kcompile.symbolic.variable import Variable


def state_form(cell: Any) -> Any:
    """``state_size`` of a cell as a list (or tuple) of sizes, also where it is a single one."""
    return cell.state_size if is_nested(cell.state_size) else [cell.state_size]


def state_shapes(cell: Any) -> list[tuple[int, ...]]:
    """The shape of each state of a cell, without the batch axis."""
    return [size_as_shape(size) for size in flatten(cell.state_size)]


def size_as_shape(size: Any) -> tuple[int, ...]:
    """A size as cells give it, a number or a shape (which answers ``as_list``), as a tuple.

    Raises:
        TypeError (also a ValueError): it is neither.
    """
    if hasattr(size, "as_list"):
        return tuple(size.as_list())
    if not isinstance(size, (int, np.integer)):
        raise DataTypeError(
            f"state_size and output_size of a cell must be a size or a list of sizes, got {shown(size)}"
        )
    return (int(size),)


def output_form(cell: Any) -> Any:
    """``output_size`` of a cell; the size of its first state if it does not tell."""
    size = getattr(cell, "output_size", None)
    return flatten(cell.state_size)[0] if size is None else size


def given_states(states: Any) -> list[Any]:
    """The states that a call is given, one by one. Lists of numbers are arrays, as files hold them."""
    if states is None:
        return []
    leaves = flatten(states)
    if any(isinstance(leaf, str) for leaf in leaves):
        raise DataTypeError(f"initial_state must be tensors or arrays, got {shown(states)}")
    if not isinstance(states, (list, tuple)) or not leaves or not isinstance(leaves[0], (int, float)):
        return leaves
    depth, item = 0, states
    while is_nested(item) and item:
        depth, item = depth + 1, item[0]
    return [np.asarray(states)] if depth <= 2 else [np.asarray(state) for state in states]


def first_states(cell: Any, batch: BatchSize, dtype: str) -> Any:
    """The states before the first step, in the form of ``state_size``: what the cell says, else zeros.

    Args:
        cell: asked by its ``get_initial_state(inputs, batch_size, dtype)``, given those arguments that it takes.
        batch: the batch size: a number, an IR size, or a symbolic tensor.
        dtype: element type.
    """
    own = getattr(cell, "get_initial_state", None)
    if own is None:
        zeros = [zero_state(batch, shape, dtype) for shape in state_shapes(cell)]
        return pack(state_form(cell), zeros)
    size = batch if isinstance(batch, (int, Tensor)) else Tensor(shaping.dims_vector((batch,)))[0]
    states = own(**taken_by(own, {"inputs": None, "batch_size": size, "dtype": dtype}))
    found = [as_tensor(state) for state in flatten(states)]
    return pack(state_form(cell), [K.cast(x, dtype) if x.value.type.is_float else x for x in found])


def batch_of(inputs: Tensor | None, batch_size: BatchSize | None) -> BatchSize:
    """The batch size that a cell makes states for: as given, or that of its input.

    Raises:
        ValueError: neither is given.
    """
    if batch_size is not None:
        return batch_size
    if inputs is None:
        raise KCompileError("get_initial_state needs the inputs of one step, or a batch size")
    return inputs.value.shape[0]


def zero_state(batch: BatchSize, shape: Sequence[int], dtype: str) -> Tensor:
    """Zeros of shape ``(batch, *shape)``; the batch size is a number, a symbolic tensor, or an IR size."""
    return Tensor(shaping.expand(ir.constant(0, dtype), (*as_dims([batch]), *shape)))


def state_variables(owner: str, names: Sequence[str], states: Sequence[Tensor]) -> list[Variable]:
    """Variables that hold ``states`` from one batch to the next."""
    return [
        Variable(state.numpy(), state.dtype, f"{owner}_state_{name}", role="state", trainable=False)
        for name, state in zip(names, states, strict=True)
    ]


def takes(function: Callable[..., Any], argument: str) -> bool:
    """Whether a function has a parameter of that name."""
    return argument in inspect.signature(function).parameters


def taken_by(function: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Those of ``arguments`` that a function takes."""
    return {name: value for name, value in arguments.items() if takes(function, name)}


def check_cell(owner: str, cell: Any) -> None:
    """Raise unless ``cell`` can be one.

    Raises:
        ValueError (also a TypeError): it has no ``call`` method or no ``state_size``.
    """
    if not callable(getattr(cell, "call", None)) and not callable(cell):
        raise DataTypeError(f"{owner}: a cell needs a method call(inputs, states), which {cell!r} has not")
    if not hasattr(cell, "state_size"):
        raise DataTypeError(
            f"{owner}: a cell needs an attribute state_size (a size, or one for each state), which {cell!r} has not"
        )
    if isinstance(cell.state_size, Mapping):
        raise DataTypeError(f"{owner}: state_size of {cell!r} must be a size or a list of sizes, got a dictionary")


def differs_by_phase(cell: Any) -> bool:
    """Whether training and inference run a cell differently: ours know, others may if ``call`` takes ``training``."""
    known = getattr(cell, "differs_by_phase", None)
    return takes(getattr(cell, "call", cell), "training") if known is None else bool(known)


def forget_masks(cell: Any) -> None:
    """Let a cell, and those in it, draw new dropout masks, for the next sequences."""
    for item in cell.layer_and_those_inside() if isinstance(cell, Layer) else [cell]:
        for name in ("reset_dropout_mask", "reset_recurrent_dropout_mask"):
            reset = getattr(item, name, None)
            if reset is not None:
                reset()


def runs_over_time(cell: Any) -> bool:
    """Whether a cell knows how to run over all steps at once, and its ``call`` was not replaced in a subclass."""
    for cls in type(cell).__mro__:
        if "over_time" in vars(cls) or "call" in vars(cls):
            return "over_time" in vars(cls)
    return False


class KeepsStates(Layer):
    """What :class:`RNN` does with states: where they begin, and how a stateful layer keeps them."""

    cell: Any
    time_major: bool
    _states: list[Variable] | None

    @property
    def _label(self) -> str:
        """How messages name this layer."""
        return f"layer {self.name!r} ({type(self).__name__})"

    def _check_states(self, states: Sequence[Any]) -> None:
        if not states:
            return
        shapes = state_shapes(self.cell)
        if len(states) != len(shapes):
            given, expected = _count(len(states), "tensor"), _count(len(shapes), "state")
            raise ShapeError(f"{self._label} has {expected} {shapes}, got {given}")
        for i, (state, shape) in enumerate(zip(states, shapes, strict=True)):
            got = tuple(state.shape)
            if not shapes_agree((None, *shape), got):
                raise ShapeError(f"{self._label}: initial state {i} has shape {got}; expected {(None, *shape)}")

    def get_initial_state(self, inputs: Any) -> list[Tensor]:
        """The states before the first step, for that input: what the cell says, else zeros."""
        x = flatten(inputs)[0]
        dtype = x.dtype if x.value.type.is_float else K.floatx()
        return list(first_states(self.cell, x.value.shape[1 if self.time_major else 0], dtype))

    def _starting_states(self, x: Any, given: list[Tensor]) -> Any:
        form = state_form(self.cell)
        if not self.stateful:
            return pack(form, given) if given else self.get_initial_state(x)
        assert self._states is not None
        if not given:
            return pack(form, self._states)
        # As in tf.keras, given states serve until there are some of a batch before.
        fresh = [K.all(K.equal(state, 0)) for state in self._states]
        begins = fresh[0]
        for other in fresh[1:]:
            begins = K.logical_and(begins, other)
        return pack(form, [K.switch(begins, a, b) for a, b in zip(given, self._states, strict=True)])

    @property
    def states(self) -> list[Any]:
        """The variables that hold the states between batches; ``None`` for each state of a layer without them."""
        return list(self._states) if self._states is not None else [None] * len(state_shapes(self.cell))

    @property
    def _state_names(self) -> Sequence[str]:
        return [str(i) for i in range(len(state_shapes(self.cell)))]

    def reset_states(self, states: Any = None) -> None:
        """Set the states of a stateful layer.

        Args:
            states: arrays of shape ``(batch, ...)``; ``None``: zeros.

        Raises:
            AttributeError: the layer is not stateful.
            ValueError: it is not built, or arrays that do not fit; no state is changed then.
        """
        if not self.stateful:
            raise AbsentError(f"layer {self.name!r} is not stateful: it has no states to reset")
        if self._states is None:
            raise KCompileError(
                f"layer {self.name!r} is not built, so it has no states yet; give the batch size in batch_input_shape"
            )
        own = self._states
        if states is None:
            states = [np.zeros(state.storage.shape) for state in own]
        arrays = [np.asarray(state) for state in flatten(states)]
        if len(arrays) != len(own):
            raise KCompileError(f"layer {self.name!r} has {_count(len(own), 'state')}, got {len(arrays)}")
        for i, (state, array) in enumerate(zip(own, arrays, strict=True)):
            if array.shape != state.storage.shape:
                raise ShapeError(f"state {i} of layer {self.name!r} has shape {state.storage.shape}, got {array.shape}")
        for state, array in zip(own, arrays, strict=True):
            state.assign(array)

    def reset_state(self) -> None:
        """Keras 3's name: zeros for the states, if the layer is stateful."""
        if self.stateful:
            self.reset_states()

    def _make_states(self, size: int | None) -> list[Variable]:
        if size is None:
            raise KCompileError(
                f"{self._label} is stateful and needs a fixed batch size: give the first layer "
                "batch_input_shape=(batch, time, ...), or use Input(batch_shape=...)"
            )
        first = flatten(first_states(self.cell, size, K.floatx()))
        return state_variables(self.name, self._state_names, first)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
