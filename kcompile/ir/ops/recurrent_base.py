"""What recurrent ops share: their operands, and loops over time.

All are time-major. A value may have further axes between time and batch, which stand for independent recurrences that
run side by side (the pass ``merge_directions`` makes such): ``projected`` is then ``[T, ..., N, K]``, a state
``[..., N, H]``, ``recurrent`` ``[..., H, K]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, NamedTuple, TypeVar

from kcompile.ir.builder import Builder
from kcompile.ir.core import Gradients, Graph, Node, Op, Value, apply, input_value, make_node
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arithmetic import add, cast, mul, sub, where
from kcompile.ir.ops.linalg import MatMul, dot_general
from kcompile.ir.ops.recurrent_activations import activation_named
from kcompile.ir.ops.reduction import reduce_sum
from kcompile.ir.ops.regions import zeros_of
from kcompile.ir.ops.reshaping import expand_dims, squeeze
from kcompile.ir.ops.scan import Scan, scan
from kcompile.ir.ops.slicing import concat, slice_axes, split, stack
from kcompile.ir.types import TensorType

T = TypeVar("T")


class Operands(NamedTuple, Generic[T]):
    """The operands of a recurrent op (values, arrays or types); those that it does not have are ``None``."""

    projected: T
    recurrent: T
    bias: T | None
    initial: tuple[T, ...]
    mask: T | None
    scale: T | None


@dataclass(frozen=True, kw_only=True)
class Recurrence(Op, abstract=True):
    """A recurrence over axis 0.

    Operands: ``projected`` ``[T, N, gates * H]``, ``recurrent`` ``[H, gates * H]``, perhaps a bias, the initial states
    ``[N, H]``, ``mask`` (bool ``[T, N]``) if ``masked``, and ``scale`` ``[N, H]`` if ``scaled``. Where the mask is
    false the states stay. With a scale, each step starts with ``h * scale`` instead of ``h``.

    With ``reverse`` the steps run from the last slice to the first; results stay at the place of their slice. With
    ``unroll`` they are lowered one after the other, without a loop.

    Results: ``h`` after each step, the last states, and with ``stash`` what only gradients read. The pass ``prune``
    takes that away where no gradient asks for it.
    """

    activation: str
    reverse: bool = False
    unroll: bool = False
    masked: bool = False
    scaled: bool = False
    stash: bool = True

    gates: ClassVar[int]
    states: ClassVar[int]

    @property
    def biased(self) -> bool:
        """Whether there is a bias ``[gates * H]`` that is added to ``h @ recurrent``."""
        return False

    def activations(self) -> tuple[str, ...]:
        """The names of the activations."""
        return (self.activation,)

    def operands(self, items: Sequence[T]) -> Operands[T]:
        """The operands by name."""
        given = iter(items)
        projected, recurrent = next(given), next(given)
        bias = next(given) if self.biased else None
        initial = tuple(next(given) for _ in range(self.states))
        mask = next(given) if self.masked else None
        return Operands(projected, recurrent, bias, initial, mask, next(given) if self.scaled else None)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        wanted = 2 + self.biased + self.states + self.masked + self.scaled
        if len(types) != wanted:
            raise IRError(f"takes {wanted} operands, got {len(types)}")
        for name in self.activations():
            activation_named(name)
        x, recurrent, bias, initial, mask, scale = self.operands(types)
        units = recurrent.shape[-2] if recurrent.rank > 1 else 0
        if x.rank < 3 or not x.is_float or not isinstance(units, int) or x.shape[-1] != self.gates * units:
            raise IRError(f"the projected input must be [time, batch, {self.gates} * {units}], got {x}")
        length, *groups, batch, width = x.shape
        if self.unroll and not isinstance(length, int):
            raise IRError(f"cannot unroll over the symbolic number of steps {length}")
        state = (*groups, batch, units)
        shapes = {"recurrent": (*groups, units, width), "bias": (*groups, width), "scale": state}
        given = {"recurrent": recurrent, "bias": bias, "scale": scale}
        for index, type in enumerate(initial):
            shapes[f"state {index}"], given[f"state {index}"] = state, type
        for name, operand in given.items():
            if operand is not None and not operand.may_be(x.with_shape(shapes[name])):
                raise IRError(f"{name} must be {x.with_shape(shapes[name])}, got {operand}")
        if mask is not None and not mask.may_be(TensorType("bool", (length, *groups, batch))):
            raise IRError(f"the mask must be {TensorType('bool', (length, *groups, batch))}, got {mask}")
        sequence = x.with_shape((length, *state))
        return (sequence, *initial, *(self.stashed(sequence) if self.stash else ()))

    def stashed(self, sequence: TensorType) -> tuple[TensorType, ...]:
        """The types of what is kept for gradients, given that of the sequence of ``h``."""
        return ()

    def pruned(self, used: Sequence[bool]) -> tuple[Op, list[int], list[int]]:
        """As :meth:`RegionOp.pruned`: the op without its stash, if nobody reads that."""
        count = 1 + self.states
        keep = self.stash and any(used[count:])
        inputs = 2 + self.biased + self.states + self.masked + self.scaled
        return replace(self, stash=keep), list(range(inputs)), list(range(len(used) if keep else count))

    # ---- lowering: the loop written as values

    def step(
        self, operands: Operands[Value], states: Sequence[Value], x: Value
    ) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
        """The next states, and what else the step gives to be stacked, from the (scaled) states and a slice."""
        raise NotImplementedError(type(self).__name__)

    def expanded(self, inputs: Sequence[Value]) -> tuple[Value, ...]:
        """The results as values of other ops: a scan, or straight-line code."""
        operands = self.operands(inputs)
        sequences = [operands.projected]
        if operands.mask is not None:
            sequences.append(expand_dims(operands.mask, -1))

        def step(states: Sequence[Value], slices: Sequence[Value]) -> Step:
            start = list(states)
            if operands.scale is not None:
                start[0] = mul(start[0], operands.scale)
            after, extra = self.step(operands, start, slices[0])
            if operands.mask is not None:
                after = tuple(where(slices[1], new, old) for new, old in zip(after, states, strict=True))
            return after, (*after, *extra) if self.stash else after[:1]

        finals, (ys, *more) = loop(step, operands.initial, sequences, self.reverse, self.unroll)
        return (ys, *finals, *more)

    def lower(self, b: Builder, node: Node, *names: str) -> tuple[str, ...]:
        inputs = [input_value(f"operand_{i}", value.dtype, value.shape) for i, value in enumerate(node.inputs)]
        return b.inline(Graph(inputs, self.expanded(inputs)), names)


Step = tuple[Sequence[Value], Sequence[Value]]


def loop(
    step: Callable[[Sequence[Value], Sequence[Value]], Step],
    states: Sequence[Value],
    sequences: Sequence[Value],
    reverse: bool,
    unroll: bool,
    differentiable: bool = False,
) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """The last states, and the stacked values that ``step(states, slices)`` gives after the next states.

    Unless ``differentiable``, a scan does not store the states for its own gradient.
    """
    if not unroll:
        count = len(states)
        finals, stacked = scan(lambda *args: step(args[:count], args[count:]), states, sequences, reverse=reverse)
        if differentiable:
            return finals, stacked
        node = finals[0].node
        assert isinstance(node.op, Scan)
        op, kept, results = node.op.pruned([i < count + len(stacked) for i in range(len(node.outputs))])
        assert results == list(range(count + len(stacked)))
        outputs = make_node(op, *(node.inputs[i] for i in kept)).outputs
        return outputs[:count], outputs[count:]
    length = sequences[0].shape[0]
    assert isinstance(length, int)
    parts = [[squeeze(part, 0) for part in split(value, [1] * length, 0)] for value in sequences]
    collected: list[Sequence[Value]] = [()] * length
    for t in reversed(range(length)) if reverse else range(length):
        states, collected[t] = step(states, [slices[t] for slices in parts])
    return tuple(states), tuple(stack(values, 0) for values in zip(*collected, strict=True))


# ---- parts of gradients


def product(x: Value, y: Value, transpose_x: bool = False, transpose_y: bool = False) -> Value:
    """The product of the matrices on the last axes; leading axes are a batch."""
    return apply(MatMul(transpose_x, transpose_y), x, y)


def previous(sequence: Value, initial: Value, reverse: bool) -> Value:
    """The state before each step, from those after each step and the initial one."""
    first = expand_dims(initial, 0)
    if reverse:
        return concat([slice_axes(sequence, [0], [1], [None]), first], 0)
    return concat([first, slice_axes(sequence, [0], [None], [-1])], 0)


def check_stash(op: Recurrence) -> None:
    """Raise an :class:`IRError` if the op no longer gives what its gradient needs."""
    if not op.stash:
        raise IRError(f"{op.name}: what the gradient needs was pruned; differentiate before that pass")


def start_of_steps(operands: Operands[Value], ys: Value, reverse: bool) -> Value:
    """The ``h`` with which each step starts: that of the step before, scaled."""
    h = previous(ys, operands.initial[0], reverse)
    return h if operands.scale is None else mul(h, operands.scale)


def weight_gradient(x: Value, g: Value) -> Value:
    """The gradient of ``w`` in ``x[t] @ w`` for all t: one product over time and batch."""
    groups = list(range(1, x.rank - 2))
    axes = [0, x.rank - 2]
    return dot_general(x, g, (axes, axes), (groups, groups))


def mask_weights(mask: Value, like: Value) -> Value:
    """1 where the mask is true, else 0, with an axis for the units."""
    return expand_dims(cast(mask, like.dtype), -1)


BackwardStep = Callable[[Value, Sequence[Value], Mapping[str, Value]], tuple[Value, Sequence[Value], Sequence[Value]]]


def backward(
    op: Recurrence,
    operands: Operands[Value],
    ys: Value,
    step: BackwardStep,
    sequences: Mapping[str, Value | None],
    grads: Gradients,
) -> tuple[list[Value | None], tuple[Value, ...]]:
    """The loop of a gradient.

    Args:
        op: what is differentiated.
        operands: its operands.
        ys: ``h`` after each step.
        step: given the gradient of what ``h`` is after a step, those of the other states, and a slice of each of
            ``sequences``: the gradient of the ``h`` with which the step starts, after scaling; the gradients of the
            other states before it; and values to stack.
        sequences: by name; those that are ``None`` are not there.
        grads: the gradients of all ``h``, and of the last states.

    Returns:
        The gradients of the operands from the initial states on, and the stacked values.
    """
    given = {"g": grads[0], **sequences}
    if operands.mask is not None:
        given["kept"] = sub(1, mask_weights(operands.mask, ys))
    there = {name: value for name, value in given.items() if value is not None}

    def whole(states: Sequence[Value], slices: Sequence[Value]) -> Step:
        at = dict(zip(there, slices, strict=True))
        g_h = add(states[0], at["g"]) if "g" in at else states[0]
        started, others, stacked = step(g_h, states[1:], at)
        back = started if operands.scale is None else mul(started, operands.scale)
        if "kept" in at:
            back = add(back, mul(g_h, at["kept"]))
        return (back, *others), stacked if operands.scale is None else (*stacked, started)

    last = [zeros_of(x.type) if g is None else g for x, g in zip(operands.initial, grads[1:], strict=True)]
    finals, stacked = loop(whole, last, list(there.values()), not op.reverse, op.unroll, differentiable=True)
    result: list[Value | None] = [*finals]
    if operands.mask is not None:
        result.append(None)
    if operands.scale is not None:
        result.append(reduce_sum(mul(previous(ys, operands.initial[0], op.reverse), stacked[-1]), 0))
        stacked = stacked[:-1]
    return result, stacked


__all__ = [
    "Operands", "Recurrence", "Step", "backward", "check_stash", "loop", "mask_weights", "previous", "product",
    "start_of_steps", "weight_gradient",
]  # fmt: skip
