"""RNN: a cell run over the time axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kcompile import backend as K
from kcompile import ir
from kcompile.backend.rnn import outputs_of_states, swapped, time_first, valid_steps
from kcompile.common.checks import check_flag
from kcompile.common.errors import DataTypeError, KCompileError, ShapeError, shown
from kcompile.common.lists import as_list
from kcompile.common.nest import flatten, is_nested, map_structure, pack
from kcompile.common.tracebacks import short_traceback
from kcompile.engine.layer import Layer, Shape, wrap_operations
from kcompile.engine.node import InputSpec
from kcompile.layers.base.types import Mask, Phase, Shapes, each_shape
from kcompile.layers.recurrent.stacked import StackedRNNCells
from kcompile.layers.recurrent.states import (
    KeepsStates,
    check_cell,
    differs_by_phase,
    forget_masks,
    given_states,
    output_form,
    runs_over_time,
    size_as_shape,
    state_form,
    state_shapes,
    takes,
)
from kcompile.objects.configs import layer_from_config
from kcompile.objects.custom import CustomObjectScope
from kcompile.objects.dialects.keras1_names import sample_shape
from kcompile.objects.making import serialize_keras_object
from kcompile.objects.registry import is_ours
from kcompile.symbolic.tensor import Tensor, as_tensor
from kcompile.symbolic.variable import Variable, learning_phase

__all__ = ["RNN"]


class RNN(KeepsStates):
    """Runs a cell over the time axis: ``(batch, time, ...)`` to ``(batch, units)`` or ``(batch, time, units)``.

    A cell is any object with a method ``call(inputs, states)``, which takes one time step and the list of states and
    returns the output and the next states, and with ``state_size``: a number, a shape, or one of these for each state.
    It may have ``output_size``, ``get_initial_state(inputs, batch_size, dtype)``, and arguments ``training`` and
    ``constants`` of ``call``. Cells that are layers bring weights.

    Called with ``initial_state`` (a tensor or a list; also in a list after the input), it starts there instead of from
    zeros; with ``constants``, the cell sees these at each step. At a step that the mask leaves out, states stay and the
    output is the one before.

    Source: Keras 2.3.1; ``time_major`` and ``zero_output_for_mask`` of tf.keras.

    Args:
        cell: a cell, or a list of cells, which are stacked.
        return_sequences: whether to return the output of every step instead of the last one.
        return_state: whether to return the last states too, in a list after the output.
        go_backwards: from the last step to the first; outputs come in the order in which they were computed.
        stateful: start each batch with the last states of the batch before. The batch size must be fixed.
        unroll: write out the steps instead of a loop; their number must be known.
        time_major: inputs and outputs are ``(time, batch, ...)``.
        zero_output_for_mask: masked steps give zeros instead of the output before.
        input_dim, input_length: number of features and of steps, instead of ``input_shape``.

    Raises:
        TypeError: ``cell`` is none.
        ValueError: on a call, inputs or states that do not fit, ``unroll`` with an unknown number of steps, or
            ``stateful`` with an unknown batch size.
    """

    _ndim: int | None = None  # of the input, where the cell is known

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        time_major: bool = False,
        *,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        owner = type(self).__name__
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell)
        check_cell(owner, cell)
        if {"input_dim", "input_length"} & set(kwargs):
            kwargs.setdefault("input_shape", sample_shape(kwargs, steps=True))
        super().__init__(**kwargs)
        self.cell = cell
        self.return_sequences = check_flag(owner, "return_sequences", return_sequences)
        self.return_state = check_flag(owner, "return_state", return_state)
        self.go_backwards = check_flag(owner, "go_backwards", go_backwards)
        self.stateful = check_flag(owner, "stateful", stateful)
        self.unroll = check_flag(owner, "unroll", unroll)
        self.time_major = check_flag(owner, "time_major", time_major)
        self.zero_output_for_mask = check_flag(owner, "zero_output_for_mask", zero_output_for_mask)
        self.supports_masking = True
        self._input_form: Any = None  # of nested inputs; None: one tensor
        self.num_constants = 0
        self._states: list[Variable] | None = None

    # -- calling

    @short_traceback
    def __call__(self, inputs: Any, initial_state: Any = None, constants: Any = None, **kwargs: Any) -> Any:
        """As of any layer; ``initial_state`` and ``constants`` may also follow the input in a list.

        Raises:
            ValueError: tensors that do not fit, or states of which only some depend on model inputs.
        """
        x, states, constants = self.split_off_states(inputs, initial_state, constants)
        self._input_form = map_structure(lambda _: None, x) if is_nested(x) else None
        self.num_constants = len(constants)
        items, added = flatten(x), [*states, *constants]
        if not added:
            return super().__call__(items if self._input_form is not None else items[0], **kwargs)
        # What depends on model inputs becomes an input of this layer's call, as in Keras: models see it.
        within = [depends_on_layers(item) for item in added]
        if all(within) or not any(isinstance(item, Tensor) for item in (*items, *added)):
            return super().__call__([*items, *added], **kwargs)
        if any(within):
            raise KCompileError(
                f"{self._label}: some of the initial states and constants depend on "
                "model inputs and some do not; turn the others into inputs, or compute them in a layer"
            )
        if states:
            kwargs["initial_state"] = states
        if constants:
            kwargs["constants"] = constants
        return super().__call__(items if self._input_form is not None else items[0], **kwargs)

    @property
    def _num_inputs(self) -> int:
        return 1 if self._input_form is None else len(flatten(self._input_form))

    def split_off_states(self, inputs: Any, initial_state: Any, constants: Any) -> tuple[Any, list[Any], list[Any]]:
        """Input (possibly nested), states and constants of a call, from the list of all or from arguments."""
        states, constants = given_states(initial_state), as_list(constants)
        if not isinstance(inputs, list):
            return inputs, states, constants
        count = 1 if inputs and is_nested(inputs[0]) else self._num_inputs
        x, rest = inputs[:count], inputs[count:]
        if self.num_constants and not constants:
            rest, constants = rest[: -self.num_constants], rest[-self.num_constants :]
        if rest and states:
            raise KCompileError(f"{self._label} got initial states twice: in the list of inputs and as initial_state")
        form = self._input_form
        return (x[0] if form is None or count == 1 else pack(form, x)), states or flatten(rest), constants

    def _check(self, tensors: Sequence[Tensor]) -> None:
        specs = as_list(self.input_spec) or [InputSpec(ndim=self._ndim, min_ndim=3)] * self._num_inputs
        for i, (spec, x) in enumerate(zip(specs, tensors, strict=False)):
            spec.check(x, self, i, self._num_inputs)
        if self.built:
            self._check_states(tensors[self._num_inputs : len(tensors) - self.num_constants])

    def call(
        self, inputs: Any, mask: Any = None, training: Phase = None, initial_state: Any = None, constants: Any = None
    ) -> Any:
        x, given, constants = self.split_off_states(inputs, initial_state, constants)
        given = [as_tensor(state) for state in given]
        self._check_states(given)
        if self.unroll and self._steps(tuple(flatten(x)[0].shape)) is None:
            raise KCompileError(
                f"{self._label} has unroll=True, which needs a known number of steps; "
                "give it in input_shape, Input(shape=...), or an Embedding's input_length"
            )
        states = self._starting_states(x, given)
        masks = flatten(mask)

        def run(training: Phase) -> Any:
            return self._run(x, states, masks[0] if masks else None, training, constants)

        last, outputs, after = by_phase(run, training) if differs_by_phase(self.cell) else run(training)
        if self.stateful:
            assert self._states is not None
            self.add_update(list(zip(self._states, flatten(after), strict=True)))
        results = flatten(outputs if self.return_sequences else last)
        if self.return_state:
            return [*results, *flatten(after)]
        return results if len(results) > 1 else results[0]

    def _run(self, x: Any, states: Any, mask: Mask, training: Phase, constants: Sequence[Any]) -> tuple[Any, Any, Any]:
        """Last output, all outputs, last states, for a fixed learning phase."""
        forget_masks(self.cell)
        if not constants and (found := self._over_time(x, states, mask, training)) is not None:
            return found
        forget_masks(self.cell)
        before = _notes(self.cell)
        results = K.rnn(
            self._step(training, len(constants)),
            x,
            states,
            go_backwards=self.go_backwards,
            mask=mask,
            constants=constants,
            unroll=self.unroll,
            time_major=self.time_major,
            zero_output_for_mask=self.zero_output_for_mask,
        )
        if not self.unroll and _notes(self.cell) != before:
            raise KCompileError(
                f"{self._label}: its cell adds losses, updates or metrics at each step of a loop, "
                "where they have no value outside; compute them from the outputs, or set unroll=True"
            )
        return results

    def _over_time(self, x: Any, states: Any, mask: Mask, training: Phase) -> tuple[Any, Any, Any] | None:
        """As :meth:`_run`, by a cell that knows how to run over all steps at once."""
        cell = self.cell
        if not isinstance(x, Tensor) or not runs_over_time(cell):
            return None
        sequence = time_first(K.cast(x, cell.dtype).value, self.time_major)
        valid = valid_steps(mask, None, sequence, self.time_major)
        first = [K.cast(state, cell.dtype) for state in flatten(states)]
        found = cell.over_time(Tensor(sequence), first, valid, training, self.go_backwards, self.unroll)
        if found is None:
            return None
        ys, after = found
        own = getattr(cell, "output_state", 0)
        last, outputs = outputs_of_states(
            ys.value, after[own].value, first[own].value, valid, self.go_backwards, self.zero_output_for_mask
        )
        outputs = outputs if self.time_major else swapped(outputs)
        return Tensor(last), Tensor(outputs), pack(state_form(cell), after)

    def _step(self, training: Phase, count: int) -> Callable[[Any, Any], tuple[Any, Any]]:
        """The cell as a step function of ``K.rnn``; ``count`` is the number of constants after the states."""
        cell = self.cell
        call = cell if callable(cell) and not isinstance(cell, Layer) else cell.call
        arguments: dict[str, Any] = {"training": training} if takes(call, "training") else {}
        if count and not takes(call, "constants"):
            raise KCompileError(
                f"{self._label} got constants, but call of its cell {type(cell).__name__} has no argument constants"
            )

        def step(x: Any, states: Sequence[Any]) -> tuple[Any, Any]:
            if count:
                arguments["constants"] = list(states[-count:])
                states = states[:-count]
            with ir.scope(getattr(cell, "name", "cell")):
                result = call(x, list(states), **arguments)
            if not isinstance(result, (tuple, list)) or len(result) != 2:
                raise DataTypeError(
                    f"{self._label}: call of its cell {type(cell).__name__} must return the output and a list of the "
                    f"next states, got {shown(result)}"
                )
            output, after = result
            return output, after if is_nested(after) else [after]

        return step

    # -- weights and shapes

    def build(self, input_shape: Shapes) -> None:
        shapes = each_shape(input_shape)
        shapes = shapes[: self._num_inputs]
        if any(len(shape) < (self._ndim or 3) for shape in shapes):
            raise ShapeError(
                f"{self._label} takes an input (batch, time, ...) of {self._ndim or 3} axes, got shape {shapes[0]}"
            )
        batch, time = (1, 0) if self.time_major else (0, 1)
        steps = [tuple(size for axis, size in enumerate(s) if axis != time) for s in shapes]
        if isinstance(self.cell, Layer) and not self.cell.built:
            self.cell.build_for_shapes(
                [steps[0] if self._input_form is None else pack(self._input_form, steps)], nested=False
            )
        if self.stateful and self._states is None:
            self._states = self._make_states(shapes[0][batch])
        free = {time} if self.stateful else {time, batch}
        self.input_spec = [
            InputSpec(shape=tuple(None if axis in free else size for axis, size in enumerate(s))) for s in shapes
        ]
        self.built = True

    def _steps(self, shape: Shape) -> int | None:
        return shape[0 if self.time_major else 1]

    def compute_output_shape(self, input_shape: Shapes) -> Any:
        shape = each_shape(input_shape)[0]
        batch = shape[1 if self.time_major else 0]
        before: Shape = (batch,)
        if self.return_sequences:
            before = (self._steps(shape), batch) if self.time_major else (batch, self._steps(shape))
        found = [(*before, *size_as_shape(size)) for size in flatten(output_form(self.cell))]
        if self.return_state:
            found += [(batch, *s) for s in state_shapes(self.cell)]
        return found if self.return_state or len(found) > 1 else found[0]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        masks = flatten(mask)
        passed = masks[0] if masks and self.return_sequences else None
        outputs = [passed] * len(flatten(output_form(self.cell)))
        if self.return_state:
            return outputs + [None] * len(state_shapes(self.cell))
        return outputs if len(outputs) > 1 else passed

    # -- configuration

    def get_config(self) -> dict[str, Any]:
        return {**self._base_config(), "cell": serialize_keras_object(self.cell)}

    def _base_config(self) -> dict[str, Any]:
        """The configuration without the cell; what Keras 2.3 does not know stands in it only if it is used."""
        config = {
            **super().get_config(),
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
            "unroll": self.unroll,
        }
        if self.time_major:
            config["time_major"] = True
        if self.zero_output_for_mask:
            config["zero_output_for_mask"] = True
        if self.num_constants:
            config["num_constants"] = self.num_constants
        if self._input_form is not None:
            config["input_form"] = self._input_form
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """A new layer from :meth:`get_config`; classes of cells that Keras does not know are custom objects."""
        config = dict(config)
        constants, form = config.pop("num_constants", None) or 0, config.pop("input_form", None)
        if "cell" in config:
            config["cell"] = layer_from_config(config["cell"], custom_objects)
        layer = cls(**config)
        layer.num_constants, layer._input_form = constants, form
        return layer

    def clone_of_layer(self) -> Any:
        cells = [self.cell, *getattr(self.cell, "cells", ())]
        own = {type(cell).__name__: type(cell) for cell in cells if not is_ours(type(cell))}
        with CustomObjectScope(own):
            return super().clone_of_layer()


def by_phase(function: Callable[[Any], Any], training: Phase) -> Any:
    """What ``function`` (of whether it is training) gives: for both phases, joined by the learning phase if it is open.

    Its results may be nested. Choosing between whole results leaves no trace of the other phase in a graph.
    """
    phase = learning_phase() if training is None else training
    if not isinstance(phase, Tensor):
        return function(bool(phase))
    trained, quiet = function(True), function(False)
    return pack(trained, [K.switch(phase, a, b) for a, b in zip(flatten(trained), flatten(quiet), strict=True)])


def depends_on_layers(x: Any) -> bool:
    if not isinstance(x, Tensor) or isinstance(x, Variable):
        return False
    return x.keras_history is not None or wrap_operations(x).keras_history is not None


def _notes(cell: Any) -> int:
    """How many losses, updates and metrics the layers of a cell have noted."""
    if not isinstance(cell, Layer):
        return 0
    return sum(item.call_notes.contributions() for item in cell.layer_and_those_inside())
