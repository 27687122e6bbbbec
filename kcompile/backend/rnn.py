"""K.rnn: a step function over the time axis, with states and masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kcompile import ir
from kcompile.backend import random
from kcompile.common.checks import check_int
from kcompile.common.errors import DataTypeError, KCompileError, ShapeError, shown
from kcompile.common.nest import flatten, is_nested, pack
from kcompile.ir.ops.arrays import cumulative, shaping
from kcompile.ir.ops.elementwise import comparison
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.ir.ops.loops.control import scan
from kcompile.ir.ops.shapes.reshaping import Expand, Reshape
from kcompile.ir.substitution import substitute
from kcompile.symbolic.tensor import Tensor, as_tensor

Values = list[ir.Value]


def rnn(
    step_function: Callable[..., tuple[Any, Any]],
    inputs: Any,
    initial_states: Any,
    go_backwards: bool = False,
    mask: Any = None,
    constants: Sequence[Any] | None = None,
    unroll: bool = False,
    input_length: Any = None,
    time_major: bool = False,
    zero_output_for_mask: bool = False,
) -> tuple[Any, Any, Any]:
    """Run ``step_function`` over the time axis of ``inputs``.

    At a masked step the states stay, and the output is the one before: zeros until the first step that is not masked
    (tf.keras; Keras 2.3.1 repeats the first state there).

    Args:
        step_function: called as ``step_function(x, states)`` with ``x`` of shape ``(batch, ...)`` and a tuple of the
            states, which the constants follow; returns the output and the next states. Without ``unroll`` it is traced
            once. What it draws at random differs from step to step.
        inputs: ``(batch, time, ...)``, or nested tensors of such shapes.
        initial_states: the first states, each ``(batch, ...)``; a list, possibly nested.
        go_backwards: from the last step to the first; outputs come in the order in which they were computed.
        mask: ``(batch, time)`` or ``(batch, time, 1)``, zero at steps to skip.
        constants: tensors that each step sees.
        unroll: write out all steps instead of a loop; the number of steps must be known.
        input_length: the number of steps, where the inputs do not tell it; or, as a tensor ``(batch,)``, how many
            steps of each sample are valid (used if there is no mask).
        time_major: inputs, mask and outputs are ``(time, batch, ...)``.
        zero_output_for_mask: masked steps give zeros instead of the output before.

    Returns:
        ``(last_output, outputs, new_states)``: ``(batch, ...)``, ``(batch, time, ...)``, and the last states in the
        form of ``initial_states``. Outputs are nested as those of the step function.

    Raises:
        ValueError: ``unroll`` without a known number of steps, inputs of too few axes or different lengths, a step
            that returns another number of states.
    """
    sequences = [time_first(as_tensor(x).value, time_major) for x in flatten(inputs)]
    sequences = [_of_length(x, input_length) for x in sequences]
    if any(_differ(x.shape[0], sequences[0].shape[0]) for x in sequences):
        raise ir.IRError(f"rnn: inputs have different numbers of steps: {[_sizes(x.shape)[0] for x in sequences]}")
    first = [as_tensor(x).value for x in flatten(initial_states)]
    step = _Step(step_function, inputs, initial_states, constants)
    valid = valid_steps(mask, input_length, sequences[0], time_major)
    if unroll:
        results = _unrolled(step, sequences, first, valid, go_backwards, zero_output_for_mask)
    else:
        results = _looped(step, sequences, first, valid, go_backwards, zero_output_for_mask)
    last, outputs, states = results
    if not time_major:
        outputs = [swapped(y) for y in outputs]
    return step.output(last), step.output(outputs), pack(initial_states, [Tensor(value) for value in states])


# ---- arguments


def swapped(x: ir.Value) -> ir.Value:
    return shaping.transpose(x, (1, 0, *range(2, x.rank)))


def time_first(x: ir.Value, time_major: bool) -> ir.Value:
    if x.rank < 2:
        raise ShapeError(f"rnn: inputs need the axes (batch, time, ...), got shape {x.shape}")
    return x if time_major else swapped(x)


def _of_length(x: ir.Value, input_length: Any) -> ir.Value:
    """``x`` with the known number of steps, if ``input_length`` is one."""
    if input_length is None or _is_per_sample(input_length):
        return x
    length = check_int("rnn", "input_length", input_length, minimum=1)
    if isinstance(x.shape[0], int) and x.shape[0] != length:
        raise ShapeError(f"rnn: input_length is {length}, but the inputs have {x.shape[0]} steps")
    return x if isinstance(x.shape[0], int) else shaping.reshape(x, (length, *x.shape[1:]))


def _is_per_sample(input_length: Any) -> bool:
    return as_tensor(input_length).ndim > 0


def valid_steps(mask: Any, input_length: Any, sequence: ir.Value, time_major: bool) -> ir.Value | None:
    """Which steps count, ``(time, batch)``; ``None``: all."""
    if mask is not None:
        value = as_tensor(mask).value
        steps, batch = sequence.shape[:2]
        expected = (steps, batch) if time_major else (batch, steps)
        trailing = value.rank == 3 and value.shape[2] == 1
        if not (value.rank == 2 or trailing) or any(map(_differ, value.shape, expected)):
            order = "(time, batch)" if time_major else "(batch, time)"
            raise ir.IRError(
                f"rnn: the mask must have the shape {order}, here {_sizes(expected)}, got {_sizes(value.shape)}"
            )
        if trailing:
            value = shaping.squeeze(value, [2])
        value = value if time_major else swapped(value)
        return elementwise.cast(value, "bool")
    if input_length is not None and _is_per_sample(input_length):
        lengths = elementwise.cast(as_tensor(input_length).value, "int64")
        return comparison.less(shaping.expand_dims(shaping.iota(sequence.shape[0]), 1), lengths)
    return None


def _sizes(shape: Sequence[Any]) -> tuple[int | None, ...]:
    """A shape as Keras writes it, ``None`` for what is known at run time."""
    return tuple(size if isinstance(size, int) else None for size in shape)


def _differ(size: Any, other: Any) -> bool:
    """Whether two sizes are known to differ."""
    return isinstance(size, int) and isinstance(other, int) and size != other


class _Step:
    """The step function on flat lists of values."""

    def __init__(self, function: Callable[..., Any], inputs: Any, states: Any, constants: Any) -> None:
        self.function = function
        self.inputs = inputs
        self.states = states
        self.constants = tuple(constants or ())
        self._output: Any = None

    def __call__(self, slices: Sequence[ir.Value], before: Sequence[ir.Value]) -> tuple[Values, Values]:
        """Outputs and next states."""
        x = pack(self.inputs, [Tensor(value) for value in slices])
        states = pack(self.states, [Tensor(value) for value in before])
        listed = tuple(states) if is_nested(self.states) else (states,)
        result = self.function(x, (*listed, *self.constants))
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise DataTypeError(
                f"rnn: a step must return its output and a list of the next states, got {shown(result)}"
            )
        self._output, after = result
        new = [as_tensor(y).value for y in flatten(after)]
        if len(new) != len(before):
            raise ir.IRError(f"rnn: a step must return as many states as it gets, {len(before)}, got {len(new)}")
        for i, (y, value) in enumerate(zip(new, before, strict=True)):
            if y.rank != value.rank or any(map(_differ, y.shape, value.shape)):
                raise ir.IRError(
                    f"rnn: state {i} has the shape {_sizes(value.shape)} before a step and {_sizes(y.shape)} after "
                    "it; it must stay the same (check the cell's state_size)"
                )
        new = [elementwise.cast(y, value.dtype) for y, value in zip(new, before, strict=True)]
        return [as_tensor(y).value for y in flatten(self._output)], new

    def output(self, values: Sequence[ir.Value]) -> Any:
        """Values in the form of the step's output."""
        return pack(self._output, [Tensor(value) for value in values])


# ---- masks


def where_valid(valid: ir.Value, x: ir.Value, other: ir.Value | float) -> ir.Value:
    """``x`` where ``valid``, which has the leading axes of ``x``, else ``other``."""
    while valid.rank < x.rank:
        valid = shaping.expand_dims(valid, valid.rank)
    return elementwise.where(valid, x, other)


def outputs_of_states(
    ys: ir.Value, final: ir.Value, first: ir.Value, valid: ir.Value | None, backwards: bool, zeros: bool
) -> tuple[ir.Value, ir.Value]:
    """Outputs of a recurrence whose output is a state, from that state after each step.

    Args:
        ys: the state after each step, which masked steps repeat, ``(time, batch, ...)``, each at its step's place.
        final, first: the state after and before all steps.
        valid: which steps count, ``(time, batch)``; ``None``: all.
        backwards: whether the steps ran from the last to the first.
        zeros: whether masked steps give zeros.

    Returns:
        the last output, and all, in the order in which they were computed.
    """
    if valid is not None and (zeros or not is_zero(first)):
        shown = valid if zeros else _seen(valid, backwards)
        ys = where_valid(shown, ys, 0)
        final = where_valid(_at(shown, 0 if backwards else -1), final, 0)
    return final, shaping.reverse(ys, [0]) if backwards else ys


def _seen(valid: ir.Value, backwards: bool) -> ir.Value:
    """``(time, batch)``: whether a valid step has come, counting the present one."""
    return comparison.greater(cumulative.cumsum(elementwise.cast(valid, "int32"), 0, reverse=backwards), 0)


def is_zero(x: ir.Value) -> bool:
    """Whether ``x`` is known to be all zeros."""
    while isinstance(x.op, (Expand, Reshape)):
        x = x.node.inputs[0]
    array = ir.constant_of(x)
    return array is not None and not array.any()


# ---- straight line


def _unrolled(
    step: _Step, sequences: Values, states: Values, valid: ir.Value | None, backwards: bool, zeros: bool
) -> tuple[Values, Values, Values]:
    length = sequences[0].shape[0]
    if not isinstance(length, int):
        raise KCompileError(
            "rnn: unroll needs a known number of steps; give it in Input(shape=...), input_shape or input_length"
        )
    collected: list[Values] = []
    for t in reversed(range(length)) if backwards else range(length):
        outputs, after = step([_at(x, t) for x in sequences], states)
        if valid is not None:
            now = _at(valid, t)
            if zeros or not collected:
                outputs = [where_valid(now, y, 0) for y in outputs]
            else:
                outputs = [where_valid(now, y, y_) for y, y_ in zip(outputs, collected[-1], strict=True)]
            after = [where_valid(now, new, old) for new, old in zip(after, states, strict=True)]
        collected.append(outputs)
        states = after
    return collected[-1], [shaping.stack(group, 0) for group in zip(*collected, strict=True)], states


def _at(x: ir.Value, t: int) -> ir.Value:
    return shaping.squeeze(shaping.slice_axes(x, [0], [t], [t + 1 if t != -1 else None]), [0])


# ---- loop


def _looped(
    step: _Step, sequences: Values, states: Values, valid: ir.Value | None, backwards: bool, zeros: bool
) -> tuple[Values, Values, Values]:
    # The step is traced once, on inputs of its own, so that its outputs are known before the loop is made.
    number = ir.input_value("step", "int64", ())
    slices = [ir.input_value(f"slice_{i}", x.dtype, x.shape[1:]) for i, x in enumerate(sequences)]
    before = [ir.input_value(f"state_{i}", x.dtype, x.shape) for i, x in enumerate(states)]
    with random.at_step(number):
        outputs, after = step(slices, before)
    # Which state an output is, as in most cells: then a masked step repeats it with the state.
    same = [next((i for i, new in enumerate(after) if new is y), None) for y in outputs]
    carried = [] if valid is None or zeros else [k for k, i in enumerate(same) if i is None]
    numbered = any(node is number.node for node in ir.toposort([*outputs, *after]))
    taken = [*before, *slices, *([number] if numbered else [])]
    xs = [*sequences, *([shaping.iota(sequences[0].shape[0])] if numbered else [])]
    count = len(states)

    def body(*operands: ir.Value) -> tuple[Values, Values]:
        own, previous, rest = operands[:count], operands[count : count + len(carried)], operands[count + len(carried) :]
        traced = substitute([*outputs, *after], dict(zip(taken, [*own, *rest[: len(xs)]], strict=True)))
        ys, new = traced[: len(outputs)], traced[len(outputs) :]
        if valid is not None:
            now, repeated = rest[len(xs)], dict(zip(carried, previous, strict=True))
            new = [where_valid(now, x, old) for x, old in zip(new, own, strict=True)]
            ys = [
                new[i] if i is not None else where_valid(now, y, repeated.get(k, 0))
                for k, (i, y) in enumerate(zip(same, ys, strict=True))
            ]
        return [*new, *(ys[k] for k in carried)], ys

    empty = [_zeros_like(outputs[k]) for k in carried]
    final, stacked = scan(body, [*states, *empty], xs if valid is None else [*xs, valid], reverse=backwards)
    found = []
    for i, ys in zip(same, stacked, strict=True):
        if i is not None:
            found.append(outputs_of_states(ys, final[i], states[i], valid, backwards, zeros))
        else:
            found.append((_at(ys, 0 if backwards else -1), shaping.reverse(ys, [0]) if backwards else ys))
    return [last for last, _ in found], [ys for _, ys in found], list(final[:count])


def _zeros_like(y: ir.Value) -> ir.Value:
    zero = ir.constant(0, y.dtype)
    return shaping.expand(zero, y.shape) if y.rank else zero
